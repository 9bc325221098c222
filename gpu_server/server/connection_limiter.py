"""The connections of a ROUTER socket, and an end for those that would fill memory or use up files.

ZeroMQ limits a frame, but not the frames of a message that never ends, and takes a frame of any message's size from a
stranger whose key it has not seen yet. So connections are counted here, and some are shut when there are too many
strangers or the process has grown too large. Honest clients connect again by themselves.
"""

from __future__ import annotations

import ctypes
import logging
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil
import zmq
from zmq.utils.monitor import parse_monitor_message

log = logging.getLogger(__name__)

STRANGERS_MAX = 128  # connections of a socket that have not said anything yet, nor proved their key
_CHECK_S = 0.05
_PATIENCE_S = 30.0  # if memory is not given back once all connections were shut, they are not what takes it
_GRACE_S = 0.1  # while strangers at another socket are shut
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED


class ConnectionLimiter:
    """The connections of one socket, for the thread that owns it.

    Use as: poll `monitor`, call `read_events()` when it is ready, `mark_authenticated(fd)` for each message, and
    `check_memory(now)` often.

    Args:
        router: the socket, bound.
        memory_bytes: how much the process may take besides what it has now; 0 is no limit.
        on_shut: called for each connection that was shut here.
    """

    def __init__(self, router: zmq.Socket[bytes], memory_bytes: int, on_shut: Callable[[], object]) -> None:
        self.monitor = router.get_monitor_socket(_EVENTS)
        self._router, self._on_shut = router, on_shut
        self._process = psutil.Process()
        self._memory_bytes = memory_bytes and memory_bytes + int(self._process.memory_info().rss)
        self._strangers: dict[int, None] = {}  # file descriptors, the oldest first
        self._known: set[int] = set()
        self._next_check = 0.0
        self._shut_known_at = 0.0

    def read_events(self) -> None:
        """Update the connection list; close the oldest unauthenticated ones over the limit."""
        with suppress(zmq.Again):
            while True:
                event = parse_monitor_message(self.monitor.recv_multipart(zmq.NOBLOCK))
                fd = int(event["value"])
                self._forget(fd)
                if event["event"] == zmq.EVENT_ACCEPTED:
                    self._strangers[fd] = None
        surplus = len(self._strangers) - STRANGERS_MAX
        if surplus > 0:
            self._shut(list(self._strangers)[:surplus])

    def mark_authenticated(self, fd: int) -> None:
        """Mark a connection as authenticated by its first message."""
        if fd not in self._known:
            self.read_events()
            self._strangers.pop(fd, None)
            self._known.add(fd)

    def check_memory(self, now: float) -> None:
        """Shut connections if the process takes more memory than it may: strangers first, then all, once."""
        if not self._memory_bytes or now < self._next_check:
            return
        self._next_check = now + _CHECK_S
        taken = self._resident_bytes()
        if taken <= self._memory_bytes:
            self._shut_known_at = now + _GRACE_S
        elif self._strangers:
            log.warning(
                "%d MB are taken: connections of unknown clients are closed (%d)", taken >> 20, len(self._strangers)
            )
            self._shut(list(self._strangers))
        elif self._known and now > self._shut_known_at:
            log.warning("%d MB are taken: all connections are closed (%d)", taken >> 20, len(self._known))
            self._shut(list(self._known))
            self._shut_known_at = now + _PATIENCE_S

    def _resident_bytes(self) -> int:
        """Return the memory of the process, after freed memory went back to the system if it was too much."""
        taken = int(self._process.memory_info().rss)
        if taken > self._memory_bytes:
            give_back_freed_memory()
            taken = int(self._process.memory_info().rss)
        return taken

    def close(self) -> None:
        """Stop following the socket."""
        self._router.disable_monitor()
        self.monitor.close(linger=0)

    def _forget(self, fd: int) -> None:
        self._strangers.pop(fd, None)
        self._known.discard(fd)

    def _shut(self, descriptors: Iterable[int]) -> None:
        port = int(self._router.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        for fd in descriptors:
            self._forget(fd)
            with suppress(OSError):  # it has gone in the meantime
                if _shut_if_ours(fd, port):
                    self._on_shut()


def give_back_freed_memory() -> None:
    """Have the C library return freed memory to the system, where it keeps some for later (glibc)."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _shut_if_ours(fd: int, port: int) -> bool:
    """Shut a connection that was accepted at `port`, and return whether it was one.

    The descriptor may stand for another file by now, so its address is compared first.
    """
    with socket.socket(fileno=os.dup(fd)) as connection:
        if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.getsockname()[1] == port:
            connection.shutdown(socket.SHUT_RDWR)
            return True
    return False
