"""Calls from other threads to the thread of a loop, and slow work whose outcome comes back that way."""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from gpu_server.logs import of_job
from void_bridge.errors import InternalError, VoidBridgeError

log = logging.getLogger(__name__)


class Mailbox:
    """A queue of calls for the thread that polls `fileno()`."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable while calls wait."""
        return self._reader.fileno()

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Queue `call(*args)` for the mailbox's thread. Never blocks."""
        self._calls.append((call, args))
        with suppress(OSError):  # full: a wake-up is already on its way; closed: the loop has ended
            self._writer.send(b"\0")

    def run(self) -> None:
        """Make the calls that wait now."""
        with suppress(BlockingIOError):
            self._reader.recv(4096)
        for _ in range(len(self._calls)):
            call, args = self._calls.popleft()
            try:
                call(*args)
            except Exception:
                log.exception("a posted call failed")

    def close(self) -> None:
        """Close the sockets that wake the thread up."""
        self._reader.close()
        self._writer.close()


class Background:
    """Slow work for one loop, done in a pool of threads."""

    def __init__(self, pool: Executor, mailbox: Mailbox) -> None:
        self._pool, self._mailbox = pool, mailbox

    def do(
        self,
        work: Callable[[], object],
        then: Callable[[VoidBridgeError | None], object] | None = None,
        job_id: str = "",
    ) -> None:
        """Run `work` in the pool.

        Args:
            work: the slow call.
            then: called with the error, or None, on the mailbox's thread once `work` has ended.
            job_id: the job that the work is for; for the log.
        """

        def run() -> None:
            error: VoidBridgeError | None = None
            try:
                work()
            except Exception as exc:
                error = named_error(exc, job_id)
            if then:
                self._mailbox.post(then, error)

        self._pool.submit(run)


def named_error(exc: Exception, job_id: str = "") -> VoidBridgeError:
    """Return the error of the tree that clients see for an exception, and log an unexpected one.

    Args:
        exc: any exception; one of the tree is returned as it is.
        job_id: the job that it is about; for the log.
    """
    if isinstance(exc, VoidBridgeError):
        return exc
    log.error("unexpected", exc_info=exc, extra=of_job(job_id))
    return InternalError(f"the server failed: {type(exc).__name__}: {exc}; look at its log")
