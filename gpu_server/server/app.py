"""A server from start to end: folder, journal, keys, sockets, threads, and the file by which clients find it."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from gpu_server.server.background import Background
from gpu_server.server.blob_index import BlobIndex
from gpu_server.server.control import ControlLoop
from gpu_server.server.counters import Counters
from gpu_server.server.data import WINDOW, DataLoop
from gpu_server.server.dispatch import Dispatcher
from gpu_server.server.job_store import JobStore
from gpu_server.server.jobs import JobRecord, JobTable
from gpu_server.server.journal import Journal, JournalThread
from gpu_server.server.security import ClientAuthenticator, make_keys
from gpu_server.server.server_status import Snapshot, StatusCollector
from gpu_server.server.service import JobService
from gpu_server.server.settings import ServerSettings, split_bind
from gpu_server.server.spool import Spool
from void_bridge import __version__
from void_bridge.connection import (
    Connection,
    connection_path,
    host_identity,
    installation_id,
    remove_connection,
    write_connection,
)
from void_bridge.errors import Refused
from void_bridge.protocol.framing import HEADER_BYTES_MAX, PART_BYTES
from void_bridge.protocol.messages import PROTOCOL_VERSION, Welcome

if TYPE_CHECKING:
    from gpu_server.server.metrics import MetricsPort

log = logging.getLogger(__name__)

ANSWERS_MAX = 512  # on the control socket: small, and a client may ask for much at once
_POOL_THREADS = 4
_ELSEWHERE_THREADS = 16  # for what clients name on their disks: a share that stalls must not hold up the spool's files
_CURVE_OVERHEAD = 1024
_HANDSHAKE_MS = 10_000
_HEARTBEAT_MS = 10_000  # a machine that went away without a word is let go after three
_SIGNAL_CHECK_S = 0.5


class Server:
    """Use as: `server = Server(settings); server.start(); ...; server.stop()`, or `run(settings)`.

    Raises from the constructor:
        Refused: the spool is in use, or the address needs keys that are not there.
        UsageError: an address that cannot be listened on.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._stop_reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._keys = make_keys(settings)
        self._spool = Spool(settings.spool)
        self.logs = self._spool.logs
        try:
            self._build()
        except BaseException:
            self._spool.close()
            raise

    def _build(self) -> None:
        settings = self.settings
        journal = self._journal = Journal(self._spool.journal_path)
        records, blob_index = recover(journal, self._spool)
        self._writer = JournalThread(journal)
        self._pool = ThreadPoolExecutor(_POOL_THREADS, "pool")
        self._elsewhere = ThreadPoolExecutor(_ELSEWHERE_THREADS, "elsewhere")
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator = ClientAuthenticator(self._context, self._keys)
        try:
            control_router, data_router = self._bind_both()
            self._metrics = _metrics_port(settings)
        except BaseException:
            self._authenticator.stop()
            self._context.destroy(linger=0)
            journal.close()
            raise
        table = JobTable()
        self._control = ControlLoop(control_router, self._welcome, settings, table, lambda: self.ask_to_stop("idle"))
        mailbox = self._control.mailbox
        counters = Counters(settings.engines)
        self._store = JobStore(table, blob_index, self._writer, mailbox, self._control.changed, counters)
        previewed = self._control.previewed
        background = Background(self._elsewhere, mailbox)
        self._dispatcher = Dispatcher(settings, self._store, self._spool, background, mailbox, previewed)
        self._service = JobService(
            settings, self._store, self._dispatcher, self._spool, background, self._control.is_present
        )
        self._data = DataLoop(
            data_router,
            self._welcome,
            blob_index,
            self._spool,
            self._pool,
            self._writer,
            mailbox,
            self._service.blob_stored,
            settings.upload_patience_s,
            settings.memory_bytes,
        )
        self._control.dispatcher, self._control.service = self._dispatcher, self._service
        self._control.status_collector = StatusCollector(
            settings, self._store, self._dispatcher, background, self._control.present_clients
        )
        self._control.data_loop = self._data
        self._control.admits = self._data.admits = self._authenticator.admits
        for record in records:
            self._store.admit(record)

    def _bind_both(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """The control socket where asked; the data socket on the next port, or any if the first is any."""
        host, port = split_bind(self.settings.bind)
        control, control_port = self._bind(host, port, HEADER_BYTES_MAX, ANSWERS_MAX)
        data, data_port = self._bind(host, port + 1 if port else None, PART_BYTES, 2 * WINDOW)
        near = "127.0.0.1" if host in ("0.0.0.0", "*", "localhost") else host
        self.control_address = f"tcp://{near}:{control_port}"
        self._local_data_address = f"tcp://{near}:{data_port}"
        self._data_address = f"tcp://{'*' if host in ('0.0.0.0', '*') else near}:{data_port}"
        return control, data

    def _bind(
        self, host: str, port: int | None, frame_bytes_max: int, answers_max: int
    ) -> tuple[zmq.Socket[bytes], int]:
        """answers_max: that wait for one client; what comes beyond them is dropped."""
        router = self._context.socket(zmq.ROUTER)
        self._authenticator.guard(router)
        router.setsockopt(zmq.MAXMSGSIZE, frame_bytes_max + _CURVE_OVERHEAD)
        router.setsockopt(zmq.RCVHWM, 2 * WINDOW)
        router.setsockopt(zmq.SNDHWM, answers_max)
        router.setsockopt(zmq.LINGER, 0)  # what a client that has gone did not take is not kept for it
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        router.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * _HEARTBEAT_MS)
        address = f"tcp://{'127.0.0.1' if host == 'localhost' else host}:{port or '*'}"
        try:
            router.bind(address)
        except zmq.ZMQError as exc:
            router.close()
            raise Refused(f"cannot listen on {address}: {exc}; choose another address with --bind") from exc
        return router, int(router.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def _welcome(self) -> Welcome:
        return Welcome(
            protocol=PROTOCOL_VERSION,
            server=f"void-bridge {__version__}",
            installation=installation_id(),
            host=host_identity(),
            data_address=self._data_address,
            window=WINDOW,
            part_bytes=PART_BYTES,
            roots=self.settings.allowed_roots,
            engines=self.settings.engines,
        )

    def _snapshot(self) -> Snapshot:
        """On the control thread."""
        loops = {"control": self._control, "data": self._data}
        return self._control.status_collector.snapshot(loops, self._authenticator.turned_away)

    def start(self) -> None:
        """Answer clients, and be found by them.

        Raises:
            Refused, OutputError: the connection file cannot be written; the server has ended then.
        """
        try:
            self._write_connection()
        except BaseException:
            for path in self._connection_paths:
                remove_connection(path, self._connection)
            self._control.mailbox.close()
            self._data.mailbox.close()
            self._journal.close()
            if self._metrics:
                self._metrics.stop()
            self._let_go()
            raise
        self._writer.start()
        self._control.start()
        self._data.start()
        if self._metrics:
            self._metrics.start(self._control.mailbox, self._snapshot)
        self._control.mailbox.post(self._dispatcher.fill if self.settings.autostarted else self._dispatcher.start_all)
        log.info("listening on %s, spool %s", self.control_address, self.settings.spool)

    def _write_connection(self) -> None:
        """For clients that ask for this address, and for those that ask for none."""
        self._connection = Connection(
            control_address=self.control_address,
            data_address=self._local_data_address,
            server_public=self._keys.server_public.decode(),
            client_public=self._keys.client_public.decode(),
            client_secret=self._keys.client_secret.decode(),
            server_pid=os.getpid(),
            installation=installation_id(),
            version=__version__,
        )
        folder = self.settings.runtime_dir
        self._connection_paths = (connection_path(folder, self.control_address), connection_path(folder))
        for path in self._connection_paths:
            write_connection(path, self._connection)

    def ask_to_stop(self, reason: str) -> None:
        """Have `wait` return. From any thread, and from a signal handler."""
        self._stop_reasons.put(reason)

    def wait(self) -> str:
        """Wait until somebody asks the server to stop; returns why."""
        while True:
            # Not for ever: a signal that comes just before the wait is handled only once that is over.
            with suppress(queue.Empty):
                return self._stop_reasons.get(timeout=_SIGNAL_CHECK_S)

    def stop(self, patience_s: float = 10.0) -> None:
        """End the workers and everything else. Jobs that run stay as they are; the next start goes on with them."""
        for path in self._connection_paths:
            remove_connection(path, self._connection)
        if self._metrics:
            self._metrics.stop()
        self._end_workers(patience_s)
        for loop in (self._data, self._control):
            loop.stop()
            loop.join()
        self._pool.shutdown()
        self._elsewhere.shutdown()
        self._writer.stop()
        self._writer.join()
        self._let_go()

    def _let_go(self) -> None:
        self._authenticator.stop()
        self._context.destroy(linger=200)
        self._spool.close()

    def _end_workers(self, patience_s: float) -> None:
        told = threading.Event()
        processes = []

        def close() -> None:
            self._service.is_closing = True
            processes.extend(self._dispatcher.close())
            told.set()

        self._control.mailbox.post(close)
        told.wait(patience_s)
        deadline = time.monotonic() + patience_s
        for process in processes:
            if not process.join(max(0.0, deadline - time.monotonic())):
                process.kill()
                process.join(patience_s)


def _metrics_port(settings: ServerSettings) -> MetricsPort | None:
    """Raises Refused: the port is taken, except where a client started this server: its job matters more."""
    if not settings.metrics_port:
        return None
    try:
        from gpu_server.server.metrics import MetricsPort

        return MetricsPort(settings.metrics_port)
    except ImportError as exc:
        raise Refused(f"metrics need prometheus-client ({exc}); install void-bridge[server] again") from exc
    except Refused as exc:
        if not settings.autostarted:
            raise
        log.warning("no metrics: %s", exc)
        return None


def recover(journal: Journal, spool: Spool) -> tuple[list[JobRecord], BlobIndex]:
    """Jobs as they go on after a start, and what the spool holds. What was running is queued again."""
    records = journal.jobs()
    damaged = spool.sweep(journal.blobs(), [record.id for record in records])
    journal.remove_blobs(damaged)
    blob_index = BlobIndex()
    for digest, size in journal.blobs().items():
        blob_index.hold(digest, size)
    for record in records:
        if record.is_final:
            record.forget_inputs()
        else:
            _resume(record, journal, spool, blob_index)
        for frame in record.frames.values():
            blob_index.publish(record.id, frame)
    return records, blob_index


def _resume(record: JobRecord, journal: Journal, spool: Spool, blob_index: BlobIndex) -> None:
    for frame in list(record.frames.values()):
        if not spool.holds(frame):
            del record.frames[frame.frame]
            journal.remove_frame(record.id, frame.frame)
    lacking = any(blob_index.lacks(digest) for digest in record.blob_sizes)
    record.state = "receiving" if lacking else "queued"
    journal.set_state(record.id, record.state, **record.outcome())


def run(settings: ServerSettings, keep_log_in: Callable[[Path], object] = lambda _: None) -> None:
    """Serve until SIGTERM, SIGINT or, if autostarted, idleness. A second signal ends at once.

    Args:
        keep_log_in: called with the folder for logs, once that is known to be this server's own.

    Raises:
        Refused, UsageError: see Server.
    """
    server = Server(settings)
    keep_log_in(server.logs)
    signals: list[int] = []

    def on_signal(number: int, _: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            os._exit(128 + number)
        server.ask_to_stop(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    server.start()
    log.info("stopping (%s)", server.wait())
    server.stop()
