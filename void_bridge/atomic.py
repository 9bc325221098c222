"""Files that appear whole or not at all: a temporary name beside the target, then a rename."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator

from void_bridge.errors import map_write_errors
from void_bridge.processes import has_ended
from void_bridge.typed import to_plain

TEMPORARY_SUFFIX = ".void-tmp"
_ABANDONED_S = 24 * 3600.0


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well and vanishes when it does not.

    Args:
        durable: sync the file and its folder before returning, so that a power cut keeps it.

    Raises:
        DiskFull, OutputError: naming `path`, which is left as it was.
    """
    # Cut, for a name may be as long as the file system allows.
    temporary = path.with_name(f".{path.name[:40]}.{_owner()}-{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
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


def write_bytes(path: Path, data: bytes, durable: bool = False) -> None:
    """Write `data` as `path`, whole or not at all. Raises DiskFull, OutputError."""
    with replacing(path, durable) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, data: object) -> None:
    """Write plain data, or dataclasses of it, for people to read as well. Raises DiskFull, OutputError."""
    write_bytes(path, (json.dumps(to_plain(data), indent=2, ensure_ascii=False) + "\n").encode())


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files whose writer was killed: of this machine's ended processes, and any that are a day old."""
    with suppress(OSError):
        for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
            with suppress(OSError):
                if _is_abandoned(path):
                    path.unlink()


def _owner() -> str:
    """This machine and process, in the name of a temporary file."""
    return f"{_machine()}-{os.getpid()}"


def _machine() -> str:
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


def _is_abandoned(path: Path) -> bool:
    machine, _, rest = path.name.removesuffix(TEMPORARY_SUFFIX).rpartition(".")[2].partition("-")
    pid = rest.partition("-")[0]
    if machine == _machine() and pid.isdigit() and os.name != "nt":
        return has_ended(int(pid))
    return _now_at(path.parent) - path.stat().st_mtime > _ABANDONED_S


def _now_at(folder: Path) -> float:
    """The time that a new file there gets: this machine's clock may be days off that of the disk."""
    probe = folder / f".now.{_owner()}-{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}"
    try:
        probe.touch(exist_ok=False)
        return min(time.time(), probe.stat().st_mtime)
    finally:
        with suppress(OSError):
            probe.unlink()


def sync_file(path: Path) -> None:
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
