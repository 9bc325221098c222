"""The main thread: who may call the API, and the queue of what other threads want done there."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple


@dataclass
class _Request:
    call: Callable[..., Any]
    args: Tuple[Any, ...]
    kwargs: Dict[str, Any]
    done: Optional[threading.Event] = None
    result: Any = None


@dataclass(frozen=True)
class LoggedCall:
    """A call that ran through the main thread, and how long it kept it, in seconds."""

    name: str
    seconds: float


@dataclass
class MainThread:
    """The thread that made the session is its main thread. `log` holds what ran through the queue."""

    event_loop: bool = True
    log: List[LoggedCall] = field(default_factory=list)
    closed: bool = False
    _thread: threading.Thread = field(default_factory=threading.current_thread)
    _queue: queue.Queue[_Request] = field(default_factory=queue.Queue)

    def check(self, name: str) -> None:
        here = threading.current_thread()
        if here is not self._thread:
            raise AssertionError(
                f"{name} was called on the thread {here.name!r}: Nuke's API belongs to the main thread"
            )

    def post(self, call: Callable[..., Any], args: Any = (), kwargs: Optional[Dict[str, Any]] = None) -> None:
        """Queue a call: `nuke.executeInMainThread`."""
        self._put(_Request(call, args if isinstance(args, tuple) else (args,), kwargs or {}))

    def pump(self, until: Callable[[], Any], timeout: float = 60.0) -> None:
        """Run calls as they come until `until()` holds.

        Raises:
            AssertionError: it still does not after `timeout` seconds.
        """
        self.check("pump")
        end = time.monotonic() + timeout
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                ran = ", ".join(call.name for call in self.log[-5:]) or "nothing"
                raise AssertionError(f"still not there after {timeout} s; the main thread ran last: {ran}")
            try:
                # What `until` waits for may also come without a call, as a file does; so it is asked again soon.
                self._run(self._queue.get(timeout=min(left, 0.05)))
            except queue.Empty:
                continue

    def close(self) -> None:
        """Take no more calls, and release the threads that wait for one."""
        self.closed = True
        while not self._queue.empty():
            request = self._queue.get_nowait()
            if request.done is not None:
                request.done.set()

    def _put(self, request: _Request) -> None:
        if threading.current_thread() is self._thread:
            raise AssertionError("executeInMainThread on the main thread would hang")
        if not self.event_loop:
            raise AssertionError("executeInMainThread in nuke -t: no event loop would ever run the call")
        if self.closed:
            if request.done is not None:
                request.done.set()
            return
        self._queue.put(request)

    def _run(self, request: _Request) -> None:
        start = time.perf_counter()
        try:
            request.result = request.call(*request.args, **request.kwargs)
        except Exception:
            if request.done is None:
                raise
            traceback.print_exc()
        finally:
            name = getattr(request.call, "__qualname__", repr(request.call))
            self.log.append(LoggedCall(name, time.perf_counter() - start))
            if request.done is not None:
                request.done.set()
