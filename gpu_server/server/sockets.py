"""A thread that owns one ROUTER socket: it receives within caps, knows its clients, and survives bad messages."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import zmq

from gpu_server.logs import about_job
from gpu_server.server.connection_limiter import ConnectionLimiter
from gpu_server.server.counters import Counters
from gpu_server.server.mailbox import Mailbox, named_error
from void_bridge.errors import ProtocolError, Refused, VersionMismatch
from void_bridge.protocol.framing import BUFFERS_MAX, Envelope, decode, encode, request_number
from void_bridge.protocol.messages import PROTOCOL_VERSION, ErrorReply, Hello, Message, Ping, Pong, Welcome

log = logging.getLogger(__name__)

_CLIENTS_MAX = 4096
_BATCH_MAX = 64  # messages taken before posted calls get their turn
_TICK_S = 0.1


class Clients:
    """The clients of a socket, with the time when each was last heard. For the thread of that socket.

    Args:
        deadline_s: a client that was silent for longer has gone.

    Attributes:
        last_heard: monotonic time when any client was last heard; any thread may read it.
    """

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._heard: OrderedDict[bytes, float] = OrderedDict()  # monotonic; the latest last
        self.last_heard = time.monotonic()

    def __contains__(self, client: object) -> bool:
        return client in self._heard

    def record(self, client: bytes) -> None:
        """Record that a client is alive."""
        self._heard[client] = self.last_heard = time.monotonic()
        self._heard.move_to_end(client)
        while len(self._heard) > _CLIENTS_MAX:
            self._heard.popitem(last=False)

    def forget(self, client: bytes) -> None:
        """Forget a client that has gone."""
        self._heard.pop(client, None)

    def is_present(self, client: bytes) -> bool:
        """Return whether a client was heard within the deadline."""
        return time.monotonic() - self._heard.get(client, float("-inf")) <= self._deadline_s

    def count(self) -> int:
        """Return how many clients were heard within the deadline."""
        since = time.monotonic() - self._deadline_s
        return sum(1 for _ in takewhile(lambda heard: heard >= since, reversed(self._heard.values())))


@dataclass(frozen=True)
class Listener:
    """A bound ROUTER socket, with all that a loop needs to know about its clients.

    Attributes:
        name: `control` or `data`, for metrics and the log.
        router: the socket.
        welcome: the answer to `hello`.
        is_allowed: returns whether the owner of a key may still be here; called for each message, looks at no disk.
        clients: when each client was last heard.
        counters: of the server.
        memory_bytes: see ConnectionLimiter.
    """

    name: str
    router: zmq.Socket[bytes]
    welcome: Welcome
    is_allowed: Callable[[str], bool]
    clients: Clients
    counters: Counters
    memory_bytes: int = 0


@dataclass(frozen=True)
class ClientRequest:
    """One message of a client, and the means to answer it now or later, on the thread of its loop.

    Attributes:
        loop: the loop that received it.
        client: its sender.
        number: that the answer repeats.
        buffers: raw bytes that came with it.
    """

    loop: RouterLoop
    client: bytes
    number: int
    buffers: tuple[Any, ...] = ()

    def answer(self, message: Message, *buffers: Any) -> bool:
        """Send an answer. Returns False if the client has gone or takes nothing."""
        return self.loop.send(self.client, self.number, message, *buffers)

    def refuse(self, error: Exception) -> None:
        """Send an error as the answer."""
        self.answer(ErrorReply.from_error(named_error(error)))

    def respond(self, handle: Callable[..., Message | None], *args: Any) -> None:
        """Send the answer that `handle(*args)` returns, if any, or the error that it raises."""
        try:
            answer = handle(*args)
            if answer:
                self.answer(answer)
        except Exception as exc:
            self.refuse(exc)


class RouterLoop(threading.Thread):
    """A thread that answers one socket's messages. Subclasses have handlers and a `tick`."""

    def __init__(self, listener: Listener, mailbox: Mailbox) -> None:
        super().__init__(name=listener.name)
        self.mailbox, self.clients = mailbox, listener.clients
        self._listener, self._router, self._counters = listener, listener.router, listener.counters
        shut_connections = listener.counters.shut_connections.labels(listener.name)
        self._limiter = ConnectionLimiter(listener.router, listener.memory_bytes, shut_connections.inc)
        self._answer_seconds = listener.counters.answer_seconds.labels(listener.name)
        self._running = True

    def handle(self, message: Message, request: ClientRequest) -> Message | None:
        """Return the answer to a message, or None if it is given later through `request`."""
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """Run the tasks due at monotonic time `now`."""

    def takes_input(self) -> bool:
        """Return False while received messages fill the memory set aside for them."""
        return True

    def stop(self) -> None:
        """Leave the loop and close the socket. From any thread."""
        self.mailbox.post(self._stop)

    def run(self) -> None:
        """Receive and answer until `stop`."""
        poller = zmq.Poller()
        poller.register(self.mailbox.fileno(), zmq.POLLIN)
        poller.register(self._limiter.monitor, zmq.POLLIN)
        while self._running:
            poller.register(self._router, zmq.POLLIN if self.takes_input() else 0)
            ready = dict(poller.poll(int(_TICK_S * 1000)))
            self.mailbox.run()
            if self._limiter.monitor in ready:
                self._survive(self._limiter.read_events)
            if self._router in ready:
                self._survive(self._take_messages)
            self._survive(self._run_due_tasks)
        self._limiter.close()
        self._router.close(linger=200)
        self.mailbox.close()

    def _survive(self, step: Callable[[], None]) -> None:
        """Run a step whose unexpected error must not end the loop."""
        try:
            step()
        except Exception:
            log.exception("%s: %s failed", self.name, step.__name__)

    def _run_due_tasks(self) -> None:
        self._limiter.check_memory(time.monotonic())
        self.tick(time.monotonic())

    def send(self, client: bytes, number: int, message: Message, *buffers: Any) -> bool:
        """Send a message without waiting.

        Args:
            client: who gets it.
            number: of the request that it answers; 0 for an event.
            message: the message.
            *buffers: raw bytes that go with it.

        Returns:
            False if the client has gone or takes nothing.
        """
        if isinstance(message, ErrorReply):
            self._counters.refused_messages.labels(self.name, message.code).inc()
        try:
            self._router.send_multipart([client, *encode(Envelope(message, number, buffers))], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            log.debug("a client does not read its messages; dropped %s", message.type)
            return False
        except zmq.ZMQError as exc:
            if exc.errno != zmq.EHOSTUNREACH:
                raise
            self.clients.forget(client)
            return False
        return True

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
            with self._answer_seconds.time():
                self._limiter.mark_authenticated(connection)
                self._answer(client, frames, self._listener.is_allowed(key))

    def _answer(self, client: bytes, frames: list[Any], is_allowed: bool) -> None:
        try:
            if not is_allowed:  # libzmq has no way to end one client's connection
                self.clients.forget(client)
                raise Refused("this key is no longer in the server's allow-list")
            envelope = decode(frames)
        except Exception as exc:
            ClientRequest(self, client, request_number(frames)).refuse(exc)
            return
        request = ClientRequest(self, client, envelope.number, envelope.buffers)
        with about_job(str(getattr(envelope.message, "id", ""))):
            request.respond(self._handle, envelope.message, request)

    def _handle(self, message: Message, request: ClientRequest) -> Message | None:
        if request.client in self.clients:
            self.clients.record(request.client)
        if isinstance(message, Ping):
            return Pong()
        if isinstance(message, Hello):
            self._greet(request.client, message)
            return self._listener.welcome
        if request.client not in self.clients:
            raise ProtocolError(f"got {message.type} before hello; say hello first")
        return self.handle(message, request)

    def _greet(self, client: bytes, hello: Hello) -> None:
        if hello.protocol.partition(".")[0] != PROTOCOL_VERSION.partition(".")[0]:
            raise VersionMismatch(
                f"client {hello.client[:40]} speaks protocol {hello.protocol[:20]!r}, this server {PROTOCOL_VERSION}; "
                "install the same version of void-bridge on both sides"
            )
        self.clients.record(client)
        log.debug("%s: hello from %s of %s", self.name, hello.client[:80], hello.host[:80])


def _receive_capped(router: zmq.Socket[bytes]) -> tuple[bytes, list[Any], str, int]:
    """Receive one message, of which no more frames are kept than the cap and one to tell that it was exceeded.

    Returns:
        The client's name, the frames, the key that the client proved to have when it connected, and the file
        descriptor of its connection.

    Raises:
        zmq.Again: none has come.
    """
    frame = router.recv(zmq.NOBLOCK, copy=False)
    client, key, connection = frame.bytes, str(frame.get("User-Id")), int(frame.get("__fd"))
    frames: list[Any] = []
    while frame.more:
        frame = router.recv(zmq.NOBLOCK, copy=False)
        if len(frames) <= 1 + BUFFERS_MAX:
            frames.append(frame.buffer)
    return client, frames, key, connection
