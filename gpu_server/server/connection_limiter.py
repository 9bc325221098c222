"""Which connections a ROUTER socket has, and an end for those that would fill memory or use up files.

ZeroMQ limits a frame, not the frames of a message that never ends, and takes a frame of any message's size from a
stranger whose key it has not seen yet. So connections are counted here, and some are shut when there are too many
strangers or the process has grown too large. Honest clients connect anew by themselves.
"""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import time
from collections.abc import Iterable
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
    """Of one socket, for the thread that owns it. memory_bytes: that the process may take besides what it
    has now; 0: any.

    Use as: poll `monitor`, call `note()` when it is ready, `heard(fd)` for a message, `watch()` often.
    """

    def __init__(self, router: zmq.Socket[bytes], memory_bytes: int) -> None:
        self.monitor = router.get_monitor_socket(_EVENTS)
        self._router = router
        self._process = psutil.Process()
        self._memory_bytes = memory_bytes and memory_bytes + int(self._process.memory_info().rss)
        self._strangers: dict[int, float] = {}  # file descriptor -> when it connected, monotonic; oldest first
        self._known: set[int] = set()
        self._next_check = 0.0
        self._shut_known_at = 0.0
        self.shut = 0  # connections that were ended here, so far

    def note(self) -> None:
        """Take what ZeroMQ says of connections that came and went."""
        with suppress(zmq.Again):
            while True:
                event = parse_monitor_message(self.monitor.recv_multipart(zmq.NOBLOCK))
                fd = int(event["value"])
                self._forget(fd)
                if event["event"] == zmq.EVENT_ACCEPTED:
                    self._strangers[fd] = time.monotonic()
        many = len(self._strangers) - STRANGERS_MAX
        if many > 0:
            self._shut(list(self._strangers)[:many])

    def heard(self, fd: int) -> None:
        """A whole message came over a connection."""
        if fd not in self._known:
            self.note()
            self._strangers.pop(fd, None)
            self._known.add(fd)

    def watch(self, now: float) -> None:
        """Shut connections if the process takes more memory than it may: strangers first, then all, once."""
        if not self._memory_bytes or now < self._next_check:
            return
        self._next_check = now + _CHECK_S
        taken = self._taken()
        if taken <= self._memory_bytes:
            self._shut_known_at = now + _GRACE_S
        elif self._strangers:
            log.warning("%d MB are taken: %d strangers are shut out", taken >> 20, len(self._strangers))
            self._shut(list(self._strangers))
        elif self._known and now > self._shut_known_at:
            log.warning("%d MB are taken: all %d connections are shut", taken >> 20, len(self._known))
            self._shut(list(self._known))
            self._shut_known_at = now + _PATIENCE_S

    def _taken(self) -> int:
        """Bytes resident, after what was freed has gone back to the system if they are too many."""
        taken = int(self._process.memory_info().rss)
        if taken > self._memory_bytes:
            give_back_freed_memory()
            taken = int(self._process.memory_info().rss)
        return taken

    def close(self) -> None:
        self._router.disable_monitor()
        self.monitor.close(linger=0)

    def _port(self) -> int:
        return int(self._router.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def _forget(self, fd: int) -> None:
        self._strangers.pop(fd, None)
        self._known.discard(fd)

    def _shut(self, descriptors: Iterable[int]) -> None:
        for fd in descriptors:
            self._forget(fd)
            with suppress(OSError):  # it has gone in the meantime
                self.shut += _shut_if_ours(fd, self._port())


def give_back_freed_memory() -> None:
    """Where the C library keeps what was freed for later (glibc), have it go back to the system."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _shut_if_ours(fd: int, port: int) -> bool:
    """End a connection that was accepted at `port`. The number may stand for another file by now, so look first."""
    with socket.socket(fileno=os.dup(fd)) as connection:
        if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.getsockname()[1] == port:
            connection.shutdown(socket.SHUT_RDWR)
            return True
    return False
