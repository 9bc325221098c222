"""Protection against symbolic links: checks on paths whose links have been followed, and reading without a link."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

from void_bridge.errors import Refused

_OPEN_NO_LINK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # does not block on a pipe
_SMALL_BYTES_MAX = 64 * 1024  # of keys and connection files


def read_small_file(path: Path, check: Callable[[os.stat_result], None]) -> bytes:
    """Return the content of a file that is no link and that a check accepts.

    Args:
        path: the file. At most 64 KiB are read.
        check: raises an error for a file whose type, owner or mode is wrong.

    Raises:
        OSError: the file cannot be opened, or is a link (ELOOP).
    """
    descriptor = os.open(path, _OPEN_NO_LINK)
    try:
        check(os.fstat(descriptor))
        return os.read(descriptor, _SMALL_BYTES_MAX)
    finally:
        os.close(descriptor)


def is_within(path: str, root: str) -> bool:
    """Return whether `path` is `root` or is below it. Links in both must have been followed."""
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
        raise Refused(f"{named} became a link after the job was submitted; submit it again")
