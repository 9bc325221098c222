"""A shot within reach of an engine that looks anywhere: plates on scratch disk, mattes packed in memory."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from void_bridge.errors import full_disk_named
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import matte_box

Array = NDArray[np.float32]


class PlateStore:
    """RGB planes of a shot as raw files, one a frame: written once, read by box.

    dtype float16 for half plates, else float32; float16 holds what a half plate holds, exactly.
    """

    def __init__(self, folder: Path, height: int, width: int, dtype: DTypeLike) -> None:
        self._folder, self._shape, self._dtype = folder, (height, width, 3), np.dtype(dtype)
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, index: int, rgb: Array) -> None:
        """rgb: shape [H, W, 3]. Raises DiskFull, OutputError."""
        path = self._path(index)
        with full_disk_named(path):
            rgb.astype(self._dtype).tofile(path)

    def get(self, index: int, box: Box) -> Array:
        """Shape [box.height, box.width, 3]. Reads the rows of the box and nothing else."""
        row_bytes = self._shape[1] * 3 * self._dtype.itemsize
        with open(self._path(index), "rb") as handle:
            rows = np.fromfile(handle, self._dtype, box.height * self._shape[1] * 3, offset=box.y0 * row_bytes).reshape(
                box.height, self._shape[1], 3
            )
        return rows[:, box.x0 : box.x1].astype(np.float32)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:06d}.rgb"


class MatteShelf:
    """Mattes of a shot, packed in memory: half precision inside the box of each."""

    def __init__(self, height: int, width: int) -> None:
        self._shape = height, width
        self._packed: dict[tuple[str, int], tuple[Box, bytes]] = {}

    def put(self, role: str, index: int, matte: Array) -> None:
        """matte: shape [H, W], in [0, 1]."""
        box = matte_box(matte)
        if not box.empty:
            self._packed[role, index] = box, zlib.compress(matte[box.slices].astype(np.float16).tobytes(), 1)

    def box(self, role: str, index: int) -> Box:
        return self._packed[role, index][0] if (role, index) in self._packed else Box(0, 0, 0, 0)

    def get(self, role: str, index: int, box: Box) -> Array:
        """Shape [box.height, box.width], in [0, 1]."""
        result = np.zeros(box.shape, np.float32)
        if (role, index) in self._packed:
            held, packed = self._packed[role, index]
            plane = np.frombuffer(zlib.decompress(packed), np.float16).reshape(held.shape)
            shared = held & box
            if not shared.empty:
                result[shared.relative_to(box).slices] = plane[shared.relative_to(held).slices]
        return result
