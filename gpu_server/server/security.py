"""The keys of a server and of its clients: CURVE on every socket, and a list of the client keys that are let in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.auth.thread import ThreadAuthenticator

from gpu_server.server.settings import ServerSettings, is_loopback
from void_bridge.errors import Refused
from void_bridge.keyfiles import check_folder, fingerprint, read_pair, read_public

log = logging.getLogger(__name__)

_DOMAIN = "void-bridge"
_REFRESH_S = 2.0
_STRANGERS_LOGGED_MAX = 100


@dataclass(frozen=True)
class Keys:
    """Keys, as Z85.

    Attributes:
        server_public: of the server.
        server_secret: of the server.
        client_public: for clients of this user on this machine.
        client_secret: the same pair's other half.
        clients: folder of the public keys of other clients that are let in.
    """

    server_public: bytes
    server_secret: bytes = field(repr=False)
    client_public: bytes
    client_secret: bytes = field(repr=False)
    clients: Path | None = None


def make_keys(settings: ServerSettings) -> Keys:
    """Return the keys for one run of a server.

    On loopback all keys are new. Elsewhere the server's own key and the allow-list come from the key folder:
    `server.key_secret` and `clients/*.key`.

    Raises:
        Refused: an address that is not loopback without both, or a key or folder that cannot be trusted or read.
    """
    client_public, client_secret = zmq.curve_keypair()
    if is_loopback(settings.bind):
        return Keys(*zmq.curve_keypair(), client_public, client_secret)
    folder = settings.keys
    certificate = folder / "server.key_secret" if folder else None
    if not (folder and certificate and certificate.exists() and any((folder / "clients").glob("*.key"))):
        raise Refused(
            f"{settings.bind} is open to other machines and {folder} holds no server.key_secret with clients/*.key; "
            "create keys with void-bridge keys new, or listen on tcp://127.0.0.1:*"
        )
    check_folder(folder)
    pair = read_pair(certificate)
    names = read_clients(folder / "clients")
    log.info("%d client keys allowed, from %s", len(names), folder)
    return Keys(pair.public.encode(), pair.secret.encode(), client_public, client_secret, folder / "clients")


def read_clients(folder: Path) -> dict[str, str]:
    """Return public key -> name of each client on the list.

    Raises:
        Refused: one of the files, or the folder, cannot be trusted.
    """
    check_folder(folder)
    return {read_public(path): path.stem for path in sorted(folder.glob("*.key"))}


class AllowList:
    """The keys that are let in now. The folder is read again when it changes; a broken key in it is left out."""

    def __init__(self, keys: Keys) -> None:
        self._own, self._folder = keys.client_public.decode(), keys.clients
        self._names: dict[str, str] = {self._own: "this user"}
        self._strangers: set[str] = set()
        self._state: object = None
        self._reading = threading.Lock()
        self.refresh()

    def admits(self, key: str) -> bool:
        """Return whether a key is let in. From any thread; looks at no disk."""
        return key in self._names

    def refresh(self) -> None:
        """Reload the key folder if it changed.

        A folder that cannot be read leaves the list as it is; one that is gone empties it.
        """
        if self._folder is None:
            return
        with self._reading:
            try:
                state = _state_of(self._folder)
            except FileNotFoundError:
                state = ()
            except OSError as exc:
                log.warning("cannot read %s: %s; the allow-list stays as it was", self._folder, exc.strerror)
                return
            if state != self._state:
                before, self._names = self._names, {self._own: "this user", **_valid_clients(self._folder)}
                if self._state is not None:  # not the first time
                    _log_changes(before, self._names)
                self._state = state

    def log_stranger(self, key: str) -> None:
        """Log a key that is not on the list, once each, for as many as a log can bear."""
        if key not in self._strangers and len(self._strangers) < _STRANGERS_LOGGED_MAX:
            self._strangers.add(key)
            log.warning("refused a client: its key %s is not in the allow-list", fingerprint(key))


def _log_changes(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for key in after.keys() - before.keys():
        log.info("%s may connect now, key %s", after[key], fingerprint(key))
    for key in before.keys() - after.keys():
        log.warning("%s may no longer connect, key %s", before[key], fingerprint(key))


def _state_of(folder: Path) -> object:
    """Return a value that differs after every change to the folder."""
    facts = [(path.name, path.lstat()) for path in (folder.parent, folder, *sorted(folder.iterdir()))]
    return tuple(
        (name, it.st_ino, it.st_mode, it.st_uid, it.st_size, it.st_mtime_ns, it.st_ctime_ns) for name, it in facts
    )


def _valid_clients(folder: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    try:
        check_folder(folder.parent)
        check_folder(folder)
        paths = sorted(folder.glob("*.key"))
    except (Refused, OSError) as exc:
        log.warning("no key of the allow-list can be used: %s", exc)
        return names
    for path in paths:
        try:
            names[read_public(path)] = path.stem
        except Refused as exc:
            log.warning("a key of the allow-list cannot be used: %s", exc)
    return names


class ClientAuthenticator:
    """A thread that tells ZeroMQ whether a key may connect (ZAP), for every socket of a context.

    Args:
        context: of the sockets.
        keys: of the server and of the clients that are let in.
        on_turned_away: called for each handshake with a key that is not on the list.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], keys: Keys, on_turned_away: Callable[[], object]
    ) -> None:
        self._keys, self._list, self._on_turned_away = keys, AllowList(keys), on_turned_away
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="keys", daemon=True)
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(_DOMAIN, self)
        if keys.clients:
            self._watcher.start()

    def callback(self, domain: str, key: bytes) -> bool:
        """Return whether a key may connect. On the authenticator's thread, which an exception would end."""
        self._refresh()
        is_known = self.is_allowed(key.decode())
        if not is_known:
            self._list.log_stranger(key.decode())
            self._on_turned_away()
        return is_known

    def is_allowed(self, key: str) -> bool:
        """Return whether a client with this key may be here. From any thread; looks at no disk."""
        return self._list.admits(key)

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Require CURVE and a known key on an unbound socket."""
        socket.curve_server = True
        socket.curve_secretkey = self._keys.server_secret
        socket.curve_publickey = self._keys.server_public
        socket.zap_domain = _DOMAIN.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def stop(self) -> None:
        """End the threads."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._authenticator.stop()

    def _watch(self) -> None:
        """Refresh the list often, so that a key taken off it is out even if no client connects."""
        while not self._stopping.wait(_REFRESH_S):
            self._refresh()

    def _refresh(self) -> None:
        try:
            self._list.refresh()
        except Exception:
            log.exception("cannot follow changes of the allow-list")
