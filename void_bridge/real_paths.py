"""Paths that have been followed to their end: whether one lies inside a folder, whether one has become a link."""

from __future__ import annotations

import os

from void_bridge.errors import Refused

OPEN_NO_LINK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags to open a file that is no link; a pipe in its place holds nobody up."""
SMALL_BYTES_MAX = 64 * 1024  # of keys and connection files


def is_within(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies below it; both with every link followed."""
    try:
        return os.path.commonpath((path, root)) == root
    except ValueError:  # on another drive
        return False


def check_no_link(file: str, named: str) -> None:
    """Raises Refused: links lead from where `file` was found to another place. named: what the words call it."""
    if os.path.realpath(file) != file:
        raise Refused(f"{named} has become a link since the job was submitted; submit it again")
