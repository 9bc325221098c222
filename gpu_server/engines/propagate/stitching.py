"""Stitching of pixels that were copied from many places: it heals seams and brightness ramps.

Each pair of neighbours gets the difference that their sources have (the mean of the differences at both places of
origin), and the picture is solved for those differences with the rim of the hole fixed (Perez, Gangnet and Blake,
Poisson Image Editing, SIGGRAPH 2003). Large misfits are left as edges, so that colours of different things do not bleed
into each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.membrane import poisson, with_rim

_SEAM, _EDGE = 0.05, 0.15  # misfits in the perceptual encoding: below healed, above kept
_STRIP = 64  # rows at a time, for the sake of memory


def stitch(encoded: Array, hole: Mask, source: Mask, origins: NDArray[np.int32]) -> Array:
    """Return copied pixels for a hole, with healed seams: shape [n, 3].

    Args:
        encoded: shape [H, W, 3], perceptual, read outside the hole.
        hole: shape [H, W].
        source: shape [H, W], disjoint from the hole.
        origins: shape [2, n], row and column of a source pixel for each hole pixel in raster order.
    """
    window = with_rim(hole)
    inside = hole[window]
    y, x = (np.arange(run.start, run.stop, dtype=np.int32)[: inside.shape[axis]] for axis, run in enumerate(window))
    flat_origins = y[:, None] * np.int32(hole.shape[1]) + x
    flat_origins[inside] = origins[0] * hole.shape[1] + origins[1]
    copied = encoded.reshape(-1, 3)[flat_origins]
    rhs = np.zeros_like(copied)
    for step in ((0, 1), (1, 0)):
        for top in range(0, inside.shape[0], _STRIP):
            strip = flat_origins[top : top + _STRIP + step[0]]
            height, width = strip.shape[0] - step[0], strip.shape[1] - step[1]
            first, second = np.s_[:height, :width], np.s_[step[0] :, step[1] :]
            wanted = _difference(encoded, source, strip[first], strip[second], step) / 4
            here = rhs[top : top + strip.shape[0]]
            here[first] += wanted
            here[second] -= wanted
    return poisson(copied, inside, rhs)[inside]


def _difference(
    encoded: Array, source: Mask, first: NDArray[np.int32], second: NDArray[np.int32], step: tuple[int, int]
) -> Array:
    """Return the difference that a pixel's neighbour one step on should have to the pixel: shape [h, w, 3].

    Args:
        encoded: shape [H, W, 3].
        source: shape [H, W].
        first: shape [h, w], flat positions that the pixels were copied from.
        second: shape [h, w], flat positions that their neighbours were copied from.
        step: rows and columns to the neighbour.
    """
    pixels = encoded.reshape(-1, 3)
    after, has_after = _neighbour(source, first, step)
    before, has_before = _neighbour(source, second, (-step[0], -step[1]))
    copied = pixels[second] - pixels[first]
    count = (has_after.astype(np.float32) + has_before)[..., None]
    seen = (pixels[after] - pixels[first]) * has_after[..., None]
    seen += (pixels[second] - pixels[before]) * has_before[..., None]
    seen = np.where(count > 0, seen / np.maximum(count, 1), copied)
    misfit = copied - seen
    edge = np.clip((np.abs(misfit).max(-1, keepdims=True) - _SEAM) / (_EDGE - _SEAM), 0, 1)
    return seen + misfit * (edge * edge * (3 - 2 * edge))


def _neighbour(source: Mask, positions: NDArray[np.int32], step: tuple[int, int]) -> tuple[NDArray[np.int32], Mask]:
    """Return the position one step on, and whether it is a source; the position itself outside the raster."""
    y, x = np.divmod(positions, np.int32(source.shape[1]))
    y, x = y + np.int32(step[0]), x + np.int32(step[1])
    inside = (y >= 0) & (y < source.shape[0]) & (x >= 0) & (x < source.shape[1])
    there = np.where(inside, y * np.int32(source.shape[1]) + x, positions)
    return there, inside & source.ravel()[there]
