"""One encrypted socket to a server, with numbered requests, answers with deadlines, and events."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Deque, Optional, Sequence

import zmq
from zmq.utils.monitor import recv_monitor_message

from void_bridge.client.endpoint import Endpoint
from void_bridge.connection import host_identity
from void_bridge.errors import NoServer, ProtocolError, Refused, VersionMismatch
from void_bridge.protocol.framing import Envelope, decode, encode
from void_bridge.protocol.messages import PROTOCOL_VERSION, ErrorReply, Hello, Message, Welcome
from void_bridge.version import __version__

ANSWER_S = 15.0
_HEARTBEAT_S = 2
_DEAD_AFTER_S = 10
_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH
_LOST = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL


class Channel:
    """A connection to one socket of a server, for one thread at a time.

    A connection that breaks stays broken, since a restarted server does not know this channel.

    Args:
        context: the ZeroMQ context.
        endpoint: the server's address and the keys.
        hello_s: seconds to wait for the answer to `hello`.

    Attributes:
        welcome: the server's answer to `hello`.

    Raises:
        NoServer: no answer.
        VersionMismatch: a server of another protocol version.
        Refused: the server does not know this key.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint, hello_s: float = ANSWER_S) -> None:
        self.endpoint = endpoint
        self._events: Deque[Envelope] = deque()
        self._number = 0
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.heartbeat_ivl = _HEARTBEAT_S * 1000
        self._socket.heartbeat_timeout = _DEAD_AFTER_S * 1000
        self._socket.curve_serverkey = endpoint.server_public.encode()
        self._socket.curve_publickey = endpoint.client_public.encode()
        self._socket.curve_secretkey = endpoint.client_secret.encode()
        self._monitor = self._socket.get_monitor_socket(_REFUSED | _LOST)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self._socket.connect(endpoint.address)
            self.welcome = self._greet(hello_s)
        except zmq.ZMQError as exc:
            self.close()
            raise NoServer(
                f"cannot connect to {endpoint.address}: {exc}; expected for example tcp://gpu1:5570"
            ) from exc
        except BaseException:
            self.close()
            raise

    def _greet(self, timeout_s: float) -> Welcome:
        """Say hello and return the server's answer. Raises VersionMismatch."""
        hello = Hello(protocol=PROTOCOL_VERSION, client=f"void-bridge {__version__}", host=host_identity())
        welcome = self.request(hello, timeout_s=timeout_s).message
        if not isinstance(welcome, Welcome):
            raise ProtocolError(f"got {welcome.type} in answer to hello, expected welcome")
        if welcome.protocol.split(".")[0] != PROTOCOL_VERSION.split(".")[0]:
            raise VersionMismatch(
                f"the server at {self.endpoint.address} ({welcome.server}) speaks protocol {welcome.protocol}, this "
                f"void-bridge {__version__} speaks {PROTOCOL_VERSION}; install the same version on both sides"
            )
        return welcome

    def request(self, message: Message, buffers: Sequence[Any] = (), timeout_s: float = ANSWER_S) -> Envelope:
        """Send a message and return the answer. Events that arrive before it are kept for `receive`.

        Args:
            message: the request.
            buffers: bytes-like objects to send with it.
            timeout_s: seconds to wait for the answer.

        Raises:
            NoServer: no answer in time.
            VoidBridgeError: the error with which the server answered.
        """
        number = self.send(message, buffers)
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            envelope = self._read(left)
            if envelope is None:
                break
            if envelope.number == number:
                return _raise_if_error(envelope)
            if envelope.number == 0:
                self._events.append(envelope)
        raise NoServer(f"no answer from {self.endpoint.address} within {timeout_s:.0f} s; check that it is running")

    def send(self, message: Message, buffers: Sequence[Any] = ()) -> int:
        """Send a message without waiting and return the number that its answer will carry."""
        self._check_connection()
        self._number += 1
        frames = encode(Envelope(message, self._number, tuple(buffers)))
        try:
            self._socket.send_multipart(frames, flags=zmq.DONTWAIT, copy=not buffers)
        except zmq.Again as exc:
            raise NoServer(
                f"{self.endpoint.address} accepts no more messages; check that the server is running"
            ) from exc
        return self._number

    def receive(self, timeout_s: float) -> Optional[Envelope]:
        """Return the next event or answer, or None after `timeout_s`. Raises the error that the server reports."""
        if self._events:
            return self._events.popleft()
        envelope = self._read(timeout_s)
        return _raise_if_error(envelope) if envelope else None

    def _read(self, timeout_s: float) -> Optional[Envelope]:
        """Return the next message from the socket, or None after `timeout_s`."""
        ready = dict(self._poller.poll(max(1, int(timeout_s * 1000))))
        if self._socket in ready:
            return decode([frame.buffer for frame in self._socket.recv_multipart(copy=False)])
        self._check_connection()
        return None

    def _check_connection(self) -> None:
        """Raise NoServer or Refused if the connection has ended."""
        if not self._monitor.poll(0):
            return
        if recv_monitor_message(self._monitor)["event"] == _REFUSED:
            raise Refused(
                f"the server at {self.endpoint.address} does not know this user's key; "
                "send the .key file next to client.key_secret to the server's administrator"
            )
        hint = "" if self.endpoint.pid else ", and that server.key in the key folder is its key"
        raise NoServer(f"the connection to {self.endpoint.address} broke; check that the server is running{hint}")

    def close(self) -> None:
        """Close the socket."""
        if self._socket.closed:
            return
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)


def _raise_if_error(envelope: Envelope) -> Envelope:
    """Return the envelope, or raise the error that it carries."""
    if isinstance(envelope.message, ErrorReply):
        raise envelope.message.to_error()
    return envelope
