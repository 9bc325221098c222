"""A server from start to end: folder, journal, keys, sockets, threads, and the file through which clients find it."""

from __future__ import annotations

import logging
import os
import queue
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import zmq

from gpu_server.server.blob_index import BlobIndex
from gpu_server.server.control import ControlLoop
from gpu_server.server.counters import Counters
from gpu_server.server.data import WINDOW, DataLoop
from gpu_server.server.dispatch import Dispatcher
from gpu_server.server.job_store import JobStore
from gpu_server.server.jobs import JobRecord, JobTable
from gpu_server.server.journal import Journal, JournalThread
from gpu_server.server.mailbox import Background, Mailbox
from gpu_server.server.metrics import MetricsPort, StatusMetrics
from gpu_server.server.security import ClientAuthenticator, make_keys
from gpu_server.server.server_status import StatusCollector
from gpu_server.server.service import JobService
from gpu_server.server.settings import ServerSettings, split_bind
from gpu_server.server.sockets import Clients, Listener, RouterLoop
from gpu_server.server.spool import Spool
from gpu_server.server.watchers import Watchers
from gpu_server.server.worker_process import WorkerProcess
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
from void_bridge.version import __version__

log = logging.getLogger(__name__)

ANSWERS_MAX = 512  # that wait for a client of the control socket: they are small, and it may ask for much at once
_POOL_THREADS = 4
_CLIENT_DISK_THREADS = 16  # for files that clients name: a share that stalls must not hold up the spool's files
_CURVE_OVERHEAD = 1024
_HANDSHAKE_MS = 10_000
_HEARTBEAT_MS = 10_000  # a machine that went away without a goodbye is dropped after three
_SIGNAL_CHECK_S = 0.5


