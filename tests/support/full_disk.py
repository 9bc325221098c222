"""Disks that are full: a simulated one that works everywhere, and a small real one where mounting is allowed.

`FullDisk` counts what needs room below some folders, in this process: creating a file or a folder, giving a file its
final name, every write through Python's own files, every sync, every change and commit of SQLite. From the N-th on
they fail with ENOSPC, until `make_room`; a write that fails has written half. It cannot see what a C library writes to
a file that it opened itself; there, only the opening is counted. `small_disk` has no such gap.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

NEVER = 10**9


class FullDisk:
    """A simulated disk below some folders.

    Args:
        folders: the folders.
        full_at: number of the write from which on it is full.
        number: errno with which writes fail, ENOSPC or EROFS.

    Attributes:
        writes: number of writes that were tried.
        failed: number of writes that were refused.
        refused: names of the refused writes.
    """

    def __init__(self, folders: tuple[Path, ...], full_at: int = NEVER, number: int = errno.ENOSPC) -> None:
        self._folders = tuple(str(folder) for folder in folders)
        self._lock = threading.Lock()
        self._number = number
        self.fill(full_at)

    def fill(self, full_at: int, for_writes: int = NEVER) -> None:
        """Refuse `for_writes` writes from the `full_at`-th on, counted from here."""
        with self._lock:
            self.writes, self.failed, self._full = 0, 0, range(full_at, full_at + for_writes)
            self.refused: list[str] = []

    def make_room(self) -> None:
        with self._lock:
            self._full = range(0)

    def holds(self, path: object) -> bool:
        return isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(self._folders)

    def refuses(self, what: str) -> bool:
        with self._lock:
            self.writes += 1
            full = self.writes in self._full
            if full:
                self.failed += 1
                self.refused.append(what)
            return full

    def need_room(self, what: str) -> None:
        if self.refuses(what):
            raise self.error(what)

    def error(self, what: str) -> OSError:
        return OSError(self._number, os.strerror(self._number), what)

    def database_error(self) -> sqlite3.OperationalError:
        messages = {
            errno.ENOSPC: ("database or disk is full", 13),
            errno.EROFS: ("attempt to write a readonly database", 8),
        }
        text, code = messages[self._number]
        error = sqlite3.OperationalError(text)
        error.sqlite_errorcode = code  # as the library sets it
        return error


class _File:
    """A file of the disk. Everything but writing is the file's own."""

    def __init__(self, file: Any, disk: FullDisk) -> None:
        self._file, self._disk = file, disk

    def write(self, data: Any) -> int:
        if self._disk.refuses(f"write {self._file.name}"):
            self._file.write(data[: len(data) // 2])
            raise self._disk.error(self._file.name)
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


_CHANGES = ("INSERT", "UPDATE", "DELETE", "CREATE", "COMMIT", "BEGIN;", "PRAGMA journal_mode")


def _database(disk: FullDisk) -> type[sqlite3.Connection]:
    class Database(sqlite3.Connection):
        """SQLite may end the whole transaction when it finds its disk full; here it does every other time."""

        def _check(self, sql: str) -> None:
            if sql.lstrip().startswith(_CHANGES) and disk.refuses(f"sql {sql.split()[0]}"):
                if self.in_transaction and disk.writes % 2:
                    super().execute("ROLLBACK")
                raise disk.database_error()

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            self._check(sql)
            return super().execute(sql, *values)

        def executemany(self, sql: str, *values: Any) -> sqlite3.Cursor:
            self._check(sql)
            return super().executemany(sql, *values)

        def executescript(self, sql: str) -> sqlite3.Cursor:
            self._check(sql)
            return super().executescript(sql)

    return Database


@contextmanager
def simulated(disk: FullDisk, monkeypatch: pytest.MonkeyPatch) -> Iterator[FullDisk]:
    """Send this process's writes below the folders of `disk` to it."""
    with monkeypatch.context() as patch:
        for name, value in _patches(disk).items():
            patch.setattr(os, name, value)
        opened = _opener(disk, io.open)
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        patch.setattr(sqlite3, "connect", _connecting(disk, sqlite3.connect))
        yield disk


def _connecting(disk: FullDisk, connect: Callable[..., Any]) -> Callable[..., Any]:
    def connecting(path: Any, **options: Any) -> Any:
        return connect(path, factory=_database(disk), **options) if disk.holds(path) else connect(path, **options)

    return connecting


def _opener(disk: FullDisk, opened: Callable[..., Any]) -> Callable[..., Any]:
    def open(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if not disk.holds(file) or not set(mode) & set("wax+"):
            return opened(file, mode, *rest, **options)
        if not Path(os.fsdecode(file)).exists():
            disk.need_room(f"create {os.fsdecode(file)}")
        return _File(opened(file, mode, *rest, **options), disk)

    return open


def _patches(disk: FullDisk) -> dict[str, Callable[..., Any]]:
    real = {name: getattr(os, name) for name in ("open", "mkdir", "replace", "fsync", "write")}

    def named(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink()) if sys.platform == "linux" else ""

    def open(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & os.O_CREAT and disk.holds(path) and not Path(os.fsdecode(path)).exists():
            disk.need_room(f"create {os.fsdecode(path)}")
        return int(real["open"](path, flags, *rest, **options))

    def mkdir(path: Any, *rest: Any, **options: Any) -> None:
        if disk.holds(path) and not Path(os.fsdecode(path)).exists():
            disk.need_room(f"mkdir {os.fsdecode(path)}")
        real["mkdir"](path, *rest, **options)

    def replace(source: Any, target: Any, **options: Any) -> None:
        if disk.holds(target):
            disk.need_room(f"rename {os.fsdecode(target)}")
        real["replace"](source, target, **options)

    def fsync(descriptor: int) -> None:
        if disk.holds(named(descriptor)):
            disk.need_room(f"sync {named(descriptor)}")
        real["fsync"](descriptor)

    def write(descriptor: int, data: Any) -> int:
        if disk.holds(named(descriptor)):
            disk.need_room(f"write {named(descriptor)}")
        return int(real["write"](descriptor, data))

    return {"open": open, "mkdir": mkdir, "replace": replace, "fsync": fsync, "write": write}


@contextmanager
def small_disk(folder: Path, size: str = "4m", *options: str) -> Iterator[Path]:
    """Mount a small file system in memory. Skips where this user may not mount."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", "mode=700", *options)), "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs a small file system of its own, which only root may mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def take_room(folder: Path, leave_bytes: int) -> Path:
    """Fill the disk of `folder` so that so much is left. Returns the file to remove."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file, suppress(OSError):
        while (free := os.statvfs(folder)).f_bavail * free.f_frsize > leave_bytes:
            file.write(bytes(min(free.f_frsize, free.f_bavail * free.f_frsize - leave_bytes)))
    return ballast


class StalledDisk(FullDisk):
    """A disk whose writes wait while it is stalled, as those of a network share whose server has gone."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._moves = threading.Event()
        self._moves.set()
        self.waiting = 0
        super().__init__(folders)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        self._moves.clear()
        try:
            yield
        finally:
            self._moves.set()

    def refuses(self, what: str) -> bool:
        if not self._moves.is_set():
            self.waiting += 1
            self._moves.wait()
        return super().refuses(what)
