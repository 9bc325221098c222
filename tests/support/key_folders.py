"""Folders of keys as `keys new` and `keys allow` leave them."""

from __future__ import annotations

from pathlib import Path

from void_bridge.cli.keys import allow, make_pair


def make_key_folder(folder: Path) -> Path:
    """Make the keys of a server that accepts this user under the name anna."""
    make_pair(folder, "server")
    make_pair(folder, "client")
    allow(folder, "anna")
    return folder
