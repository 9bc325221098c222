"""A client's session with a server: requests from any thread, one data channel, and retries while a server restarts."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator, Optional, Type, TypeVar

from void_bridge.client.channel import Channel
from void_bridge.client.connector import Connector
from void_bridge.config import Config
from void_bridge.connection import host_identity
from void_bridge.errors import NoServer, ProtocolError
from void_bridge.protocol.messages import Message, Welcome

PATIENCE_S = 60.0
_RETRY_S = 0.25

T = TypeVar("T")
M = TypeVar("M", bound=Message)


class ClientSession:
    """The channels of one client. Every request of the protocol may be repeated, so that unanswered ones are.

    Attributes:
        connector: opens further channels.
        notice: called with a line of text when the server does not answer.
        patience_s: seconds for which unanswered requests are repeated.
    """

    def __init__(
        self, config: Config, connector: Connector, notice: Callable[[str], None], patience_s: float = PATIENCE_S
    ) -> None:
        self.config, self.patience_s = config, patience_s
        self.connector = connector
        self.notice = notice
        self._lock = threading.RLock()
        self._data_lock = threading.RLock()
        self._control: Optional[Channel] = connector.open_control()
        self._data: Optional[Channel] = None

    @property
    def welcome(self) -> Welcome:
        """The server's answer to `hello`."""
        with self._lock:
            return self._open_control().welcome

    def is_same_host(self) -> bool:
        """Return whether the server runs on this machine as this user, so that both see the same disks."""
        return self.welcome.host == host_identity()

    def ask(self, message: Message, answer: Type[M]) -> M:
        """Send a request and return its answer.

        Args:
            message: the request.
            answer: the class of message that answers it.

        Raises:
            NoServer: no answer for `patience_s`.
            VoidBridgeError: the error with which the server answered.
        """

        def request() -> Message:
            with self._lock:
                try:
                    return self._open_control().request(message).message
                except NoServer:
                    self._close_control()
                    raise

        found = self.retry(request)
        if not isinstance(found, answer):
            raise ProtocolError(f"got {found.type} in answer to {message.type}, expected {answer.type}")
        return found

    @contextmanager
    def data_channel(self) -> Iterator[Channel]:
        """Yield the data channel, to one thread at a time. An error closes it, as answers may still be in flight."""
        with self._data_lock:
            try:
                if self._data is None:
                    with self._lock:
                        self._data = self.connector.open_data(self._open_control())
                yield self._data
            except BaseException as exc:
                if self._data is not None:
                    self._data.close()
                    self._data = None
                if isinstance(exc, NoServer):
                    with self._lock:
                        self._close_control()
                raise

    def retry(self, action: Callable[[], T]) -> T:
        """Return the result of an action, repeating it while no server answers. Raises NoServer after `patience_s`."""
        retries = Retries(self)
        while True:
            try:
                return action()
            except NoServer as exc:
                retries.wait(exc)

    def _open_control(self) -> Channel:
        """Return the control channel."""
        if self._control is None:
            self._control = self.connector.open_control()
        return self._control

    def _close_control(self) -> None:
        """Close the control channel; the next request opens another."""
        if self._control is not None:
            self._control.close()
            self._control = None


class Retries:
    """The time during which a session tries again. The user is told once."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._deadline: Optional[float] = None

    def reset(self) -> None:
        """Forget the failures so far, as the server has answered."""
        self._deadline = None

    def wait(self, error: NoServer) -> None:
        """Wait before the next attempt. Raises the error once the session's patience has ended."""
        patience_s = self._session.patience_s
        if self._deadline is None:
            self._deadline = time.monotonic() + patience_s
            self._session.notice(f"{error}; trying again for {patience_s:.0f} s")
        if time.monotonic() > self._deadline:
            raise error
        time.sleep(_RETRY_S)
