"""The frames and quadmasks that the model is given: frames on scratch disk, quadmasks compressed in memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu_server.engines.base import ModelClip
from gpu_server.engines.void.cache import content_key
from gpu_server.engines.void.timeline import Timeline
from gpu_server.frame_files import FrameFiles


class ModelInputs:
    """The frames of a timeline, read from the clip once.

    Args:
        clip: the clip, on the model's canvas.
        timeline: which frames, in which order.
        scratch: folder of the job.
        on_frame: called before each frame with the number of frames read and of all frames.

    Attributes:
        timeline: which frames, in which order.
        size: height and width in pixels.
        plate_key: cache key of the plate's pixels and their order.
        mask_key: cache key of the quadmasks and their order.
    """

    def __init__(
        self, clip: ModelClip, timeline: Timeline, scratch: Path, on_frame: Callable[[int, int], None]
    ) -> None:
        self.timeline, self.size = timeline, (clip.height, clip.width)
        self._plates = FrameFiles(scratch / "plate", clip.height, clip.width, np.float32)
        self._quadmasks: list[bytes] = []
        plate_keys, mask_keys = [], []
        for position, index in enumerate(timeline.sampled):
            on_frame(position, len(timeline.sampled))
            plate, quadmask = clip.plate(index), clip.quadmask(index)
            self._plates.put(position, plate)
            self._quadmasks.append(zlib.compress(quadmask.tobytes(), 1))
            plate_keys.append(content_key(plate))
            mask_keys.append(content_key(quadmask))
        self.plate_key = content_key("plate", timeline.order, plate_keys)
        self.mask_key = content_key("mask", timeline.order, mask_keys)

    @property
    def count(self) -> int:
        """The number of frames that the model is given, padding included."""
        return len(self.timeline.order)

    def frames(self, start: int, stop: int) -> Tensor:
        """Return frames start..stop-1: shape [1, 3, stop - start, H, W], float32, black -1, white 1, unclipped."""
        plates = np.stack([self._plates.get(position) for position in self.timeline.order[start:stop]])
        return torch.from_numpy(plates).permute(3, 0, 1, 2)[None] * 2 - 1

    def quadmasks(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the quadmasks of frames start..stop-1: shape [stop - start, H, W], values 0, 63, 127, 255."""
        planes = [zlib.decompress(self._quadmasks[position]) for position in self.timeline.order[start:stop]]
        return np.frombuffer(b"".join(planes), np.uint8).reshape(-1, *self.size)
