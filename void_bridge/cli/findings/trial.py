"""Whether a folder really takes files: by making, writing, syncing, locking, renaming and removing one there."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple

from void_bridge.atomic import sync_file, sync_folder
from void_bridge.errors import OutputError

PREFIX = ".void-bridge-doctor-"
_BYTES = 4096


class Trial(NamedTuple):
    """keeps_modes: what is closed to others stays closed. ahead_s: the disk's clock against this machine's."""

    keeps_modes: bool
    ahead_s: float


def try_folder(folder: Path) -> Trial:
    """Leaves nothing, whatever happens.

    Raises:
        OutputError: what could not be done there, and what the system said.
    """
    with _doing("make a folder", folder):
        own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    try:
        return _tried(own, folder)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _tried(own: Path, folder: Path) -> Trial:
    first, second = own / "first", own / "second"
    with _doing("write a file", folder):
        before = time.time()
        with open(first, "xb", buffering=0) as file:
            file.write(bytes(_BYTES))
            written = os.fstat(file.fileno()).st_mtime
        first.chmod(0o600)
        is_kept = os.name == "nt" or not (own.stat().st_mode | first.stat().st_mode) & 0o077
    with _doing("sync a file", folder):
        sync_file(first)
        sync_folder(own)
    with _doing("lock a file", folder):
        _lock(first)
    with _doing("rename a file", folder):
        os.replace(first, second)
    with _doing("remove a file", folder):
        second.unlink()
        own.rmdir()
    return Trial(is_kept, written - before)


def _lock(path: Path) -> None:
    """Both ways: a server's own lock, and SQLite's."""
    if os.name == "nt":
        return
    import fcntl

    with open(path, "rb+") as file:
        for lock in (fcntl.flock, fcntl.lockf):
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock(file, fcntl.LOCK_UN)


@contextmanager
def _doing(what: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutputError(f"cannot {what} in {folder}: {exc.strerror or exc}") from exc


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    return next(above for above in (path, *path.parents) if above.exists())
