"""Where a server is and which keys open it: its connection file, or certificates from `keys new`.

<keys>/server.key           public key of the site's servers
<keys>/client.key_secret    this user's key pair
<keys>/server.key_secret, <keys>/clients/*.key    on the server's side alone
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zmq.auth

from void_bridge.config import Config
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import NoServer, Refused

SERVER_CERTIFICATE = "server.key"
CLIENT_CERTIFICATE = "client.key_secret"


@dataclass(frozen=True)
class Endpoint:
    """Keys are Z85 text. installation: of a server of this user on this machine; pid: its process, else 0."""

    address: str
    server_public: str
    client_public: str
    client_secret: str
    installation: str = ""
    pid: int = 0


def find_endpoint(config: Config) -> Endpoint:
    """The server at `config.connect`, or the local one of this installation.

    Raises:
        NoServer: no connection file, and no certificates for that address.
        Refused: a connection file or certificate that cannot be trusted or read.
    """
    path = connection_path(config.runtime_dir, config.connect or None)
    if path.exists() or not config.connect:
        found = read_connection(path)
        keys = (found.server_public, found.client_public, found.client_secret)
        return Endpoint(found.control_address, *keys, found.installation, found.server_pid)
    server, client = config.keys / SERVER_CERTIFICATE, config.keys / CLIENT_CERTIFICATE
    if not (server.exists() and client.exists()):
        raise NoServer(
            f"no server of this user at {config.connect}, and no keys for others' in {config.keys}; "
            "start one with void-bridge serve, or copy server.key there and make a key with void-bridge keys new"
        )
    client_public, client_secret = _certificate(client)
    return Endpoint(config.connect, _certificate(server)[0], client_public, client_secret)


def _certificate(path: Path) -> tuple[str, str]:
    try:
        public, secret = zmq.auth.load_certificate(str(path))
    except (OSError, ValueError) as exc:
        raise Refused(f"cannot read key {path}: {exc}; make it again with void-bridge keys new") from exc
    if path.name == CLIENT_CERTIFICATE and not secret:
        raise Refused(f"{path} holds no secret key; make it again with void-bridge keys new")
    return public.decode(), (secret or b"").decode()
