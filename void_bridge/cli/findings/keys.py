"""Of the keys for servers on other machines: who can read them, who can change them, whether they belong together."""

from __future__ import annotations

import functools
import os
import shlex
from pathlib import Path
from typing import Callable, Iterator, List, Optional

from void_bridge.cli.findings import Finding
from void_bridge.client.endpoint import CLIENT_CERTIFICATE, SERVER_CERTIFICATE
from void_bridge.config import Config
from void_bridge.errors import Refused
from void_bridge.keyfiles import check_folder, fingerprint, read_pair, read_public


def key_findings(config: Config) -> Iterator[Finding]:
    folder = config.keys
    if not folder.exists():
        yield _without(config, [CLIENT_CERTIFICATE, SERVER_CERTIFICATE])
        return
    wrong = list(_problems(folder))
    yield from wrong
    missing = [name for name in (CLIENT_CERTIFICATE, SERVER_CERTIFICATE) if not (folder / name).exists()]
    if missing:
        yield _without(config, missing)
    elif not wrong:
        theirs = fingerprint(read_public(folder / SERVER_CERTIFICATE))
        yield Finding("keys", "ok", f"{folder}; the server's is {theirs}")


def _without(config: Config, missing: List[str]) -> Finding:
    if config.connect:
        fix = "void-bridge keys new; server.key comes from whoever runs the server"
        return Finding("keys", "note", f"{config.keys} lacks {' and '.join(missing)}", fix)
    return Finding("keys", "ok", f"{config.keys} lacks {' and '.join(missing)}; not needed on this machine alone")


def _problems(folder: Path) -> Iterator[Finding]:
    clients = folder / "clients"
    for place in (folder, clients):
        if place.exists():
            yield from _refused(place, functools.partial(check_folder, place))
    for secret in sorted(folder.glob("*.key_secret")):
        yield from _refused(secret, functools.partial(_check_pair, secret))
    for public in [*sorted(folder.glob("*.key")), *sorted(clients.glob("*.key"))]:
        yield from _refused(public, functools.partial(read_public, public))


def _check_pair(secret: Path) -> None:
    """Raises Refused: one that others can read, no pair, or not of the public key beside it."""
    pair, beside = read_pair(secret), secret.with_suffix(".key")
    if not beside.exists():
        return
    try:
        public = read_public(beside)
    except Refused:
        return  # told by itself
    if public != pair.public:
        raise Refused(
            f"{beside.name} is not the public key of {secret.name} (it has {fingerprint(public)}, that "
            f"{fingerprint(pair.public)}): one of them comes from elsewhere"
        )


def _refused(path: Path, check: Callable[[], object]) -> Iterator[Finding]:
    try:
        check()
    except Refused as exc:
        yield Finding("keys", "bad", exc.message, _mend(path))


def _mend(path: Path) -> str:
    """The command that puts it right, by what the system says of the file."""
    name = shlex.quote(str(path))
    try:
        facts = path.lstat()
    except OSError:
        return "void-bridge keys new"
    if path.is_symlink():
        return f"copy the file itself to {name}"
    if os.name != "nt" and facts.st_uid not in (os.getuid(), 0):
        return f"copy it, so that it is yours: cp -p {name} {name}.mine && mv {name}.mine {name}"
    mode = _mode(path, facts.st_mode)
    if mode:
        return f"chmod {mode} {name}; others may have read or changed it: void-bridge keys list shows fingerprints"
    if path.is_dir():
        return "keep the keys below a folder that is closed to others: VOID_BRIDGE_KEYS"
    if path.name == SERVER_CERTIFICATE:
        return "get server.key again from whoever runs the server"
    return f"rm {name}, then void-bridge keys new, and have its .key let in again"


def _mode(path: Path, mode: int) -> Optional[str]:
    """What chmod takes; None where modes are as they should be."""
    if os.name == "nt":
        return None
    if path.is_dir():
        return "go-w" if mode & 0o022 else None
    forbidden = 0o077 if path.suffix == ".key_secret" else 0o022
    return "600" if mode & forbidden else None
