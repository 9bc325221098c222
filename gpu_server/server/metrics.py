"""What a server counts, for Prometheus: GET /metrics on a port of 127.0.0.1.

Counts only: no name of a user, a job or a file. A page costs the control thread one look at what it holds in memory.
Who connects and says nothing is let go; beyond a few connections at once nobody is let in.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from gpu_server.server.counters import INF, Counted
from gpu_server.server.server_status import Snapshot
from gpu_server.server.sockets import Mailbox
from void_bridge import __version__
from void_bridge.errors import Refused
from void_bridge.protocol.messages import ServerStatus, WorkerState

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 8
_HOST = "127.0.0.1"
_HOSTS = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.IGNORECASE)
_READ_S = 5.0
_CONNECTION_S = 10.0
_ANSWER_S = 2.0
_POLL_S = 0.2

_TEXT = "text/plain; version=0.0.4; charset=utf-8"

Labels = dict[str, str]


# --- metrics -----------------------------------------------------------------------------------------


def metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """Every metric, by Prometheus's naming rules. docs/operations.md explains them."""
    yield InfoMetricFamily("void_bridge", "The server's version.", {"version": __version__})
    yield from _of_status(snapshot.status)
    yield from _of_workers(snapshot.status)
    yield from _of_jobs(snapshot)
    yield from _of_sockets(snapshot)


def _of_status(status: ServerStatus) -> Iterator[Metric]:
    yield _gauge("start_time_seconds", "When the server started, since the epoch.", status.started)
    yield _gauge("resident_memory_bytes", "Memory of the server's process.", status.resident_bytes)
    yield _gauge("clients", "Clients heard of lately.", status.clients)
    yield _gauge("spool_bytes", "Inputs and results in the spool.", status.spool.used_bytes)
    yield _gauge("spool_limit_bytes", "What the spool may hold; 0 is no limit.", status.spool.limit_bytes)
    if status.spool.free_bytes is not None:
        yield _gauge("spool_disk_free_bytes", "Free on the spool's disk.", status.spool.free_bytes)
    states = [({"state": state}, count) for state, count in status.jobs.items()]
    yield _family(GaugeMetricFamily, "jobs", "Jobs that the server knows, by state.", states)
    yield _gauge(
        "oldest_queued_job_age_seconds", "How long ago it came; 0: none is queued.", status.oldest_queued_s or 0.0
    )


def _of_workers(status: ServerStatus) -> Iterator[Metric]:
    counts = dict.fromkeys(get_args(WorkerState), 0)
    for worker in status.workers:
        counts[worker.state] += 1
    by_state = [({"state": state}, count) for state, count in counts.items()]
    yield _family(GaugeMetricFamily, "workers", "Places for worker processes, by state.", by_state)
    told = [({"worker": str(worker.index)}, worker) for worker in status.workers]
    memory = [(labels, worker.resident_bytes) for labels, worker in told]
    yield _family(GaugeMetricFamily, "worker_resident_memory_bytes", "Memory of a worker's process.", memory)
    silent = [(labels, worker.silent_s or 0.0) for labels, worker in told if worker.state == "running"]
    yield _family(GaugeMetricFamily, "worker_silent_seconds", "Since the last word of a worker with a job.", silent)
    losses = [(labels, worker.losses) for labels, worker in told]
    yield _family(CounterMetricFamily, "worker_losses", "Processes that ended unasked or had to be killed.", losses)


def _of_jobs(snapshot: Snapshot) -> Iterator[Metric]:
    ended = [({"state": state}, count) for state, count in snapshot.ended.items()]
    yield _family(CounterMetricFamily, "jobs_ended", "Jobs that ended, by final state.", ended)
    yield _family(CounterMetricFamily, "frames", "Frames published.", [({}, snapshot.frames)])
    seconds = [({"engine": engine}, counted) for engine, counted in snapshot.job_seconds.items()]
    yield _histogram("job_seconds", "Running time of jobs that are done, over all attempts.", "engine", seconds)


def _of_sockets(snapshot: Snapshot) -> Iterator[Metric]:
    told = [({"socket": name}, counts) for name, counts in snapshot.sockets.items()]
    refused = [
        ({**labels, "code": code}, count) for labels, counts in told for code, count in sorted(counts.refusals.items())
    ]
    yield _family(CounterMetricFamily, "refused_messages", "Errors sent, by code.", refused, ("socket", "code"))
    shut = [(labels, counts.shut) for labels, counts in told]
    yield _family(CounterMetricFamily, "shut_connections", "Connections that the server ended.", shut)
    away = "Handshakes with a key that is not let in."
    yield _family(CounterMetricFamily, "turned_away_keys", away, [({}, snapshot.turned_away)])
    seconds = [(labels, counts.seconds) for labels, counts in told]
    yield _histogram("answer_seconds", "From taking a message to being through with it.", "socket", seconds)


