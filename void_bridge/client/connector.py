"""Finding a server and opening channels to it, again if need be."""

from __future__ import annotations

from typing import Callable
from urllib.parse import urlsplit

import zmq

from void_bridge.client.channel import ANSWER_S, Channel
from void_bridge.client.endpoint import Endpoint, find_endpoint
from void_bridge.client.launch import start_server
from void_bridge.config import Config
from void_bridge.errors import NoServer
from void_bridge.processes import has_ended

_LOCAL_ANSWER_S = 5.0


class Connector:
    """Opens control and data channels. May be used by several threads; the channels may not."""

    def __init__(self, config: Config, autostart: bool, notice: Callable[[str], None]) -> None:
        self._config = config
        self._autostart = autostart and not config.connect
        self._notice = notice
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def control(self) -> Channel:
        """A channel to the control socket; starts a local server where that is allowed and none answers.

        Raises:
            NoServer, VersionMismatch, Refused
        """
        try:
            return self._greeted()
        except NoServer:
            if not self._autostart:
                raise
        start_server(self._config, self._answers, self._notice)
        return self._greeted()

    def data(self, control: Channel) -> Channel:
        """A channel to the data socket of the server that `control` talks to."""
        address = _reachable(control.welcome.data_address, control.endpoint.address)
        keys = control.endpoint
        endpoint = Endpoint(address, keys.server_public, keys.client_public, keys.client_secret, keys.installation)
        return Channel(self._context, endpoint)

    def close(self) -> None:
        self._context.destroy(linger=0)

    def _greeted(self) -> Channel:
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

    def _answers(self) -> bool:
        try:
            self._greeted().close()
        except NoServer:
            return False
        return True


def _reachable(data_address: str, control_address: str) -> str:
    """A server that listens everywhere cannot say by which of its names a client reaches it: it says `*`."""
    return data_address.replace("//*:", f"//{urlsplit(control_address).hostname}:")
