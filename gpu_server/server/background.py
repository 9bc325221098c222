"""Slow work in a pool, its outcome back on the thread that asked for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor

from gpu_server.logs import of_job
from gpu_server.server.sockets import Mailbox
from void_bridge.errors import InternalError, VoidBridgeError

log = logging.getLogger(__name__)


class Background:
    """Work for one loop. Exceptions come back as errors of the tree."""

    def __init__(self, pool: Executor, mailbox: Mailbox) -> None:
        self._pool, self._mailbox = pool, mailbox

    def do(
        self,
        work: Callable[[], object],
        then: Callable[[VoidBridgeError | None], object] | None = None,
        about: str = "",
    ) -> None:
        """`then(error)` is called by the mailbox's thread once `work` is through. about: the job, for the log."""

        def run() -> None:
            error: VoidBridgeError | None = None
            try:
                work()
            except VoidBridgeError as exc:
                error = exc
            except Exception as exc:
                log.exception("background work failed", extra=of_job(about))
                error = InternalError(f"the server failed: {type(exc).__name__}: {exc}; see its log")
            if then:
                self._mailbox.post(then, error)

        self._pool.submit(run)
