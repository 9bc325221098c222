"""Frames of a shot on scratch disk, for access in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from void_bridge.errors import map_write_errors
from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box


class FrameFiles:
    """RGB planes as raw files, one a frame: written once, read by box.

    Args:
        folder: the folder, which is made.
        height: rows of a frame.
        width: columns of a frame.
        dtype: float16 for half plates, else float32; float16 holds the values of a half plate exactly.

    Raises:
        DiskFull, OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, height: int, width: int, dtype: DTypeLike) -> None:
        self._folder, self._shape, self._dtype = folder, (height, width, 3), np.dtype(dtype)
        with map_write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, index: int, rgb: Array) -> None:
        """Write a frame, shape [H, W, 3].

        Raises:
            DiskFull, OutputError: the file cannot be written.
        """
        path = self._path(index)
        with map_write_errors(path), open(path, "wb") as file:  # ndarray.tofile does not report a full disk
            file.write(np.ascontiguousarray(rgb, self._dtype).data)

    def get(self, index: int, box: Box | None = None) -> Array:
        """Read a frame, or a box of it, of which only its rows are read. Shape [H, W, 3] of the box."""
        box = box or Box(0, 0, *self._shape[:2])
        row_bytes = self._shape[1] * 3 * self._dtype.itemsize
        with open(self._path(index), "rb") as handle:
            rows = np.fromfile(handle, self._dtype, box.height * self._shape[1] * 3, offset=box.y0 * row_bytes).reshape(
                box.height, self._shape[1], 3
            )
        return rows[:, box.x0 : box.x1].astype(np.float32)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:06d}.rgb"
