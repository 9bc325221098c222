"""Arrays found again by what they were made from, on disk and within a limit."""

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
    """One name for everything that a result depends on. Arrays count with type, shape and bytes; the rest as `repr`.

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
    """A folder of arrays that several workers may share. The least recently used go when it grows past its limit.

    What is damaged, another's or gone counts as never made; a full disk only means that nothing is kept.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder, self._limit = folder, limit_bytes

    def get(self, key: str) -> Array | None:
        """The array, or None."""
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
    """What stands behind an array in its file."""
    return content_key(key, array).encode()
