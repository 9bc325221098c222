"""Clips for video models: a shot framed, on the canvas, in the model domain, with a pre-roll."""

from __future__ import annotations

from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from gpu_server.worker.clips import StoredClip
from void_bridge.job import MATTE_ROLES
from void_bridge.pixels.arrays import Array, spread_indices
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import MattePlanes, PlaneRole
from void_bridge.pixels.model_domain import from_model, highlight_ceiling, to_model
from void_bridge.pixels.quadmask import preroll_plan
from void_bridge.pixels.shot import Shot

ENLARGEMENT_WARNING = 1.5

_CEILING_SAMPLES = 8
"""Frames of a shot that are searched for lights."""


class FramedClip:
    """A `ModelClip` over a stored clip. Index 0 is the pre-roll, which is never wanted.

    Args:
        stored: the clip that is framed.
        shot: its shot.

    Attributes:
        stored: the clip that is framed.
        framings: the framing of each index; the pre-roll has that of the frame that it repeats.
    """

    def __init__(self, stored: StoredClip, shot: Shot) -> None:
        self.stored, self._shot, self._colour = stored, shot, shot.job.colour
        delivered = stored.frames if shot.job.deliver_handles else shot.job.frames
        self._plan = preroll_plan(stored.frames, tuple(delivered))
        self.framings = [shot.framings[i] for i in self._plan]
        self.frames = [stored.frames[i] for i in self._plan]
        self.wanted = [index for index, i in enumerate(self._plan) if index and i in set(stored.wanted)]
        self.height, self.width = shot.job.canvas_size
        self.pixel_aspect, self.rate = 1.0, shot.rate
        self.exposure = stored.exposure

    def inside(self, index: int) -> Box:
        """Return the part of a frame that the model sees, counted from the raster's corner."""
        return self.framings[index].inside.relative_to(self._shot.raster)

    def plate(self, index: int, box: Box | None = None) -> Array:
        """Return the plate at the canvas, shape [H, W, 3], in the model domain."""
        linear = self.stored.plate(self._plan[index], self.inside(index))
        return self._cut(to_model(self.framings[index].to_canvas(linear), self._colour), box)

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        """Return a matte at the canvas, shape [H, W], in [0, 1]."""
        if self.matte_box(role, index).empty:
            return np.zeros(box.shape if box else (self.height, self.width), np.float32)
        plane = self.stored.matte(role, self._plan[index], self.inside(index))
        return self._cut(np.clip(self.framings[index].to_canvas(plane), 0, 1), box)

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        """Return the whole canvas if the matte has anything: resampling decides what it touches there."""
        seen = self.stored.matte_box(role, self._plan[index]) & self.inside(index)
        return Box(0, 0, 0, 0) if seen.empty else Box(0, 0, self.height, self.width)

    def quadmask(self, index: int) -> NDArray[np.uint8]:
        """Return the quadmask of a frame; see `ModelClip.quadmask`."""
        present = [role for role in MATTE_ROLES if not self.stored.matte_box(role, self._plan[index]).empty]
        planes = {role: self.stored.matte(role, self._plan[index]) for role in present}
        mattes = MattePlanes(self.stored.whole.shape, **planes)
        return self._shot.quadmask(self._plan[index], mattes, clear_affected=index == 0)

    def stored_index(self, index: int) -> int:
        """Return the stored index of the frame at an index of this clip."""
        return self._plan[index]

    def linear(self, code: Array) -> Array:
        """Convert from the model domain to linear light in the working space. Shape [..., 3]."""
        return from_model(code, self._colour)

    def code(self, linear: Array) -> Array:
        """Convert from linear light to the model domain; the inverse of `linear`."""
        return to_model(linear, self._colour)

    def ceiling(self, index: int) -> Array:
        """Return how bright a patch may be, shape of `inside`: as its surroundings in this frame, or in another."""
        inside = self.inside(index)
        here = highlight_ceiling(self.stored.plate(self._plan[index], inside))
        return np.maximum(here, self.shot_ceiling[inside.relative_to(self.around).slices])

    @cached_property
    def shot_ceiling(self) -> Array:
        """The ceiling over the whole shot, shape of `around`."""
        sampled = spread_indices(len(self.stored.frames), _CEILING_SAMPLES)
        return reduce(np.maximum, (highlight_ceiling(self.stored.plate(i, self.around)) for i in sampled))

    @cached_property
    def around(self) -> Box:
        """The part of the shot that the model sees in any frame, counted from the raster's corner."""
        return Box.around(self.inside(index) for index in range(len(self.frames)))

    def report(self) -> dict[str, object]:
        """Return for the job's report: the kind of framing, the enlargement of the patch, a warning if it is large."""
        times = round(self.framings[0].enlargement, 2)
        report: dict[str, object] = {"framing": self._kind, "enlargement": times}
        if times > ENLARGEMENT_WARNING:
            other = ", --framing moving" if self._shot.job.framing == "held" else ""
            report["warnings"] = [
                f"the patch is enlarged {times} x; a larger --canvas{other} or a smaller matte keeps more detail"
            ]
        return report

    @property
    def _kind(self) -> str:
        """The kind of framing. A moving one is held if a path would gain little."""
        return "moving" if len(set(self.framings)) > 1 else "held"

    def _cut(self, image: Array, box: Box | None) -> Array:
        return np.ascontiguousarray(image[box.slices] if box else image)
