"""A worker process: started, spoken to over its pipes, and ended. No call waits on the caller's thread."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from gpu_server.logs import log_worker_line
from gpu_server.worker.messages import Ended, RunJob, WorkerMessage, receive, send

log = logging.getLogger(__name__)

_TAIL_LINES = 5
_LOG_END_S = 2.0  # a child of the worker may hold its stderr open
_TAIL_CHARACTERS = 600
_LINE_BYTES_MAX = 2**20


@dataclass(frozen=True)
class WorkerExit:
    """The end of a worker process.

    Attributes:
        exit_code: negative for a signal.
        tail: the last lines that it wrote to stderr.
    """

    exit_code: int
    tail: str

    def __str__(self) -> str:
        return f"exit code {self.exit_code}{': ' + self.tail if self.exit_code and self.tail else ''}"


class WorkerProcess:
    """A worker process. It is started at once, on a thread of this object.

    Args:
        name: of the process, for the log.
        command: that starts it.
        environment: its environment variables.
        on_message: called for each message, on a thread of this object.
        on_exit: called once, as the last, on a thread of this object.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_message: Callable[[WorkerMessage], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> None:
        self.name = name
        self._command, self._environment = tuple(command), dict(environment)
        self._on_message, self._on_exit = on_message, on_exit
        self._outbox: queue.SimpleQueue[WorkerMessage | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._jobs: list[str] = []  # that the process holds
        self._latest: list[str] = []  # the job that it was given last
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process's number; 0 until it has been started."""
        with self._lock:
            return self._process.pid if self._process else 0

    def send(self, message: WorkerMessage) -> None:
        """Send a message, after those sent before."""
        if isinstance(message, RunJob):
            self._jobs, self._latest = [*self._jobs, message.id], [message.id]
        self._outbox.put(message)

    def end(self) -> None:
        """Close the worker's stdin, which makes it end by itself."""
        self._outbox.put(None)

    def kill(self) -> None:
        """Kill the process now."""
        with self._lock:
            self._killed = True
            if self._process:
                self._process.kill()
        self._outbox.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait until the process has gone. Returns False if it has not within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            process = self._spawn()
        except OSError as exc:
            self._on_exit(WorkerExit(-1, f"cannot start {self._command[0]}: {exc.strerror or exc}"))
            return
        assert process.stdin and process.stdout and process.stderr
        writer = threading.Thread(target=self._write, args=(process.stdin,), name=f"{self.name}-stdin")
        logger = threading.Thread(
            target=self._read_log, args=(process.stderr,), name=f"{self.name}-stderr", daemon=True
        )
        writer.start()
        logger.start()
        try:
            for message in receive(cast(BinaryIO, process.stdout)):
                if isinstance(message, Ended):
                    self._jobs = [job for job in self._jobs if job != message.id]
                self._on_message(message)
        except Exception as exc:
            log.exception("%s: cannot read its messages", self.name)
            self._tail.append(f"it sent bytes that are not a message: {exc}")
            process.kill()
        self._outbox.put(None)
        exit_code = process.wait()
        writer.join()
        logger.join(_LOG_END_S)
        process.stdout.close()
        self._on_exit(WorkerExit(exit_code, " | ".join(self._tail)[-_TAIL_CHARACTERS:]))

    def _spawn(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        # A group of its own, so that Ctrl-C in the server's terminal leaves its end to the server.
        group: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe, env=self._environment, **group)
        with self._lock:
            self._process = process
            if self._killed:
                process.kill()
        return process

    def _write(self, stdin: IO[bytes]) -> None:
        with suppress(OSError):  # it has gone; the reader notices
            while (message := self._outbox.get()) is not None:
                send(cast(BinaryIO, stdin), message)
        with suppress(OSError):
            stdin.close()

    def _read_log(self, stderr: IO[bytes]) -> None:
        while line := stderr.readline(_LINE_BYTES_MAX):
            text = line.decode("utf-8", "replace").rstrip()
            messages = log_worker_line(self.name, text, self._jobs, self._latest)
            self._tail += [message[:_TAIL_CHARACTERS] for message in messages]
        stderr.close()
