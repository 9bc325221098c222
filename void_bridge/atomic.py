"""Files that appear whole or not at all: a temporary name beside the target, then a rename."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator

from void_bridge.errors import full_disk_named

TEMPORARY_SUFFIX = ".void-tmp"


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well and vanishes when it does not.

    Args:
        durable: sync the file and its folder before returning, so that a power cut keeps it.

    Raises:
        DiskFull, OutputError: naming `path`, which is left as it was.
    """
    # Cut, for a name may be as long as the file system allows.
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
    with full_disk_named(path):
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
