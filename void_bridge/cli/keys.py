"""The command `void-bridge keys`, which makes keys for servers on other machines and edits the allow-list.

<keys>/server.key_secret, server.key    the server's pair; server.key goes to every client's folder
<keys>/client.key_secret, client.key    this user's pair
<keys>/clients/NAME.key                 the allow-list: public keys of the clients that the server accepts
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Dict, Optional

import zmq.auth

from void_bridge.atomic import write_bytes
from void_bridge.cli.command import Command, add_json_option
from void_bridge.cli.console import say
from void_bridge.client.endpoint import CLIENT_CERTIFICATE, SERVER_CERTIFICATE
from void_bridge.config import load, login_name
from void_bridge.connection import check_parent_folders
from void_bridge.errors import OutputError, Refused, UsageError, map_write_errors
from void_bridge.keyfiles import check_folder, fingerprint, read_public

SERVER_SECRET = "server.key_secret"
_SOON = "a running server applies this at the next connection"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="new|list|allow|revoke")
    new = actions.add_parser("new", help="create this user's key pair; with --server, also the server's")
    new.add_argument(
        "--server", action="store_true", help="also create the server's key pair, and allow this user to connect"
    )
    new.add_argument(
        "--name", metavar="NAME", help="name of this user's key in the allow-list (default: the login name)"
    )
    list_action = actions.add_parser("list", help="show the keys, and the clients that may connect")
    allow_action = actions.add_parser("allow", help="allow a client to connect, by its client.key")
    allow_action.add_argument("name", metavar="NAME", help="name for the client in the allow-list")
    allow_action.add_argument("file", metavar="FILE", type=Path, help="the client.key that the client's user has sent")
    revoke = actions.add_parser("revoke", help="stop allowing a client")
    revoke.add_argument("name", metavar="NAME", help="name of the client, as keys list shows it")
    for action in (new, list_action, allow_action, revoke):
        action.add_argument("--keys", metavar="DIR", help="folder of the keys (default: from the configuration)")
        add_json_option(action)


def run(arguments: argparse.Namespace) -> int:
    """Run one of the actions."""
    folder = load({"keys": arguments.keys}).config.keys
    {"new": _new, "list": _list, "allow": _allow, "revoke": _revoke}[arguments.action](folder, arguments)
    return 0


def _new(folder: Path, arguments: argparse.Namespace) -> None:
    """Make this user's keys and, with --server, the server's."""
    name = _parse_name(arguments.name or login_name())
    made = [make_pair(folder, Path(CLIENT_CERTIFICATE).stem)]
    if arguments.server:
        made.append(make_pair(folder, Path(SERVER_CERTIFICATE).stem))
        allow(folder, name)
        say(f"{name} may connect; to allow others, run void-bridge keys allow NAME FILE with their client.key,")
        say(f"send them {folder / SERVER_CERTIFICATE}, and start void-bridge serve")
    else:
        say(
            f"send {folder / 'client.key'} to the server's administrator, and put the server's server.key into {folder}"
        )
    arguments.outcome.set_without_job(folder=str(folder), keys=[str(path) for path in made])
    arguments.outcome.summary("\n".join(str(path) for path in made))


def _list(folder: Path, arguments: argparse.Namespace) -> None:
    """Print the public keys of the folder and the allow-list."""
    own = [_entry(folder / f"{name}.key", name) for name in ("server", "client") if (folder / f"{name}.key").exists()]
    clients = [_entry(path, path.stem) for path in sorted((folder / "clients").glob("*.key"))]
    problems = [problem for problem in (_folder_problem(folder), _folder_problem(folder / "clients")) if problem]
    arguments.outcome.set_without_job(folder=str(folder), own=own, clients=clients, problems=problems)
    lines = [f"{folder}{'' if own or clients else ' holds no keys'}"]
    lines += [f"  {entry['name']:<24} {entry['fingerprint'] or entry['problem']}" for entry in own]
    lines += ["may connect:"] if clients else []
    lines += [f"  {entry['name']:<24} {entry['fingerprint'] or entry['problem']}" for entry in clients]
    arguments.outcome.summary("\n".join([*lines, *problems]))


def _allow(folder: Path, arguments: argparse.Namespace) -> None:
    """Add a client to the allow-list."""
    name = _parse_name(arguments.name)
    allowed = allow(folder, name, arguments.file)
    arguments.outcome.set_without_job(folder=str(folder), name=name, fingerprint=allowed)
    arguments.outcome.summary(f"{name} may connect with key {allowed}; {_SOON}")


def _revoke(folder: Path, arguments: argparse.Namespace) -> None:
    """Remove a client from the allow-list."""
    name = _parse_name(arguments.name)
    path = folder / "clients" / f"{name}.key"
    if not path.exists():
        known = ", ".join(sorted(entry.stem for entry in path.parent.glob("*.key"))) or "no client"
        raise UsageError(f"got {name}, which is not in the allow-list; it has {known}")
    with map_write_errors(path):
        path.unlink()
    arguments.outcome.set_without_job(folder=str(folder), name=name)
    arguments.outcome.summary(f"{name} may no longer connect; a running server applies this within seconds")


def make_pair(folder: Path, name: str) -> Path:
    """Make NAME.key, and NAME.key_secret which only this user can read. An existing pair is kept.

    Args:
        folder: folder of the keys.
        name: `server` or `client`.

    Returns:
        The path of NAME.key_secret.

    Raises:
        OutputError: the folder cannot be written, or others can read an existing secret.
        Refused: others can put files into the folder.
    """
    secret = folder / f"{name}.key_secret"
    if secret.exists():
        if os.name != "nt" and secret.stat().st_mode & 0o077:
            raise OutputError(f"others can read {secret}; run chmod 600 on it, or remove it and create new keys")
        say(f"{secret} already exists and is kept")
        return secret
    check_parent_folders(folder)
    with map_write_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(folder)
        mask = os.umask(0o077)
        try:
            zmq.auth.create_certificates(str(folder), name)
        finally:
            os.umask(mask)
    return secret


def allow(folder: Path, name: str, source: Optional[Path] = None) -> str:
    """Add a public key to the server's allow-list and return its fingerprint.

    Args:
        folder: folder of the keys.
        name: name of the client.
        source: the client's key; default: this user's own.

    Raises:
        Refused: a file that is no public key, a name that has another key, or a key that has another name.
    """
    public = _read_sent_key(source or folder / "client.key")
    clients = folder / "clients"
    with map_write_errors(clients):
        clients.mkdir(mode=0o700, exist_ok=True)
    for path in (folder, clients):
        check_folder(path)
    for path in sorted(clients.glob("*.key")):
        _check_not_used(path, read_public(path), name, public)
    write_bytes(clients / f"{name}.key", f'metadata\ncurve\n    public-key = "{public}"\n'.encode(), private=True)
    return fingerprint(public)


def _read_sent_key(path: Path) -> str:
    """Return the public key in a file that a user sent. Its owner and mode do not matter. Raises Refused."""
    try:
        public, secret = zmq.auth.load_certificate(str(path))
    except (OSError, ValueError) as exc:
        raise Refused(
            f"cannot read key {path}: {exc}; expected the client.key that void-bridge keys new creates"
        ) from exc
    if secret:
        raise Refused(
            f"{path} holds a secret key, which its owner must not share; ask for new keys and their client.key"
        )
    if len(public) != 40:
        raise Refused(f"{path} holds no key; expected the client.key that void-bridge keys new creates")
    return public.decode("ascii", "replace")


def _check_not_used(path: Path, theirs: str, name: str, public: str) -> None:
    """Raise Refused if an entry of the allow-list has the same name or the same key, but not both."""
    if path.stem == name and theirs != public:
        raise Refused(
            f"{name} is allowed with another key, {fingerprint(theirs)}; first run void-bridge keys revoke {name}"
        )
    if path.stem != name and theirs == public:
        raise Refused(
            f"that key is already allowed, as {path.stem}; to rename it, first run void-bridge keys revoke {path.stem}"
        )


def _entry(path: Path, name: str) -> Dict[str, str]:
    """Return the name of a key with its fingerprint, or with the problem that keeps it from being read."""
    try:
        return {"name": name, "fingerprint": fingerprint(read_public(path)), "problem": ""}
    except Refused as exc:
        return {"name": name, "fingerprint": "", "problem": exc.message}


def _folder_problem(folder: Path) -> str:
    """Return the problem of a folder of keys, or an empty string."""
    try:
        if folder.exists():
            check_folder(folder)
    except Refused as exc:
        return exc.message
    return ""


def _parse_name(name: str) -> str:
    """Return a name that can be the name of a key file. Raises UsageError for others."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]*", name):
        raise UsageError(f"got name {name!r}, expected letters, digits and . _ @ -")
    return name


KEYS = Command(
    "keys",
    "create keys, and list or change which clients may connect to this server",
    configure,
    run,
    examples="void-bridge keys new --server\nvoid-bridge keys allow anna client.key",
)
