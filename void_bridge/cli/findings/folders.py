"""Checks of the folder of connection files, of path mapping, and of the roots that a server reads."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple

from void_bridge.atomic import sync_file, sync_folder
from void_bridge.cli.findings import Finding
from void_bridge.config import Config
from void_bridge.connection import check_parent_folders
from void_bridge.errors import OutputError, Refused, VoidBridgeError
from void_bridge.pathmap import PathMap

PREFIX = ".void-bridge-doctor-"
_BYTES = 4096
_ELSEWHERE = "set VOID_BRIDGE_RUNTIME_DIR to your own folder"


def runtime_findings(config: Config) -> Iterator[Finding]:
    """Yield whether `connection.make_private_folder` accepts the folder of connection files, without creating it."""
    yield _runtime(config.runtime_dir)


def _runtime(folder: Path) -> Finding:
    """Return whether a folder can hold connection files."""
    existing = nearest_existing(folder)
    try:
        check_parent_folders(folder)
        if existing == folder and os.name != "nt":
            _check_owner(folder)
        try_folder(existing)
    except (Refused, OutputError) as exc:
        return Finding("runtime", "bad", exc.message, _ELSEWHERE)
    if existing != folder:
        return Finding("runtime", "ok", f"{folder}, created when it is needed")
    if os.name != "nt" and folder.stat().st_mode & 0o077:
        fix = f"chmod 700 {shlex.quote(str(folder))}; the next server also does it"
        return Finding("runtime", "note", f"other users can open {folder}, the folder of connection files", fix)
    return Finding("runtime", "ok", f"{folder}, readable by this user only")


def _check_owner(folder: Path) -> None:
    """Raise Refused if a path is not a folder of this user."""
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise Refused(f"{folder} is a link or a file, expected a folder: no server can start")
    if facts.st_uid != os.getuid():
        raise Refused(f"{folder} belongs to another user ({facts.st_uid}): no server can start")


def path_findings(config: Config) -> Iterator[Finding]:
    """Yield entries of the path map and roots that do not exist or cannot be read."""
    problems = [*_map_problems(config), *_root_problems(config)]
    yield from problems or [Finding("paths", "ok", f"{len(config.path_map)} mapped, {len(config.roots)} roots")]


def _map_problems(config: Config) -> Iterator[Finding]:
    """Yield problems of the path map."""
    for text in config.path_map:
        try:
            ((_, folder),) = PathMap.parse([text]).entries
        except VoidBridgeError as exc:
            yield Finding("paths", "bad", exc.message, "correct path_map; void-bridge config show prints it")
            continue
        if not os.access(folder, os.R_OK | os.X_OK):
            fix = "mount it, or correct path_map; void-bridge config show prints it"
            yield Finding(
                "paths", "note", f"path_map {text}: {folder} does not exist, or this user may not read it", fix
            )


def _root_problems(config: Config) -> Iterator[Finding]:
    """Yield problems of the roots."""
    for root in config.roots:
        if not os.access(root, os.R_OK | os.X_OK):
            fix = "mount it, or correct roots; void-bridge config show prints them"
            yield Finding("paths", "note", f"root {root} does not exist, or this user may not read it", fix)


class FolderTrial(NamedTuple):
    """The result of a trial of a folder.

    Attributes:
        keeps_modes: whether files that are closed to others stay closed.
        ahead_s: seconds by which the disk's clock is ahead of this machine's.
    """

    keeps_modes: bool
    ahead_s: float


def try_folder(folder: Path) -> FolderTrial:
    """Create, write, sync, lock, rename and remove a file in a folder. Leaves nothing behind, also on failure.

    Raises:
        OutputError: the step that failed and the system's reason.
    """
    with _step("make a folder", folder):
        own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    try:
        return _try_steps(own, folder)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _try_steps(own: Path, folder: Path) -> FolderTrial:
    """Perform the steps of `try_folder` in a temporary folder."""
    first, second = own / "first", own / "second"
    with _step("write a file", folder):
        before = time.time()
        with open(first, "xb", buffering=0) as file:
            file.write(bytes(_BYTES))
            written = os.fstat(file.fileno()).st_mtime
        first.chmod(0o600)
        is_kept = os.name == "nt" or not (own.stat().st_mode | first.stat().st_mode) & 0o077
    with _step("sync a file", folder):
        sync_file(first)
        sync_folder(own)
    with _step("lock a file", folder):
        _lock(first)
    with _step("rename a file", folder):
        os.replace(first, second)
    with _step("remove a file", folder):
        second.unlink()
        own.rmdir()
    return FolderTrial(is_kept, written - before)


def _lock(path: Path) -> None:
    """Lock a file in both ways: as a server does, and as SQLite does."""
    if os.name == "nt":
        return
    import fcntl

    with open(path, "rb+") as file:
        for lock in (fcntl.flock, fcntl.lockf):
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock(file, fcntl.LOCK_UN)


@contextmanager
def _step(action: str, folder: Path) -> Iterator[None]:
    """Convert an OSError of the block to OutputError."""
    try:
        yield
    except OSError as exc:
        raise OutputError(f"cannot {action} in {folder}: {exc.strerror or exc}") from exc


def nearest_existing(path: Path) -> Path:
    """Return the path itself, or the nearest folder above it that exists."""
    return next(above for above in (path, *path.parents) if above.exists())
