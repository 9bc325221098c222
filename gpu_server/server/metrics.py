"""The metrics page for Prometheus, GET /metrics on a port of 127.0.0.1.

It shows counts alone, without a name of a user, a job or a file. `counters.py` counts events; the table `METRICS` here
shows the state of the server at the moment when it is asked.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any, get_args
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from void_bridge.errors import Refused
from void_bridge.protocol.messages import ServerStatus, WorkerState
from void_bridge.version import __version__

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 8
_HOST = "127.0.0.1"
_HOSTS = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.IGNORECASE)
_CONNECTION_S = 10.0
_ANSWER_S = 2.0

Value = float | Mapping[str, float] | None


@dataclass(frozen=True)
class StatusMetric:
    """A gauge, or a counter, that is read from the status of the server.

    Attributes:
        name: without `void_bridge_`.
        text: its help.
        read: returns the value, or one for each value of the label; None: it is left out for now.
        label: name of the label; empty: there is none.
        is_counter: whether it only grows.
    """

    name: str
    text: str
    read: Callable[[ServerStatus], Value]
    label: str = ""
    is_counter: bool = False

    def family(self, status: ServerStatus) -> Metric:
        """Return the metric with the values of a status."""
        kind = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        family: Metric = kind(f"void_bridge_{self.name}", self.text, labels=[self.label] if self.label else [])
        value = self.read(status)
        values = value if isinstance(value, Mapping) else {} if value is None else {"": value}
        for of, number in values.items():
            family.add_metric([of] if self.label else [], number)
        return family


def _worker_states(status: ServerStatus) -> dict[str, float]:
    counts = Counter(worker.state for worker in status.workers)
    return {state: counts[state] for state in get_args(WorkerState)}


# A new metric is one entry here, or in counters.py if it counts events; `make docs` writes it into the reference.
METRICS = [
    StatusMetric("start_time_seconds", "Start of the server, in seconds since 1970.", lambda s: s.started),
    StatusMetric("resident_memory_bytes", "Memory of the server's process.", lambda s: s.resident_bytes),
    StatusMetric("clients", "Clients heard in the last 30 seconds.", lambda s: s.clients),
    StatusMetric("spool_bytes", "Size of the inputs and results in the spool.", lambda s: s.spool.used_bytes),
    StatusMetric("spool_limit_bytes", "Largest size of the spool; 0: no limit.", lambda s: s.spool.limit_bytes),
    StatusMetric(
        "spool_disk_free_bytes",
        "Free space on the spool's disk; missing while the disk has not answered for 30 seconds.",
        lambda s: s.spool.free_bytes,
    ),
    StatusMetric("jobs", "Jobs that the server knows, by state.", lambda s: s.jobs, "state"),
    StatusMetric(
        "oldest_queued_job_age_seconds",
        "Age of the oldest queued job; 0: none is queued.",
        lambda s: s.oldest_queued_s or 0.0,
    ),
    StatusMetric("workers", "Worker processes, by state.", _worker_states, "state"),
    StatusMetric(
        "worker_resident_memory_bytes",
        "Memory of a worker's process.",
        lambda s: {str(worker.index): worker.resident_bytes for worker in s.workers},
        "worker",
    ),
    StatusMetric(
        "worker_silent_seconds",
        "Time since the last message of a worker that has a job.",
        lambda s: {str(w.index): w.silent_s or 0.0 for w in s.workers if w.state == "running"},
        "worker",
    ),
    StatusMetric(
        "worker_losses",
        "Worker processes that ended by themselves or had to be killed.",
        lambda s: {str(worker.index): worker.losses for worker in s.workers},
        "worker",
        is_counter=True,
    ),
]


class StatusMetrics:
    """A collector of prometheus_client for `METRICS`.

    Args:
        status: returns the status of the server.
        post: has a call made on the thread that may ask for the status.
    """

    def __init__(self, status: Callable[[], ServerStatus], post: Callable[[Callable[[], object]], None]) -> None:
        self._status, self._post = status, post

    def collect(self) -> Iterator[Metric]:
        """Yield every metric.

        Raises:
            queue.Empty: the thread that may ask for the status does not answer in time.
        """
        answer: queue.SimpleQueue[ServerStatus] = queue.SimpleQueue()
        self._post(lambda: answer.put(self._status()))
        status = answer.get(timeout=_ANSWER_S)
        yield InfoMetricFamily("void_bridge", "The server's version.", {"version": __version__})
        yield from (metric.family(status) for metric in METRICS)


class MetricsPort(ThreadingMixIn, WSGIServer):
    """The HTTP server of prometheus_client, with limits on how many connect and how long they take.

    Use as: `port = MetricsPort(9464); port.start(registry); ...; port.stop()`.

    Raises:
        Refused: the port is taken, or not this user's to take.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # on Windows it would let two servers have one port
    allow_reuse_port = False
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, port: int) -> None:
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._thread: threading.Thread | None = None
        try:
            super().__init__((_HOST, port), _SilentHandler)
        except OSError as exc:
            raise Refused(
                f"cannot show metrics on {_HOST}:{port}: {exc.strerror or exc}; "
                "choose another port with --metrics-port, or 0 for none"
            ) from exc

    def start(self, registry: CollectorRegistry) -> None:
        """Answer from now on, with what is in a registry."""
        self.set_app(_guarded(make_wsgi_app(registry)))
        self._thread = threading.Thread(target=self.serve_forever, args=(0.2,), name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and let the port go. Connections that are open are left to their time limit."""
        if self._thread:
            self.shutdown()
            self._thread.join()
        self.server_close()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether another connection may be served now."""
        return self._free.acquire(blocking=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection on a thread of its own."""
        try:
            super().process_request(request, client_address)
        except BaseException:  # the thread cannot start
            self._free.release()
            raise

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection, and shut it when its time is over, however steadily its client trickles."""
        timer = threading.Timer(_CONNECTION_S, _shut, [request])
        timer.daemon = True
        try:
            timer.start()
            super().finish_request(request, client_address)
        finally:
            timer.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log why a connection ended early."""
        log.debug("metrics: a connection ended", exc_info=True)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it has gone
        connection.shutdown(socket.SHUT_RDWR)


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: Prometheus asks four times a minute."""


def _guarded(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Wrap the page of prometheus_client, which answers any path and any name of this machine.

    A web page elsewhere whose name is made to lead here (DNS rebinding) asks by that name, and is refused.
    """

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not _HOSTS.fullmatch(environ.get("HTTP_HOST", "")):
            status, text = HTTPStatus.FORBIDDEN, f"use the name {_HOST}"
        elif environ["PATH_INFO"] != "/metrics":
            status, text = HTTPStatus.NOT_FOUND, "only /metrics exists"
        else:
            try:
                return app(environ, start_response)
            except queue.Empty:
                status, text = HTTPStatus.SERVICE_UNAVAILABLE, "the server does not answer in time"
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    return guarded
