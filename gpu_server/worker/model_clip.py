"""A shot as a video model sees it: framed, on the canvas, in the model domain, with a pre-roll; and the way back."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Patch
from gpu_server.worker.clip import StoredClip
from void_bridge.job import MATTE_ROLES
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import MattePlanes, PlaneRole
from void_bridge.pixels.model_domain import bound_highlights, from_model, highlight_ceiling, to_model
from void_bridge.pixels.quadmask import preroll_plan
from void_bridge.pixels.shot import Shot

Array = NDArray[np.float32]

ENLARGEMENT_WARNING = 1.5


class FramedClip:
    """A `ModelClip` over a stored one, in the shot's framing. Index 0 is the pre-roll, which is never wanted."""

    preroll = True

    def __init__(self, stored: StoredClip, shot: Shot) -> None:
        self._stored, self._shot = stored, shot
        self._framing, self._colour = shot.framing, shot.job.colour
        self._inside = self._framing.inside.relative_to(shot.raster)
        delivered = [stored.frames[i] for i in stored.wanted]
        self._plan = preroll_plan(stored.frames, delivered)
        self.frames = [stored.frames[i] for i in self._plan]
        self.wanted = [place for place, i in enumerate(self._plan) if place and i in set(stored.wanted)]
        self.height, self.width = self._framing.canvas
        self.pixel_aspect = 1.0
        self.exposure = stored.exposure

    def plate(self, index: int, box: Box | None = None) -> Array:
        """Shape [H, W, 3] of the canvas, in the model domain."""
        linear = self._stored.plate(self._plan[index], self._inside)
        return self._cut(to_model(self._framing.to_canvas(linear), self._colour), box)

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        plane = self._stored.matte(role, self._plan[index], self._inside)
        return self._cut(np.clip(self._framing.to_canvas(plane), 0, 1), box)

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        """The whole canvas where the matte has anything: what it touches there depends on the resampling."""
        empty = self._stored.matte_box(role, self._plan[index]).empty
        return Box(0, 0, 0, 0) if empty else Box(0, 0, self.height, self.width)

    def quadmask(self, index: int) -> NDArray[np.uint8]:
        planes = {role: self._stored.matte(role, self._plan[index]) for role in MATTE_ROLES}
        return self._shot.quadmask(MattePlanes(self._stored.whole.shape, **planes), clear_affected=index == 0)

    def to_plate(self, patch: Patch) -> Patch:
        """A patch of the whole canvas, in the model domain, as linear pixels of the plate."""
        index = self._plan[patch.index]
        linear = self._framing.from_canvas(from_model(patch.rgb, self._colour))
        bounded = bound_highlights(linear, highlight_ceiling(self._stored.plate(index, self._inside)))
        confidence = patch.confidence
        if confidence is not None:
            confidence = np.clip(self._framing.from_canvas(confidence), 0, 1)
        return dataclasses.replace(patch, index=index, box=self._inside, rgb=bounded, confidence=confidence)

    def report(self) -> dict[str, object]:
        """How much the patch is enlarged on the way back, with a warning where that shows."""
        times = round(self._framing.enlargement, 2)
        told: dict[str, object] = {"enlargement": times}
        if times > ENLARGEMENT_WARNING:
            told["warnings"] = [
                f"the patch is enlarged {times} x; a larger --canvas or a smaller matte keeps more detail"
            ]
        return told

    def _cut(self, image: Array, box: Box | None) -> Array:
        return np.ascontiguousarray(image[box.slices] if box else image)
