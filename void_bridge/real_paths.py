"""Checks on paths whose symbolic links have been followed."""

from __future__ import annotations

import os

from void_bridge.errors import Refused

OPEN_NO_LINK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags that open a file but no symbolic link, and do not block on a pipe."""
SMALL_BYTES_MAX = 64 * 1024  # of keys and connection files


def is_within(path: str, root: str) -> bool:
    """Return whether `path` is `root` or lies below it. Links in both must have been followed."""
    try:
        return os.path.commonpath((path, root)) == root
    except ValueError:  # on another drive
        return False


def check_no_link(file: str, named: str) -> None:
    """Raise Refused if a path contains a symbolic link.

    Args:
        file: path whose links had been followed when the job was submitted.
        named: the path as the error message calls it.
    """
    if os.path.realpath(file) != file:
        raise Refused(f"{named} has become a link since the job was submitted; submit it again")
