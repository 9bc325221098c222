"""One client's talk with a server: requests from any thread, a data channel, and patience while a server returns."""

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

RETURN_S = 60.0
_RETRY_S = 0.25

T = TypeVar("T")
M = TypeVar("M", bound=Message)


class ClientSession:
    """Every request of the protocol may be repeated, so that one without an answer is asked again."""

    def __init__(
        self, config: Config, link: Connector, notice: Callable[[str], None], patience_s: float = RETURN_S
    ) -> None:
        self.config, self.patience_s = config, patience_s
        self.link = link
        self.notice = notice
        self._lock = threading.RLock()
        self._data_lock = threading.RLock()
        self._control: Optional[Channel] = link.control()
        self._data: Optional[Channel] = None

    @property
    def welcome(self) -> Welcome:
        with self._lock:
            return self._open_control().welcome

    def is_same_host(self) -> bool:
        """Whether the server runs on this machine as this user, so that both see the same disks."""
        return self.welcome.host == host_identity()

    def ask(self, message: Message, answer: Type[M]) -> M:
        """Raises NoServer: none for `patience_s`. VoidBridgeError: what the server answered with."""

        def once() -> Message:
            with self._lock:
                try:
                    return self._open_control().request(message).message
                except NoServer:
                    self._close_control()
                    raise

        found = self.retry(once)
        if not isinstance(found, answer):
            raise ProtocolError(f"got {found.type} in answer to {message.type}, expected {answer.type}")
        return found

    @contextmanager
    def data_channel(self) -> Iterator[Channel]:
        """The data channel, for one thread at a time; an error closes it, as answers may still be on their way."""
        with self._data_lock:
            try:
                if self._data is None:
                    with self._lock:
                        self._data = self.link.data(self._open_control())
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
        """Do it, again and again for `patience_s` while no server answers. Raises NoServer."""
        deadline: Optional[float] = None
        while True:
            try:
                return action()
            except NoServer as exc:
                if deadline is None:
                    deadline = time.monotonic() + self.patience_s
                    self.notice(f"{exc}; trying again for {self.patience_s:.0f} s")
                if time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_S)

    def _open_control(self) -> Channel:
        if self._control is None:
            self._control = self.link.control()
        return self._control

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
