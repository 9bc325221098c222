"""Mattes of a shot, packed in memory, within reach of an engine that looks anywhere."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import matte_box

Array = NDArray[np.float32]


class MatteCache:
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
