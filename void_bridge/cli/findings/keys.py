"""Checks of the keys for servers on other machines: other users' access to them, and whether they form pairs."""

from __future__ import annotations

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
    """Yield the problems of the key folder and of the keys in it."""
    folder = config.keys
    problems = list(_problems(folder)) if folder.exists() else []
    yield from problems
    missing = [name for name in (CLIENT_CERTIFICATE, SERVER_CERTIFICATE) if not (folder / name).exists()]
    if missing:
        yield _missing(config, missing)
    elif not problems:
        server_key = fingerprint(read_public(folder / SERVER_CERTIFICATE))
        yield Finding("keys", "ok", f"{folder}; the server's is {server_key}")


def _missing(config: Config, missing: List[str]) -> Finding:
    """Return the finding that keys are missing, which matters only for servers on other machines."""
    if config.connect:
        fix = "run void-bridge keys new, and get server.key from the server's administrator"
        return Finding("keys", "note", f"{config.keys} lacks {' and '.join(missing)}", fix)
    return Finding(
        "keys", "ok", f"{config.keys} lacks {' and '.join(missing)}; only needed for servers on other machines"
    )


def _problems(folder: Path) -> Iterator[Finding]:
    """Yield the problems of a folder of keys and of each key."""
    clients = folder / "clients"
    for path in (folder, clients):
        if path.exists():
            yield from _run(path, check_folder)
    for secret in sorted(folder.glob("*.key_secret")):
        yield from _run(secret, _check_pair)
    for public in [*sorted(folder.glob("*.key")), *sorted(clients.glob("*.key"))]:
        yield from _run(public, read_public)


def _check_pair(secret: Path) -> None:
    """Raise Refused if others can read a secret key, or if it does not belong to its public key."""
    pair, public_file = read_pair(secret), secret.with_suffix(".key")
    if not public_file.exists():
        return
    try:
        public = read_public(public_file)
    except Refused:
        return  # reported for the public key
    if public != pair.public:
        raise Refused(
            f"{public_file.name} is not the public key of {secret.name} (it has {fingerprint(public)}, that "
            f"{fingerprint(pair.public)}): one of them is from another pair"
        )


def _run(path: Path, check: Callable[[Path], object]) -> Iterator[Finding]:
    """Yield a finding if a check refuses a path."""
    try:
        check(path)
    except Refused as exc:
        yield Finding("keys", "bad", exc.message, _fix(path))


def _fix(path: Path) -> str:
    """Return the command that fixes a key or folder, by its owner and mode."""
    name = shlex.quote(str(path))
    try:
        facts = path.lstat()
    except OSError:
        return "void-bridge keys new"
    if path.is_symlink():
        return f"replace the link {name} with a copy of the file"
    if os.name != "nt" and facts.st_uid not in (os.getuid(), 0):
        return f"copy it, so that you own it: cp -p {name} {name}.mine && mv {name}.mine {name}"
    mode = _mode(path, facts.st_mode)
    if mode:
        return f"chmod {mode} {name}; others may have read or changed it: void-bridge keys list shows fingerprints"
    if path.is_dir():
        return "set VOID_BRIDGE_KEYS to a folder that other users cannot open"
    if path.name == SERVER_CERTIFICATE:
        return "get server.key again from the server's administrator"
    return f"rm {name}, then run void-bridge keys new, and have the new .key allowed on the server"


def _mode(path: Path, mode: int) -> Optional[str]:
    """Return the mode to give to chmod, or None if others have no access."""
    if os.name == "nt":
        return None
    if path.is_dir():
        return "go-w" if mode & 0o022 else None
    forbidden = 0o077 if path.suffix == ".key_secret" else 0o022
    return "600" if mode & forbidden else None
