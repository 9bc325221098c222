"""A shot as a video model sees it: framed, on the canvas, in the model domain, with a pre-roll; and the way back."""

from __future__ import annotations

from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from gpu_server.worker.clips import StoredClip
from void_bridge.job import MATTE_ROLES
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import MattePlanes, PlaneRole
from void_bridge.pixels.model_domain import from_model, highlight_ceiling, to_model
from void_bridge.pixels.quadmask import preroll_plan
from void_bridge.pixels.shot import Shot

Array = NDArray[np.float32]

ENLARGEMENT_WARNING = 1.5

_CEILING_SAMPLES = 8
"""Frames of a shot in which lights are looked for that others hide."""


class FramedClip:
    """A `ModelClip` over a stored one. Index 0 is the pre-roll, which is never wanted.

    stored: the clip that it frames. framings: what the model sees of the plate, by index; the pre-roll is seen as the
    frame that it repeats.
    """

    preroll = True

    def __init__(self, stored: StoredClip, shot: Shot) -> None:
        self.stored, self._shot, self._colour = stored, shot, shot.job.colour
        delivered = stored.frames if shot.job.deliver_handles else shot.job.frames
        self._plan = preroll_plan(stored.frames, tuple(delivered))
        self.framings = [shot.framings[i] for i in self._plan]
        self.frames = [stored.frames[i] for i in self._plan]
        self.wanted = [place for place, i in enumerate(self._plan) if place and i in set(stored.wanted)]
        self.height, self.width = shot.job.canvas_size
        self.pixel_aspect, self.rate = 1.0, shot.rate
        self.exposure = stored.exposure

    def inside(self, index: int) -> Box:
        """What the model sees of a frame, counted from the raster's corner."""
        return self.framings[index].inside.relative_to(self._shot.raster)

    def plate(self, index: int, box: Box | None = None) -> Array:
        """Shape [H, W, 3] of the canvas, in the model domain."""
        linear = self.stored.plate(self._plan[index], self.inside(index))
        return self._cut(to_model(self.framings[index].to_canvas(linear), self._colour), box)

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        if self.matte_box(role, index).empty:
            return np.zeros(box.shape if box else (self.height, self.width), np.float32)
        plane = self.stored.matte(role, self._plan[index], self.inside(index))
        return self._cut(np.clip(self.framings[index].to_canvas(plane), 0, 1), box)

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        """The whole canvas where the matte has anything: what it touches there depends on the resampling."""
        seen = self.stored.matte_box(role, self._plan[index]) & self.inside(index)
        return Box(0, 0, 0, 0) if seen.empty else Box(0, 0, self.height, self.width)

    def quadmask(self, index: int) -> NDArray[np.uint8]:
        there = [role for role in MATTE_ROLES if not self.stored.matte_box(role, self._plan[index]).empty]
        planes = {role: self.stored.matte(role, self._plan[index]) for role in there}
        mattes = MattePlanes(self.stored.whole.shape, **planes)
        return self._shot.quadmask(self._plan[index], mattes, clear_affected=index == 0)

    def stored_index(self, index: int) -> int:
        """Of the stored frame that is shown at an index of this clip."""
        return self._plan[index]

    def linear(self, code: Array) -> Array:
        """The model domain to linear light in the working space. Shape [..., 3]."""
        return from_model(code, self._colour)

    def code(self, linear: Array) -> Array:
        """The inverse of `linear`."""
        return to_model(linear, self._colour)

    def ceiling(self, index: int) -> Array:
        """How bright a patch may be, shape of `inside`: as what this frame shows around it, or another one did."""
        inside = self.inside(index)
        here = highlight_ceiling(self.stored.plate(self._plan[index], inside))
        return np.maximum(here, self.shot_ceiling[inside.relative_to(self.around).slices])

    @cached_property
    def shot_ceiling(self) -> Array:
        """Shape of `around`."""
        sampled = np.unique(np.linspace(0, len(self.stored.frames) - 1, _CEILING_SAMPLES).round().astype(int))
        ceilings = (highlight_ceiling(self.stored.plate(int(i), self.around)) for i in sampled)
        return reduce(np.maximum, ceilings)

    @cached_property
    def around(self) -> Box:
        """All that the model sees of the shot, counted from the raster's corner."""
        return Box.around(self.inside(index) for index in range(len(self.frames)))

    def report(self) -> dict[str, object]:
        """Whether the crop moves, how much the patch is enlarged on the way back; a warning where that shows."""
        times = round(self.framings[0].enlargement, 2)
        told: dict[str, object] = {"framing": self._kind, "enlargement": times}
        if times > ENLARGEMENT_WARNING:
            other = ", --framing moving" if self._shot.job.framing == "held" else ""
            told["warnings"] = [
                f"the patch is enlarged {times} x; a larger --canvas{other} or a smaller matte keeps more detail"
            ]
        return told

    @property
    def _kind(self) -> str:
        """What the framing came to: a moving one is held where a path would win little."""
        return "moving" if len(set(self.framings)) > 1 else "held"

    def _cut(self, image: Array, box: Box | None) -> Array:
        return np.ascontiguousarray(image[box.slices] if box else image)
