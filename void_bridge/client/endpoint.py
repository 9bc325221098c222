"""The address and keys of a server, from its connection file or from the certificates of `keys new`.

<keys>/server.key           public key of the site's servers
<keys>/client.key_secret    this user's key pair
<keys>/server.key_secret, <keys>/clients/*.key    on the server's side alone
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from void_bridge.config import Config
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import NoServer, UsageError
from void_bridge.keyfiles import check_folder, read_pair, read_public

SERVER_CERTIFICATE = "server.key"
CLIENT_CERTIFICATE = "client.key_secret"
_ADDRESS = re.compile(r"tcp://(?:\[[^\s\[\]]+\]|[^\s/:\[\]]+):(\d{1,5})/?")  # an IPv6 address stands in brackets


@dataclass(frozen=True)
class Endpoint:
    """The address of a socket and the keys for it, as Z85 text.

    Attributes:
        installation: installation of a server of this user on this machine, else empty.
        pid: process of a server of this user on this machine, else 0.
    """

    address: str
    server_public: str
    client_public: str
    client_secret: str
    installation: str = ""
    pid: int = 0

    def __repr__(self) -> str:
        return f"Endpoint({self.address!r}, pid={self.pid})"


def find_endpoint(config: Config) -> Endpoint:
    """Return the endpoint of the server at `config.connect`, or of the local server of this installation.

    Raises:
        UsageError: the address is not `tcp://HOST:PORT`.
        NoServer: neither a connection file nor certificates for that address.
        Refused: a connection file or certificate that cannot be trusted or read.
    """
    match = _ADDRESS.fullmatch(config.connect.strip())
    if config.connect and not (match and 1 <= int(match[1]) <= 65535):
        raise UsageError(f"cannot connect to {config.connect!r}; expected tcp://HOST:PORT, such as tcp://gpu1:5570")
    try:
        found = read_connection(connection_path(config.runtime_dir, config.connect or None))
    except NoServer:
        if not config.connect:
            raise
        return _from_certificates(config)
    keys = (found.server_public, found.client_public, found.client_secret)
    return Endpoint(found.control_address, *keys, found.installation, found.server_pid)


def _from_certificates(config: Config) -> Endpoint:
    """Return the endpoint at `config.connect` with the keys of the key folder."""
    server, client = config.keys / SERVER_CERTIFICATE, config.keys / CLIENT_CERTIFICATE
    if not (server.exists() and client.exists()):
        raise NoServer(
            f"no server of this user at {config.connect}, and no keys for other servers in {config.keys}; "
            "start one with void-bridge serve, or copy server.key there and make a key with void-bridge keys new"
        )
    check_folder(config.keys)
    pair = read_pair(client)
    return Endpoint(config.connect, read_public(server), pair.public, pair.secret)
