"""The crop of the plate that a model sees, and the exact conversion back. `framing_path` lets the crop move.

The crop holds everything that may change, in any frame, and context around it, in square pixels at the canvas's aspect.
If the plate has the pixels, it is never smaller than the canvas, so that no plate is enlarged needlessly: an object
that fits goes through the model one to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box
from void_bridge.pixels.resample import resample

CONTEXT = 0.5
"""Context on each side, as a share of the region's size: the region is then half as high and wide as the crop."""

ASPECT_TOLERANCE = 0.02
"""Difference in aspect up to which a whole plate is fitted to the canvas, as in training: 16:9 on a 7:4 canvas."""

NEARLY_WHOLE = 0.85
"""Share of the plate's height from which on all of it is taken."""


@dataclass(frozen=True)
class Framing:
    """The part of a raster that the model sees.

    Attributes:
        raster: the whole plate.
        crop: the part, in the same coordinates. Where it extends beyond the raster, the plate is mirrored.
        canvas: height and width of the model's frame, in pixels.
    """

    raster: Box
    crop: Box
    canvas: Tuple[int, int]

    @property
    def inside(self) -> Box:
        """The part of the crop inside the raster: input of `to_canvas` and result of `from_canvas`."""
        return self.crop & self.raster

    @property
    def enlargement(self) -> float:
        """The factor by which the model's pixels are enlarged to the plate; below 1 they shrink."""
        return max(self.crop.height / self.canvas[0], self.crop.width / self.canvas[1])

    def to_canvas(self, image: Array) -> Array:
        """Resample an image of `inside`, shape [h, w] or [h, w, C], to the canvas, float32. Shrinking averages."""
        return resample(np.asarray(self.padded(image), np.float32), *self.canvas)

    def from_canvas(self, image: Array, box: Optional[Box] = None) -> Array:
        """Resample an image of the canvas to the plate.

        Args:
            image: shape [H, W] or [H, W, C] of the canvas.
            box: part of `inside`, counted from its corner; None: all of it.
        """
        assert image.shape[:2] == self.canvas, f"an image of {image.shape} for a canvas of {self.canvas}"
        inner = self._inside_crop
        wanted = inner if box is None else box.moved(inner.y0, inner.x0) & inner
        return resample(image, *self.crop.shape, wanted)

    def padded(self, image: NDArray[np.generic]) -> NDArray[np.generic]:
        """Mirror an image of `inside` out to the crop; its type stays."""
        assert image.shape[:2] == self.inside.shape, f"an image of {image.shape} for a crop of {self.inside.shape}"
        inner = self._inside_crop
        borders = (inner.y0, self.crop.height - inner.y1, inner.x0, self.crop.width - inner.x1)
        if not any(borders):
            return image
        return np.asarray(cv2.copyMakeBorder(np.ascontiguousarray(image), *borders, cv2.BORDER_REFLECT))

    @property
    def _inside_crop(self) -> Box:
        return self.inside.relative_to(self.crop)


def hold_framing(
    raster: Box, region: Box, canvas: Tuple[int, int], pixel_aspect: float = 1.0, context: float = CONTEXT
) -> Framing:
    """Return one framing for a shot.

    Args:
        raster: the whole plate.
        region: the box around everything that may change, over all frames; an empty one counts as the raster.
        canvas: height and width of the model's frame.
        pixel_aspect: width of a plate's pixel over its height.
        context: context on each side, as a share of the region's size. It shrinks before the crop leaves the raster.
    """
    region = _within(region, raster)
    rows, columns = crop_shape(raster, region, canvas, pixel_aspect, context)
    top = _placed(region.y0, region.y1, rows, raster.y0, raster.y1)
    left = _placed(region.x0, region.x1, columns, raster.x0, raster.x1)
    return Framing(raster, Box(top, left, top + rows, left + columns), canvas)


def crop_shape(
    raster: Box, region: Box, canvas: Tuple[int, int], pixel_aspect: float = 1.0, context: float = CONTEXT
) -> Tuple[int, int]:
    """Return rows and columns of the crop around a region, or the raster's own if all of it is taken.

    Args:
        raster: the whole plate.
        region: see `hold_framing`.
        canvas: height and width of the model's frame.
        pixel_aspect: width of a plate's pixel over its height.
        context: see `hold_framing`.
    """
    region = _within(region, raster)
    aspect = canvas[1] / canvas[0] / pixel_aspect  # of the crop, in plate pixels
    largest_height = min(raster.height, raster.width / aspect)  # that stays inside the raster
    with_context = min(_height_around(region, aspect) * (1 + 2 * context), _height_around(raster, aspect))
    wanted = max(with_context, min(canvas[0], largest_height))
    plate_aspect = raster.width / raster.height
    if wanted >= NEARLY_WHOLE * largest_height and abs(plate_aspect / aspect - 1) <= ASPECT_TOLERANCE:
        return raster.shape
    height = max(min(wanted, largest_height), _height_around(region, aspect))
    rows, columns = round(height), round(height * aspect)
    return max(rows, region.height), max(columns, region.width)


def _within(region: Box, raster: Box) -> Box:
    inside = region & raster
    return raster if inside.empty else inside


def _height_around(box: Box, aspect: float) -> float:
    """Return the height of the smallest crop with this aspect that holds the box."""
    return max(box.height, box.width / aspect)


def _placed(low: int, high: int, size: int, raster_low: int, raster_high: int) -> int:
    """Return where a run of `size` pixels begins: centred on low..high inside the raster, or on a shorter raster."""
    if size >= raster_high - raster_low:
        return raster_low - (size - (raster_high - raster_low)) // 2
    return min(max((low + high - size) // 2, raster_low), raster_high - size)