class Server:
    """A server in this process.

    Use as: `server = Server(settings); server.start(); ...; server.stop()`, or `run(settings)`.

    Args:
        settings: of the server.

    Attributes:
        settings: of the server.
        logs: the folder for its logs.
        control_address: URL of the control socket.

    Raises:
        Refused: the spool is in use, or the address needs keys that are not there.
        UsageError: an address that cannot be listened on.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._stop_reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._connection_paths: tuple[Path, ...] = ()
        self._keys = make_keys(settings)
        with ExitStack() as opened:
            self._build(opened)
            self._opened = opened.pop_all()  # to be closed, the last one first, when the server ends

    def _build(self, opened: ExitStack) -> None:
        settings, counters = self.settings, Counters(self.settings.engines)
        self._spool = Spool(settings.spool)
        opened.callback(self._spool.close)
        self.logs = self._spool.logs
        journal = Journal(self._spool.journal_path)
        opened.callback(journal.close)
        records, blob_index = recover(journal, self._spool)
        control_listener, data_listener = self._listen(opened, counters)
        self._writer = JournalThread(journal)
        self._pool = ThreadPoolExecutor(_POOL_THREADS, "pool")
        self._client_disks = ThreadPoolExecutor(_CLIENT_DISK_THREADS, "client-disks")
        mailbox, watchers = Mailbox(), Watchers()
        opened.callback(mailbox.close)
        background = Background(self._client_disks, mailbox)
        store = self._store = JobStore(JobTable(), blob_index, self._writer, mailbox, watchers.changed, counters)
        self._dispatcher = Dispatcher(settings, store, self._spool, background, mailbox, watchers.previewed)
        self._service = JobService(
            settings, store, self._dispatcher, self._spool, background, control_listener.clients.is_present
        )
        status = StatusCollector(settings, store, self._dispatcher, background, control_listener.clients.count)
        self._data = DataLoop(
            data_listener,
            blob_index,
            self._spool,
            self._pool,
            self._writer,
            mailbox,
            self._service.blob_stored,
            settings.upload_patience_s,
        )
        opened.callback(self._data.mailbox.close)
        self._control = ControlLoop(
            control_listener,
            mailbox,
            settings,
            store,
            watchers,
            self._dispatcher,
            self._service,
            status,
            data_listener.clients,
            lambda: self.ask_to_stop("idle"),
        )
        counters.registry.register(StatusMetrics(status.collect, mailbox.post))
        self._registry = counters.registry
        for record in records:
            store.admit(record)

    def _listen(self, opened: ExitStack, counters: Counters) -> tuple[Listener, Listener]:
        """Bind the port for metrics, the control socket where asked, and the data socket to the next port, or any."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        opened.callback(self._context.destroy, linger=200)
        self._authenticator = ClientAuthenticator(self._context, self._keys, counters.turned_away_keys.inc)
        opened.callback(self._authenticator.stop)
        settings = self.settings
        self._metrics = _metrics_port(settings)
        if self._metrics:
            opened.callback(self._metrics.stop)
        host, port = split_bind(settings.bind)
        control, control_port = self._bind(host, port, HEADER_BYTES_MAX, ANSWERS_MAX)
        data, data_port = self._bind(host, port + 1 if port else None, PART_BYTES, 2 * WINDOW)
        is_open = host in ("0.0.0.0", "*")
        near = "127.0.0.1" if is_open or host == "localhost" else host
        self.control_address = f"tcp://{near}:{control_port}"
        self._local_data_address = f"tcp://{near}:{data_port}"
        welcome = Welcome(
            protocol=PROTOCOL_VERSION,
            server=f"void-bridge {__version__}",
            installation=installation_id(),
            host=host_identity(),
            data_address=f"tcp://{'*' if is_open else near}:{data_port}",
            window=WINDOW,
            part_bytes=PART_BYTES,
            roots=settings.allowed_roots,
            engines=settings.engines,
        )

        def listener(name: str, router: zmq.Socket[bytes]) -> Listener:
            clients = Clients(settings.ping_deadline_s)
            return Listener(
                name, router, welcome, self._authenticator.is_allowed, clients, counters, settings.memory_bytes
            )

        return listener("control", control), listener("data", data)

    def _bind(
        self, host: str, port: int | None, frame_bytes_max: int, answers_max: int
    ) -> tuple[zmq.Socket[bytes], int]:
        """Bind a socket.

        Args:
            host: to listen on.
            port: to listen on; None: any.
            frame_bytes_max: that a frame of a message may have.
            answers_max: that wait for one client; more are dropped.

        Returns:
            The socket and its port.
        """
        router = self._context.socket(zmq.ROUTER)
        self._authenticator.protect(router)
        router.setsockopt(zmq.MAXMSGSIZE, frame_bytes_max + _CURVE_OVERHEAD)
        router.setsockopt(zmq.RCVHWM, 2 * WINDOW)
        router.setsockopt(zmq.SNDHWM, answers_max)
        router.setsockopt(zmq.LINGER, 0)  # answers that a client did not take before it left are not kept
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

    def start(self) -> None:
        """Answer clients, and let them find this server.

        Raises:
            Refused: the connection file cannot be written; the server has ended then.
            OutputError: the same.
        """
        try:
            self._write_connection()
        except BaseException:
            for path in self._connection_paths:
                remove_connection(path, self._connection)
            self._opened.close()
            raise
        self._writer.start()
        self._control.start()
        self._data.start()
        if self._metrics:
            self._metrics.start(self._registry)
        self._control.mailbox.post(self._dispatcher.fill if self.settings.autostarted else self._dispatcher.start_all)
        log.info("listening on %s, spool %s", self.control_address, self.settings.spool)

    def _write_connection(self) -> None:
        """Write the files for clients that ask for this address, and for those that ask for none."""
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
        """Make `wait` return; safe in threads and signal handlers."""
        self._stop_reasons.put(reason)

    def wait(self) -> str:
        """Wait until the server is asked to stop. Returns the reason."""
        while True:
            # With a limit: a signal that comes just before the wait is handled only once that is over.
            with suppress(queue.Empty):
                return self._stop_reasons.get(timeout=_SIGNAL_CHECK_S)

    def stop(self, patience_s: float = 10.0) -> None:
        """End the workers and everything else. Jobs that run stay as they are; the next start resumes them."""
        for path in self._connection_paths:
            remove_connection(path, self._connection)
        if self._metrics:
            self._metrics.stop()
        if self._control.is_alive():
            self._end_workers(patience_s)
        for thread in (self._data, self._control):
            _end(thread)
        self._pool.shutdown()
        self._client_disks.shutdown()
        _end(self._writer)
        self._opened.close()

    def _end_workers(self, patience_s: float) -> None:
        closed: queue.SimpleQueue[list[WorkerProcess]] = queue.SimpleQueue()

        def close() -> None:
            self._service.close()
            closed.put(self._dispatcher.close())

        self._control.mailbox.post(close)
        with suppress(queue.Empty):
            processes = closed.get(timeout=patience_s)
            deadline = time.monotonic() + patience_s
            for process in processes:
                if not process.join(max(0.0, deadline - time.monotonic())):
                    process.kill()
                    process.join(patience_s)


def _end(thread: RouterLoop | JournalThread) -> None:
    """End a thread, unless it never ran."""
    if thread.ident is not None:
        thread.stop()
        thread.join()


def _metrics_port(settings: ServerSettings) -> MetricsPort | None:
    """Take the port for metrics, if there is to be one.

    Raises:
        Refused: it is taken, except where a client started this server, whose job matters more.
    """
    try:
        return MetricsPort(settings.metrics_port) if settings.metrics_port else None
    except Refused as exc:
        if not settings.autostarted:
            raise
        log.warning("metrics are off: %s", exc)
        return None


def recover(journal: Journal, spool: Spool) -> tuple[list[JobRecord], BlobIndex]:
    """Return the jobs as they go on after a start, and the blobs and frames in the spool. Running ones are queued."""
    records = journal.jobs()
    damaged = spool.sweep(journal.blobs(), [record.id for record in records])
    journal.remove_blobs(damaged)
    blob_index = BlobIndex()
    for digest, size in journal.blobs().items():
        blob_index.add(digest, size)
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
    is_lacking = any(blob_index.lacks(digest) for digest in record.blob_sizes)
    record.state = "receiving" if is_lacking else "queued"
    journal.set_state(record.id, record.state, **record.outcome())


def run(settings: ServerSettings, keep_log_in: Callable[[Path], object] = lambda _: None) -> None:
    """Serve until SIGTERM, SIGINT or, if autostarted, idleness. A second signal ends the process at once.

    Args:
        settings: of the server.
        keep_log_in: called with the folder for logs, once that is known to be this server's own.

    Raises:
        Refused: see Server.
        UsageError: see Server.
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
