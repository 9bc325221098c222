"""A cache of encoded plates at full resolution, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Clip
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import encode

Encoded = NDArray[np.float16]


class FrameCache:
    """Encoded frames of a clip, shape [H, W, 3], float16; the last used ones are kept.

    Args:
        clip: the clip.
        budget_bytes: memory for frames.
    """

    def __init__(self, clip: Clip, budget_bytes: int) -> None:
        self._clip = clip
        self._most = max(2, budget_bytes // (clip.height * clip.width * 6))
        self._held: OrderedDict[int, Encoded] = OrderedDict()
        self._lock = threading.Lock()

    def frame(self, index: int) -> Encoded:
        """Return an encoded frame."""
        with self._lock:  # the clip reads for one thread at a time
            if index in self._held:
                self._held.move_to_end(index)
                return self._held[index]
            frame = self._read(index)
            self._held[index] = frame
            while len(self._held) > self._most:
                self._held.popitem(last=False)
            return frame

    def hole(self, index: int, box: Box) -> NDArray[np.bool_]:
        """Return the pixels that may change, shape [box.height, box.width]."""
        with self._lock:
            return self._clip.matte("paste", index, box) > 0

    def _read(self, index: int) -> Encoded:
        frame = np.empty((self._clip.height, self._clip.width, 3), np.float16)
        plate = self._clip.plate(index)
        for top in range(0, self._clip.height, 256):
            frame[top : top + 256] = encode(plate[top : top + 256], self._clip.exposure)
        return frame
