"""The connection file, by which a client finds a server of the same user, with the keys for it.

A server writes it when it starts and removes it when it ends. The file is in a folder that only its user can enter.
Its name is made from the server's address, or for the local server from this installation, so that a client never
connects to the local server of another installation.
"""

from __future__ import annotations

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

from void_bridge import installation
from void_bridge.atomic import write_bytes
from void_bridge.config import login_name
from void_bridge.errors import NoServer, Refused, map_write_errors
from void_bridge.real_paths import read_small_file
from void_bridge.typed import from_plain, to_plain
from void_bridge.version import __version__


@dataclass(frozen=True)
class Connection:
    """The addresses and keys of a server. Keys are Z85 text; addresses are URLs.

    Attributes:
        server_pid: id of the server's process on this machine.
        installation: `installation_id` of the server.
        version: version of the server.
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
    """Return an id of this copy of void-bridge and the Python that runs it. A plug-in's copy has the id of its server.

    Raises:
        ConfigError: the recorded installation cannot be read.
    """
    record = installation.recorded_installation()
    if record:
        return record.installation
    package = Path(__file__).resolve().parent
    parts = (os.path.realpath(sys.prefix), str(package), __version__)
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()


def host_identity() -> str:
    """Return the user and machine, as in `hello` and `welcome`. A client and server of the same see the same disks."""
    return f"{login_name()}@{platform.node()}"


def connection_path(runtime_dir: Path, url: Optional[str] = None) -> Path:
    """Return the path of the file for the server at `url`, or for the local server of this installation."""
    if not url:
        return runtime_dir / f"local-{installation_id()}.json"
    address = url.strip().rstrip("/").replace("//localhost:", "//127.0.0.1:")
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", address)[:80]
    return runtime_dir / f"{readable}-{hashlib.blake2b(address.encode(), digest_size=4).hexdigest()}.json"


def write_connection(path: Path, connection: Connection) -> None:
    """Write a file that only this user can read.

    Raises:
        Refused: the folder belongs to another user.
        OutputError: it cannot be written.
        DiskFull: no space left.
    """
    make_private_folder(path.parent)
    write_bytes(path, json.dumps(to_plain(connection), indent=2).encode(), private=True)


def read_connection(path: Path) -> Connection:
    """Return the content of a file that no other user can read or have written.

    Raises:
        NoServer: there is no such file.
        Refused: others can read it, another user owns it, or it is not a connection file.
    """
    try:
        data = json.loads(read_small_file(path, lambda facts: _check_private(facts, path)))
    except FileNotFoundError:
        raise NoServer(f"no server has left a connection file at {path}; start one with void-bridge serve") from None
    except (OSError, ValueError, RecursionError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise Refused(f"cannot read connection file {path}: {reason}; remove it and start the server again") from exc
    return from_plain(Connection, data, where=str(path), error=Refused)


def remove_connection(path: Path, connection: Connection) -> None:
    """Remove the file unless another server has replaced it since."""
    try:
        if read_connection(path) == connection:
            path.unlink()
    except (NoServer, Refused, OSError):
        pass


def make_private_folder(folder: Path) -> None:
    """Create a folder that only this user can enter, or make it so. Call this before anything in it is opened.

    Raises:
        Refused: it belongs to another user, or another user can replace it.
        OutputError: it cannot be created.
        DiskFull: no space left.
    """
    with map_write_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "nt":  # a profile's folders are private already
        return
    check_parent_folders(folder)
    facts = os.lstat(folder)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise Refused(f"{folder} does not belong to this user; set VOID_BRIDGE_RUNTIME_DIR to a folder that does")
    if stat.S_IMODE(facts.st_mode) != 0o700:
        folder.chmod(0o700)


def check_parent_folders(folder: Path) -> None:
    """Raise Refused if a folder above this one lets every user replace its content."""
    if os.name == "nt":
        return
    for above in folder.resolve().parents:
        mode = above.stat().st_mode if above.exists() else 0
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise Refused(f"every user can replace {folder}, because {above} is writable for all; run chmod o-w on it")


def _check_private(facts: os.stat_result, path: Path) -> None:
    """Raise Refused if a connection file is not a file of this user that others cannot read."""
    if not stat.S_ISREG(facts.st_mode):
        raise Refused(f"connection file {path} is not a file; remove it and start the server again")
    if os.name == "nt":
        return
    if facts.st_uid != os.getuid():
        raise Refused(f"connection file {path} belongs to another user; remove it or set VOID_BRIDGE_RUNTIME_DIR")
    if facts.st_mode & 0o077:
        raise Refused(f"connection file {path} can be read by others; remove it and start the server again")
