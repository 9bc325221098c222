"""Connecting to the configured server, which is started if it is a local one that does not run."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Callable
from urllib.parse import urlsplit

import zmq

from void_bridge.client.channel import ANSWER_S, Channel
from void_bridge.client.endpoint import find_endpoint
from void_bridge.client.launch import start_server
from void_bridge.config import Config
from void_bridge.errors import NoServer
from void_bridge.processes import has_ended

_LOCAL_ANSWER_S = 5.0
_CLOSE_S = 5.0  # far more than closing takes


class Connector:
    """Opens control and data channels. Several threads may use it, but not one channel.

    Args:
        config: the configuration.
        autostart: whether a local server may be started.
        notice: called with a line of text when a server is started.
    """

    def __init__(self, config: Config, autostart: bool, notice: Callable[[str], None]) -> None:
        self._config = config
        self._autostart = autostart and not config.connect
        self._notice = notice
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def open_control(self) -> Channel:
        """Return a channel to the control socket, starting a local server if none answers and that is allowed.

        Raises:
            NoServer: no server answers.
            VersionMismatch: the server speaks another protocol version.
            Refused: the server does not know this key.
        """
        try:
            return self._open()
        except NoServer:
            if not self._autostart:
                raise
        start_server(self._config, self._is_running, self._notice)
        return self._open()

    def open_data(self, control: Channel) -> Channel:
        """Return a channel to the data socket of the server that `control` is connected to."""
        # A server that listens on all interfaces does not know its name on the client's network and sends `*`.
        host = urlsplit(control.endpoint.address).hostname
        address = control.welcome.data_address.replace("//*:", f"//{host}:")
        return Channel(self._context, replace(control.endpoint, address=address))

    def close(self) -> None:
        """Close all channels.

        The wait has a limit: a socket that an interrupt left open would hold up the end of its context for ever.
        """
        ending = threading.Thread(target=self._context.destroy, args=(0,), name="void-close", daemon=True)
        ending.start()
        ending.join(_CLOSE_S)

    def _open(self) -> Channel:
        """Return a channel to the control socket of a running server. Raises NoServer."""
        endpoint = find_endpoint(self._config)
        if has_ended(endpoint.pid):
            raise NoServer(f"the server at {endpoint.address} has ended; start one with void-bridge serve")
        channel = Channel(self._context, endpoint, _LOCAL_ANSWER_S if endpoint.pid else ANSWER_S)
        if endpoint.installation and channel.welcome.installation != endpoint.installation:
            channel.close()
            raise NoServer(
                f"a server of another installation is at {endpoint.address}; start this one's with void-bridge serve"
            )
        return channel

    def _is_running(self) -> bool:
        """Return whether a server answers."""
        try:
            self._open().close()
        except NoServer:
            return False
        return True