def _gauge(name: str, text: str, value: float) -> Metric:
    return _family(GaugeMetricFamily, name, text, [({}, value)])


def _family(
    kind: Any, name: str, text: str, values: Sequence[tuple[Labels, float]], labels: tuple[str, ...] = ("worker",)
) -> Metric:
    """labels: their names, where `values` may be empty."""
    names = tuple(values[0][0]) if values else labels
    family = kind(f"void_bridge_{name}", text, labels=names)
    for given, value in values:
        family.add_metric([given[label] for label in names], value)
    made: Metric = family
    return made


def _histogram(name: str, text: str, label: str, values: Sequence[tuple[Labels, Counted]]) -> Metric:
    family = HistogramMetricFamily(f"void_bridge_{name}", text, labels=[label])
    for given, counted in values:
        buckets = [("+Inf" if bound == INF else repr(bound), count) for bound, count in counted.buckets]
        family.add_metric([given[label]], buckets, counted.total)
    return family


# --- the port ----------------------------------------------------------------------------------------


class MetricsPort(socketserver.TCPServer):
    """Use as: `port = MetricsPort(9464); port.start(mailbox, snapshot); ...; port.stop()`.

    `snapshot()` is called through the mailbox, on the thread that owns what it looks at.

    Raises from the constructor:
        Refused: the port is taken, or not this user's to take.
    """

    allow_reuse_address = os.name != "nt"  # there it would let two servers have one port
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, port: int) -> None:
        try:
            super().__init__((_HOST, port), _Page)
        except OSError as exc:
            raise Refused(
                f"cannot show metrics on {_HOST}:{port}: {exc.strerror or exc}; "
                "choose another port with --metrics-port, or 0 for none"
            ) from exc
        self._lock = threading.Lock()
        self._open: dict[socket.socket, tuple[float, threading.Thread]] = {}
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def start(self, mailbox: Mailbox, snapshot: Callable[[], Snapshot]) -> None:
        self._mailbox, self._snapshot = mailbox, snapshot
        self._thread.start()

    def stop(self) -> None:
        """Let everybody go, also those who have not asked yet. Does nothing the second time."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()
        with self._lock:
            open_now = dict(self._open)
        for connection, (_, thread) in open_now.items():
            _shut(connection)
            thread.join(_ANSWER_S + 1)

    def page(self) -> bytes:
        """Raises queue.Empty: the server does not answer in time."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        answer: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()
        self._mailbox.post(lambda: answer.put(self._snapshot()))
        return metrics(answer.get(timeout=_ANSWER_S))

    def describe(self) -> list[Metric]:
        return []

    def process_request(self, request: Any, client_address: Any) -> None:
        """On a thread of its own, so that nobody waits for who says nothing."""
        thread = threading.Thread(target=self._answer, args=(request, client_address), name="metrics-page", daemon=True)
        with self._lock:
            is_full = len(self._open) >= CONNECTIONS_MAX
            if not is_full:
                self._open[request] = (time.monotonic(), thread)
        if is_full:
            self.shutdown_request(request)
        else:
            thread.start()

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError as exc:
            log.debug("metrics: a connection ended: %s", exc)
        finally:
            with self._lock:
                self._open.pop(request)
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Called often: who takes too long is let go, however steadily it trickles."""
        since = time.monotonic() - _CONNECTION_S
        with self._lock:
            for connection, (began, _) in self._open.items():
                if began < since:
                    _shut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.exception("metrics: a connection failed")


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it has gone
        connection.shutdown(socket.SHUT_RDWR)


class _Page(BaseHTTPRequestHandler):
    timeout = _READ_S
    server: MetricsPort

    def do_GET(self) -> None:
        if not self._names_this_machine():
            self._say(HTTPStatus.FORBIDDEN, f"ask for {_HOST} by that name")
        elif self.path.partition("?")[0] != "/metrics":
            self._say(HTTPStatus.NOT_FOUND, "there is /metrics, and nothing else")
        else:
            try:
                page = self.server.page()
            except queue.Empty:
                self._say(HTTPStatus.SERVICE_UNAVAILABLE, "the server does not answer in time")
            else:
                self._send(HTTPStatus.OK, page, _TEXT)

    def _names_this_machine(self) -> bool:
        """A web page elsewhere whose name is made to lead here (DNS rebinding) asks by that name."""
        hosts = self.headers.get_all("Host") or []
        return len(hosts) == 1 and bool(_HOSTS.fullmatch(hosts[0].strip()))

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send(status, f"{text}\n".encode(), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "void-bridge"

    def log_message(self, format: str, *args: object) -> None:
        """Said by nobody: Prometheus asks four times a minute."""
