"""The connection file: how a client finds a server, and the keys that only its user holds.

A server writes it when it starts and removes it when it leaves. It lies in a folder that only its
user can enter and is found by the address asked for; without one, by this installation, so that a
client never talks to the local server of another.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import re
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import void_bridge
from void_bridge import installation
from void_bridge.atomic import replacing
from void_bridge.errors import NoServer, Refused, map_write_errors
from void_bridge.real_paths import OPEN_NO_LINK, SMALL_BYTES_MAX
from void_bridge.typed import from_plain, to_plain


@dataclass(frozen=True)
class Connection:
    """What a client needs to reach a server. Keys are Z85 text; addresses are URLs.

    installation, version: of the server; server_pid: its process on this machine.
    """

    control_address: str
    server_public: str
    client_public: str
    client_secret: str = field(repr=False)
    server_pid: int
    installation: str
    version: str
    data_address: str = ""


def installation_id() -> str:
    """A short name for this copy of void-bridge and the Python that runs it; a plug-in's copy has its server's.

    Raises:
        ConfigError: the recorded installation cannot be read.
    """
    record = installation.recorded_installation()
    if record:
        return record.installation
    package = Path(void_bridge.__file__).resolve().parent
    parts = (os.path.realpath(sys.prefix), str(package), void_bridge.__version__)
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()


def host_identity() -> str:
    """This machine and user, as `hello` and `welcome` carry it: where both agree, both see the same disks."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "unknown"
    return f"{user}@{platform.node()}"


def connection_path(runtime_dir: Path, url: Optional[str] = None) -> Path:
    """Where the file lies for the server at `url`; None: the local server of this installation."""
    if not url:
        return runtime_dir / f"local-{installation_id()}.json"
    address = url.strip().rstrip("/").replace("//localhost:", "//127.0.0.1:")
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", address)[:80]
    return runtime_dir / f"{readable}-{hashlib.blake2b(address.encode(), digest_size=4).hexdigest()}.json"


def write_connection(path: Path, connection: Connection) -> None:
    """Write for this user's eyes alone.

    Raises:
        Refused: the folder belongs to somebody else.
        OutputError, DiskFull: it cannot be written.
    """
    make_private_folder(path.parent)
    with replacing(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as handle:
            json.dump(to_plain(connection), handle, indent=2)


def read_connection(path: Path) -> Connection:
    """Read a file that nobody but this user can read or have written.

    Raises:
        NoServer: there is no such file.
        Refused: others can read it, another user owns it, or it is not a connection file.
    """
    try:
        descriptor = os.open(path, OPEN_NO_LINK)
    except FileNotFoundError:
        raise NoServer(f"no server has left a connection file at {path}; start one with void-bridge serve") from None
    except OSError as exc:
        raise Refused(f"cannot read connection file {path}: {exc.strerror or exc}; remove it and start again") from exc
    try:
        _check_private(os.fstat(descriptor), path)
        data = json.loads(os.read(descriptor, SMALL_BYTES_MAX))
    except (ValueError, RecursionError) as exc:
        raise Refused(f"cannot read connection file {path}: {exc}; remove it and start the server again") from exc
    finally:
        os.close(descriptor)
    return from_plain(Connection, data, where=str(path), error=Refused)


def remove_connection(path: Path, connection: Connection) -> None:
    """Remove the file unless another server has replaced it since."""
    try:
        if read_connection(path) == connection:
            path.unlink()
    except (NoServer, Refused, OSError):
        pass


def make_private_folder(folder: Path) -> None:
    """Have a folder that this user alone can enter. Nothing in it is to be opened before.

    Raises:
        Refused: it belongs to somebody else, or somebody else can exchange it.
        OutputError, DiskFull: it cannot be made.
    """
    with map_write_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "nt":  # a profile's folders are private already
        return
    check_parent_folders(folder)
    facts = os.lstat(folder)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise Refused(f"{folder} is not a folder of this user's own; set VOID_BRIDGE_RUNTIME_DIR to one that is")
    if stat.S_IMODE(facts.st_mode) != 0o700:
        folder.chmod(0o700)


def check_parent_folders(folder: Path) -> None:
    """Raises Refused: a folder above this one lets everybody exchange what is in it."""
    if os.name == "nt":
        return
    for above in folder.resolve().parents:
        mode = above.stat().st_mode if above.exists() else 0
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise Refused(f"everybody can exchange {folder}, as {above} is open to all; chmod o-w that, or use another")


def _check_private(facts: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise Refused(f"connection file {path} is not a file; remove it and start the server again")
    if os.name == "nt":
        return
    if facts.st_uid != os.getuid():
        raise Refused(f"connection file {path} belongs to another user; remove it or set VOID_BRIDGE_RUNTIME_DIR")
    if facts.st_mode & 0o077:
        raise Refused(f"connection file {path} can be read by others; remove it and start the server again")
