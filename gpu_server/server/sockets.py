"""A thread that owns one ROUTER socket: receives with caps, knows its clients, never stops for a bad message."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import zmq

from gpu_server.logs import about_job
from gpu_server.server.connection_limiter import ConnectionLimiter
from gpu_server.server.counters import ANSWER_SECONDS, Histogram
from void_bridge.errors import InternalError, ProtocolError, Refused, VersionMismatch, VoidBridgeError
from void_bridge.protocol.framing import BUFFERS_MAX, Envelope, decode, encode, request_number
from void_bridge.protocol.messages import PROTOCOL_VERSION, ErrorReply, Hello, Message, Ping, Pong, Welcome

log = logging.getLogger(__name__)

_SESSIONS_MAX = 4096
_BATCH_MAX = 64  # messages taken before posted calls get their turn
_TICK_S = 0.1


class Mailbox:
    """Calls that other threads want made on the thread that polls `fileno()`. `post` never blocks."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        return self._reader.fileno()

    def post(self, call: Callable[..., object], *args: Any) -> None:
        self._calls.append((call, args))
        with suppress(OSError):  # full: a wake-up is on its way; closed: nobody listens any more
            self._writer.send(b"\0")

    def run(self) -> None:
        """Make the calls that are there now."""
        with suppress(BlockingIOError):
            self._reader.recv(4096)
        for _ in range(len(self._calls)):
            call, args = self._calls.popleft()
            try:
                call(*args)
            except Exception:
                log.exception("a posted call failed")

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class RouterLoop(threading.Thread):
    """Subclasses answer messages in `handle` and do what is due in `tick`."""

    def __init__(
        self, name: str, router: zmq.Socket[bytes], welcome: Callable[[], Welcome], memory_bytes: int = 0
    ) -> None:
        super().__init__(name=name)
        self.mailbox = Mailbox()
        self.sessions: OrderedDict[bytes, float] = OrderedDict()  # client -> last heard of, monotonic; latest last
        self._router = router
        self._limiter = ConnectionLimiter(router, memory_bytes)
        self._welcome = welcome
        self._running = True
        self.admits: Callable[[str], bool] = _anybody  # whether a key that came in may still be here; no disk
        self.last_heard = time.monotonic()  # of any client, to be read by any thread
        self.refusals: Counter[str] = Counter()  # code of an error -> how many were sent; to be read by any thread
        self.answer_seconds = Histogram(ANSWER_SECONDS)  # from taking a message to being through with it

    def handle(self, client: bytes, envelope: Envelope) -> None:
        raise NotImplementedError

    def tick(self, now: float) -> None:
        pass

    def takes_input(self) -> bool:
        """False while what has been taken already fills the memory set aside for it."""
        return True

    @property
    def shut(self) -> int:
        """Connections that were ended from here, so far."""
        return self._limiter.shut

    def stop(self) -> None:
        """Leave the loop and close the socket. From any thread."""
        self.mailbox.post(self._stop)

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self.mailbox.fileno(), zmq.POLLIN)
        poller.register(self._limiter.monitor, zmq.POLLIN)
        while self._running:
            poller.register(self._router, zmq.POLLIN if self.takes_input() else 0)
            ready = dict(poller.poll(int(_TICK_S * 1000)))
            self.mailbox.run()
            if self._limiter.monitor in ready:
                self._survive(self._limiter.note)
            if self._router in ready:
                self._survive(self._take_messages)
            self._survive(self._do_what_is_due)
        self._limiter.close()
        self._router.close(linger=200)
        self.mailbox.close()

    def _survive(self, step: Callable[[], None]) -> None:
        """What nobody foresaw at one step ends neither the loop nor the others."""
        try:
            step()
        except Exception:
            log.exception("%s: %s failed", self.name, step.__name__)

    def _do_what_is_due(self) -> None:
        self._limiter.watch(time.monotonic())
        self.tick(time.monotonic())

    def reply(self, client: bytes, number: int, message: Message, *buffers: Any) -> bool:
        """Send without waiting; False if the client has gone or takes nothing."""
        if isinstance(message, ErrorReply):
            self.refusals[message.code] += 1
        try:
            self._router.send_multipart([client, *encode(Envelope(message, number, buffers))], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            log.debug("a client takes nothing; dropped %s", message.type)
            return False
        except zmq.ZMQError as exc:
            if exc.errno != zmq.EHOSTUNREACH:
                raise
            self.sessions.pop(client, None)
            return False
        return True

    def refuse(self, client: bytes, number: int, error: Exception) -> None:
        if not isinstance(error, VoidBridgeError):
            log.error("a request failed", exc_info=error)
            error = InternalError(f"the server failed at this request: {type(error).__name__}; see its log")
        self.reply(client, number, ErrorReply(error.code, error.message))

    def _stop(self) -> None:
        self._running = False

    def _take_messages(self) -> None:
        for _ in range(_BATCH_MAX):
            if not (self._running and self.takes_input()):
                return
            try:
                client, frames, key, connection = _receive_capped(self._router)
            except zmq.Again:
                return
            began = time.monotonic()
            self._limiter.heard(connection)
            if self.admits(key):
                self._answer(client, frames)
            else:  # libzmq has no way to end one client's connection
                self.sessions.pop(client, None)
                self.refuse(client, request_number(frames), Refused("this key is not on the server's list any more"))
            self.answer_seconds.add(time.monotonic() - began)

    def _answer(self, client: bytes, frames: list[Any]) -> None:
        try:
            envelope = decode(frames)
        except Exception as exc:
            self.refuse(client, request_number(frames), exc)
            return
        with about_job(str(getattr(envelope.message, "id", ""))):
            try:
                self._check_in(client, envelope)
            except Exception as exc:
                self.refuse(client, envelope.number, exc)

    def _check_in(self, client: bytes, envelope: Envelope) -> None:
        if client in self.sessions:
            self._note(client)
        if isinstance(envelope.message, Ping):
            self.reply(client, envelope.number, Pong())
        elif isinstance(envelope.message, Hello):
            self._greet(client, envelope.message)
            self.reply(client, envelope.number, self._welcome())
        elif client not in self.sessions:
            raise ProtocolError(f"got {envelope.message.type} before hello; say hello first")
        else:
            self.handle(client, envelope)

    def _note(self, client: bytes) -> None:
        self.sessions[client] = self.last_heard = time.monotonic()
        self.sessions.move_to_end(client)

    def _greet(self, client: bytes, hello: Hello) -> None:
        if hello.protocol.partition(".")[0] != PROTOCOL_VERSION.partition(".")[0]:
            raise VersionMismatch(
                f"client {hello.client[:40]} speaks protocol {hello.protocol[:20]!r}, this server {PROTOCOL_VERSION}; "
                "install the same version of void-bridge on both sides"
            )
        self._note(client)
        log.debug("%s: hello from %s of %s", self.name, hello.client[:80], hello.host[:80])
        while len(self.sessions) > _SESSIONS_MAX:
            self.sessions.popitem(last=False)


def _anybody(_: str) -> bool:
    return True


def _receive_capped(router: zmq.Socket[bytes]) -> tuple[bytes, list[Any], str, int]:
    """A client's name, the frames of its message, of which no more are kept than the cap and one to tell, its key and
    the number of its connection.

    The key is the one that the client proved to have when it connected.
    """
    frame = router.recv(zmq.NOBLOCK, copy=False)
    client, key, connection = frame.bytes, str(frame.get("User-Id")), int(frame.get("__fd"))
    frames: list[Any] = []
    while frame.more:
        frame = router.recv(zmq.NOBLOCK, copy=False)
        if len(frames) <= 1 + BUFFERS_MAX:
            frames.append(frame.buffer)
    return client, frames, key, connection
