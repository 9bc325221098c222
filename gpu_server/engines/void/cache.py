"""A disk cache of arrays under keys made from all that they depend on, within a size limit."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from void_bridge.atomic import replacing
from void_bridge.errors import DiskFull, OutputError

Array = NDArray[np.generic]

LIMIT_BYTES = 4 * 10**9


def content_key(*parts: object) -> str:
    """Return a key for everything that a result depends on.

    Args:
        parts: arrays count with type, shape and bytes; other values by their `repr`.

    >>> content_key("pass 1", 7) == content_key("pass 1", 7), content_key(1) == content_key("1")
    (True, False)
    """
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(memoryview(np.ascontiguousarray(part)).cast("B") if part.size else b"")
        else:
            digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


class ContentCache:
    """A folder of arrays that several workers may share.

    The least recently used arrays are deleted if the folder grows past its limit. Files that are damaged or swapped
    count as missing. If the disk is full, nothing is stored and no error raised.

    Args:
        folder: made on the first `put`.
        limit_bytes: size of all arrays together.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder, self._limit = folder, limit_bytes

    def get(self, key: str) -> Array | None:
        """Return the array under a key, or None."""
        path = self._path(key)
        try:
            with open(path, "rb") as handle:
                array: Array = np.load(handle, allow_pickle=False)
                whole = handle.read() == _seal(key, array)
        except (FileNotFoundError, PermissionError):
            return None
        except (OSError, ValueError, EOFError, MemoryError):
            whole = False
        with suppress(OSError):
            os.utime(path) if whole else path.unlink()
        return array if whole else None

    def put(self, key: str, array: Array) -> None:
        """Store an array under a key, atomically."""
        with suppress(OSError, DiskFull, OutputError):
            with replacing(self._path(key)) as partial, open(partial, "wb") as handle:
                np.save(handle, array, allow_pickle=False)
                handle.write(_seal(key, array))
            self._trim()

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.npy"

    def _trim(self) -> None:
        files = []
        for path in self._folder.iterdir():
            with suppress(OSError):
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        excess = sum(size for _, size, _ in files) - self._limit
        for _, size, path in sorted(files):
            if excess <= 0:
                return
            with suppress(OSError):
                path.unlink()
                excess -= size


def _seal(key: str, array: Array) -> bytes:
    """Return the checksum that follows an array in its file."""
    return content_key(key, array).encode()
