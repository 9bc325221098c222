"""Clips: a decoded shot in the form that an engine asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gpu_server.frame_files import FrameFiles
from gpu_server.worker.matte_cache import MatteCache
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import PlaneRole
from void_bridge.pixels.shot import Shot, ShotFrame

Array = NDArray[np.float32]


class _ShotClip:
    """What stream and stored clips share: the raster of the shot, counted from its corner."""

    def __init__(self, shot: Shot, wanted: Sequence[int]) -> None:
        self._shot = shot
        self.frames: Sequence[int] = shot.frames
        self.wanted = wanted
        self.height, self.width = shot.raster.shape
        self.pixel_aspect = shot.pixel_aspect
        self.exposure = shot.job.colour.exposure or 0.0
        self.whole = Box(0, 0, self.height, self.width)


class StreamClip(_ShotClip):
    """Frames in order, each held in memory until its patch is finished."""

    def __init__(self, shot: Shot, wanted: Sequence[int], load: Callable[[int], ShotFrame]) -> None:
        super().__init__(shot, wanted)
        self._load = load

    def plate(self, index: int, box: Box | None = None) -> Array:
        return self._load(index).rgb(box or self.whole)

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        return self._load(index).matte(role)[(box or self.whole).slices]

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        return self._load(index).matte_box(role)


class StoredClip(_ShotClip):
    """Frames in any order and by box, from scratch disk."""

    def __init__(self, shot: Shot, wanted: Sequence[int], plates: FrameFiles, mattes: MatteCache) -> None:
        super().__init__(shot, wanted)
        self._plates, self._mattes = plates, mattes

    def plate(self, index: int, box: Box | None = None) -> Array:
        return self._plates.get(index, box or self.whole)

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        return self._mattes.get(role, index, box or self.whole)

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        return self._mattes.box(role, index)
