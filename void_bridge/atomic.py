"""Atomic writes: a file is written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import uuid
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Iterator

from void_bridge.errors import map_write_errors
from void_bridge.processes import has_ended
from void_bridge.typed import to_plain

TEMPORARY_SUFFIX = ".void-tmp"
_ABANDONED_S = 24 * 3600.0


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block succeeds and is removed when it fails.

    Args:
        path: the file to write. Its folder is created.
        durable: sync the file and its folder before returning, so that the file survives a power cut.

    Yields:
        The temporary path, in the same folder.

    Raises:
        DiskFull: no space left; `path` is unchanged.
        OutputError: the file cannot be written; `path` is unchanged.
    """
    # The name is cut since it may already be as long as the file system allows.
    temporary = _temporary_path(path.parent, path.name[:40])
    with map_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if durable:
                sync_file(temporary)
            os.replace(temporary, path)
            if durable:
                sync_folder(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink()


def write_bytes(path: Path, data: bytes, durable: bool = False, private: bool = False) -> None:
    """Write a file atomically. Raises DiskFull, OutputError.

    Args:
        path: the file to write. Its folder is created.
        data: its content.
        durable: sync the file and its folder before returning, so that the file survives a power cut.
        private: let no other user read the file.
    """
    opener = partial(os.open, mode=0o600 if private else 0o666)
    with replacing(path, durable) as temporary, open(temporary, "xb", opener=opener) as file:
        file.write(data)


def write_json(path: Path, data: object) -> None:
    """Write plain data or dataclasses as indented JSON, atomically. Raises DiskFull, OutputError."""
    write_bytes(path, (json.dumps(to_plain(data), indent=2, ensure_ascii=False) + "\n").encode())


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files of killed writers: of ended processes of this machine, and any that are a day old."""
    with suppress(OSError):
        for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
            with suppress(OSError):
                if _is_abandoned(path):
                    path.unlink()


def _temporary_path(folder: Path, name: str) -> Path:
    """Return a new hidden path that names this machine and process, by which it is later found abandoned."""
    return folder / f".{name}.{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}"


def _machine() -> str:
    """Return a short hash of this machine's name."""
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


def _is_abandoned(path: Path) -> bool:
    """Return whether the writer of a temporary file has ended, or the file is a day old."""
    machine, _, rest = path.name.removesuffix(TEMPORARY_SUFFIX).rpartition(".")[2].partition("-")
    pid = rest.partition("-")[0]
    if machine == _machine() and pid.isdigit() and os.name != "nt":
        return has_ended(int(pid))
    return _disk_time(path.parent) - path.stat().st_mtime > _ABANDONED_S


def _disk_time(folder: Path) -> float:
    """Return the time that a new file in a folder gets, as the clock of a network disk may be days off."""
    probe = _temporary_path(folder, "now")
    try:
        probe.touch(exist_ok=False)
        return min(time.time(), probe.stat().st_mtime)
    finally:
        with suppress(OSError):
            probe.unlink()


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Does nothing on Windows, which has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
