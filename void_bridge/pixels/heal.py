"""Pixels that are NaN or infinite, healed for the engines, which expect finite pixels."""

from __future__ import annotations

import cv2
import numpy as np

from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import matte_box


def heal(rgb: Array) -> Array:
    """Replace every pixel that holds a NaN or an infinity.

    Each takes its nearest finite pixel, then the median of its 3x3 neighbourhood, so that a firefly beside it does not
    grow. If nothing is finite, the result is 0.

    Args:
        rgb: shape [H, W, 3].

    Returns:
        Shape [H, W, 3]; `rgb` itself if it is finite.
    """
    if _all_finite(rgb):
        return rgb
    red, green, blue = np.moveaxis(~np.isfinite(rgb), 2, 0)
    broken: Mask = red | green | blue
    if broken.all():
        return np.zeros_like(rgb)
    box = _with_a_finite_pixel(broken)
    healed: Array = rgb.copy()
    healed[box.slices] = _from_neighbours(rgb[box.slices], broken[box.slices])
    return healed


def _all_finite(rgb: Array) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(rgb.sum())) or bool(np.isfinite(rgb).all())


def _with_a_finite_pixel(broken: Mask) -> Box:
    """Return the box around broken pixels, one pixel wider, so that it holds the nearest finite ones."""
    return matte_box(broken).grown(1) & Box(0, 0, *broken.shape)


def _from_neighbours(rgb: Array, broken: Mask) -> Array:
    _, nearest = cv2.distanceTransformWithLabels(
        broken.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the finite pixels in an order of its own: read back the pixel of each label.
    source = np.zeros(nearest.max() + 1, np.int64)
    source[nearest[~broken]] = np.flatnonzero(~broken)
    filled: Array = rgb.reshape(-1, 3)[source[nearest]]
    result: Array = filled.copy()
    result[broken] = cv2.medianBlur(np.ascontiguousarray(filled), 3)[broken]
    return result
