"""The pictures of the fake's tools: float32 RGBA over a domain that may be larger or smaller than the frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.box import Box

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        rgba: shape [domain.height, domain.width, 4], top row first, as in EXR.
        domain: the box of the pixels.
        frame: the box of the image, which starts at (0, 0).
        depth: the pixel type, a key of registry.DEPTHS.
    """

    rgba: Array
    domain: Box
    frame: Box
    depth: str = "float32"

    def over(self, box: Box) -> Picture:
        """Return the picture over another domain, cropped or extended by transparent black."""
        out = np.zeros((box.height, box.width, 4), np.float32)
        y0, y1 = max(box.y0, self.domain.y0), min(box.y1, self.domain.y1)
        x0, x1 = max(box.x0, self.domain.x0), min(box.x1, self.domain.x1)
        if y0 < y1 and x0 < x1:
            own = self.rgba[
                y0 - self.domain.y0 : y1 - self.domain.y0,
                x0 - self.domain.x0 : x1 - self.domain.x0,
            ]
            out[y0 - box.y0 : y1 - box.y0, x0 - box.x0 : x1 - box.x0] = own
        return replace(self, rgba=out, domain=box)

    def with_rgba(self, rgba: Array) -> Picture:
        """Return the picture with other pixels."""
        return replace(self, rgba=np.ascontiguousarray(rgba, np.float32))


def constant(width: int, height: int, rgba: tuple[float, ...], depth: str = "float32") -> Picture:
    """Return a picture of one colour."""
    frame = Box(0, 0, height, width)
    return Picture(np.full((height, width, 4), rgba, np.float32), frame, frame, depth)
