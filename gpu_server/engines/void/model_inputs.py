"""What the model is shown of a clip: pictures on scratch disk, quadmasks packed in memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu_server.engines.base import Array, ModelClip
from gpu_server.engines.void.cache import content_key
from gpu_server.engines.void.timeline import Timeline
from gpu_server.frame_files import FrameFiles

Progress = Callable[[int, int], None]


class ModelInputs:
    """The frames of a timeline, read from the clip once.

    plate_key, mask_key: say what the pictures and the quadmasks are, and in which order they are shown.
    """

    def __init__(self, clip: ModelClip, timeline: Timeline, scratch: Path, progress: Progress) -> None:
        self.timeline, self.size = timeline, (clip.height, clip.width)
        self._plates = FrameFiles(scratch / "shown", clip.height, clip.width, np.float32)
        self._packed: list[bytes] = []
        pictures, masks = [], []
        for place, index in enumerate(timeline.sampled):
            progress(place, len(timeline.sampled))
            plate, quadmask = clip.plate(index), clip.quadmask(index)
            self._plates.put(place, plate)
            self._packed.append(zlib.compress(quadmask.tobytes(), 1))
            pictures.append(content_key(plate))
            masks.append(content_key(quadmask))
        self.plate_key = content_key("plate", timeline.order, pictures)
        self.mask_key = content_key("mask", timeline.order, masks)

    @property
    def count(self) -> int:
        """Frames that the model is shown, with those that fill up."""
        return len(self.timeline.order)

    def picture(self, place: int) -> Array:
        """Shape [H, W, 3], in the model domain, of a place in `timeline.sampled`."""
        return self._plates.get(place)

    def frames(self, start: int, stop: int) -> Tensor:
        """Shape [1, 3, stop - start, H, W]: black -1, white 1."""
        pictures = np.stack([self.picture(place) for place in self.timeline.order[start:stop]])
        return torch.from_numpy(pictures).permute(3, 0, 1, 2)[None] * 2 - 1

    def quadmasks(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Shape [stop - start, H, W]."""
        planes = [zlib.decompress(self._packed[place]) for place in self.timeline.order[start:stop]]
        return np.frombuffer(b"".join(planes), np.uint8).reshape(-1, *self.size)
