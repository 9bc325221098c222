"""`void-bridge keys new`: certificates for servers that other machines may reach.

<keys>/server.key_secret, server.key    the server's pair; server.key goes to every client's folder
<keys>/client.key_secret, client.key    this user's pair
<keys>/clients/NAME.key                 public keys of those whom the server lets in
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import zmq.auth

from void_bridge.cli.command import Command
from void_bridge.cli.console import say
from void_bridge.client.endpoint import CLIENT_CERTIFICATE, SERVER_CERTIFICATE
from void_bridge.config import load, login_name
from void_bridge.errors import OutputError, UsageError, full_disk_named

SERVER_SECRET = "server.key_secret"


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="new")
    new = actions.add_parser("new", help="make this user's key pair, and with --server the server's")
    new.add_argument("--server", action="store_true", help="this machine serves: make its pair, and let this user in")
    new.add_argument("--name", metavar="NAME", help="of this user's key in the allow-list (default: the login name)")
    new.add_argument("--keys", metavar="DIR", help="folder of the keys (default: as configured)")
    new.add_argument("--json", action="store_true", help="end with one line of JSON on standard output")


def run(arguments: argparse.Namespace) -> int:
    folder = load({"keys": arguments.keys}).config.keys
    name = arguments.name or login_name()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]*", name):
        raise UsageError(f"got name {name!r}, expected letters, digits and . _ @ -")
    made = [make_pair(folder, Path(CLIENT_CERTIFICATE).stem)]
    if arguments.server:
        made.append(make_pair(folder, Path(SERVER_CERTIFICATE).stem))
        allow(folder, name)
        say(f"{name} may connect; put other users' client.key into {folder / 'clients'} under names of their own,")
        say(f"and give them {folder / SERVER_CERTIFICATE}; then start void-bridge serve again")
    else:
        say(f"give {folder / 'client.key'} to whoever runs the server, and put the server's server.key into {folder}")
    arguments.outcome.set_other(folder=str(folder), keys=[str(path) for path in made])
    arguments.outcome.summary("\n".join(str(path) for path in made))
    return 0


def make_pair(folder: Path, name: str) -> Path:
    """Make NAME.key and NAME.key_secret, the latter for this user's eyes alone; an existing pair stays.

    Raises:
        OutputError: the folder cannot be written, or others can read a secret that is there.
    """
    secret = folder / f"{name}.key_secret"
    if secret.exists():
        if os.name != "nt" and secret.stat().st_mode & 0o077:
            raise OutputError(f"others can read {secret}; chmod 600 it, or remove it and make new keys")
        say(f"{secret} is there already and stays")
        return secret
    with full_disk_named(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mask = os.umask(0o077)
        try:
            zmq.auth.create_certificates(str(folder), name)
        finally:
            os.umask(mask)
    return secret


def allow(folder: Path, name: str) -> None:
    """Put this user's public key on the server's allow-list."""
    with full_disk_named(folder / "clients"):
        (folder / "clients").mkdir(mode=0o700, exist_ok=True)
        public = (folder / "client.key").read_bytes()
        (folder / "clients" / f"{name}.key").write_bytes(public)


KEYS = Command("keys", "make keys for servers on other machines", configure, run)
