"""Who may talk to this server. CURVE on every socket, and a list of the client keys that are let in."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from gpu_server.server.settings import ServerSettings, is_loopback
from void_bridge.errors import Refused

log = logging.getLogger(__name__)

_DOMAIN = "void-bridge"


@dataclass(frozen=True)
class Keys:
    """Z85 keys: the server's, a pair for clients of this user on this machine, and those let in besides."""

    server_public: bytes
    server_secret: bytes
    client_public: bytes
    client_secret: bytes
    allowed: frozenset[bytes]


def make_keys(settings: ServerSettings) -> Keys:
    """Keys for one run of a server.

    On loopback everything is fresh. Elsewhere the server's own key and the allow-list come from the
    key folder: `server.key_secret` and `clients/*.key`.

    Raises:
        Refused: an address that is not loopback without both, or a key that cannot be read.
    """
    client_public, client_secret = zmq.curve_keypair()
    if is_loopback(settings.bind):
        return Keys(*zmq.curve_keypair(), client_public, client_secret, frozenset({client_public}))
    folder = settings.keys
    certificate = folder / "server.key_secret" if folder else None
    clients = sorted((folder / "clients").glob("*.key")) if folder else []
    if not (certificate and certificate.exists() and clients):
        raise Refused(
            f"{settings.bind} is open to other machines and {folder} holds no server.key_secret with clients/*.key; "
            "make keys with void-bridge keys new, or listen on tcp://127.0.0.1:*"
        )
    server_public, server_secret = _load(certificate, secret=True)
    allowed = frozenset(_load(path)[0] for path in clients)
    log.info("%d client keys let in from %s", len(clients), folder)
    return Keys(server_public, server_secret, client_public, client_secret, allowed | {client_public})


def _load(path: Path, secret: bool = False) -> tuple[bytes, bytes]:
    try:
        public, private = zmq.auth.load_certificate(str(path))
    except (OSError, ValueError) as exc:
        raise Refused(f"cannot read key {path}: {exc}; make it again with void-bridge keys new") from exc
    if secret and sys.platform != "win32" and path.stat().st_mode & 0o077:
        raise Refused(f"others can read {path}; chmod 600 it, or remove it and make new keys with void-bridge keys new")
    if secret and not private:
        raise Refused(f"{path} holds no secret key; make it again with void-bridge keys new")
    return public, private or b""


class Gatekeeper:
    """Answers ZeroMQ's question whether a key may connect (ZAP), for every socket of a context."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: Keys) -> None:
        self._keys = keys
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(_DOMAIN, self)

    def callback(self, domain: str, key: bytes) -> bool:
        return key in self._keys.allowed

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Demand CURVE and a known key of everyone who connects to a socket that is not bound yet."""
        socket.curve_server = True
        socket.curve_secretkey = self._keys.server_secret
        socket.curve_publickey = self._keys.server_public
        socket.zap_domain = _DOMAIN.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def stop(self) -> None:
        self._authenticator.stop()
