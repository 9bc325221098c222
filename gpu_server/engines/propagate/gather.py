"""Pixels of the sources, laid over a target and mixed: tile by tile, at the plate's resolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.propagate.alignment import SourceAlignment, colour_cells
from gpu_server.engines.propagate.flow import resized_grid, source_places
from gpu_server.engines.propagate.frame_cache import Encoded
from gpu_server.engines.propagate.survey import Survey, scale_points
from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import apply_gain

_TILE = 320
_LIKE = 0.035  # encoded: how far sources may differ and still be mixed
_LOWEST_WEIGHT = 1e-9
_REACH_FRAMES = 12.0


@dataclass(frozen=True)
class Sample:
    """The pixels of one source for one tile.

    Attributes:
        encoded: shape [H, W, 3].
        usable: shape [H, W], in [0, 1].
        prior: how much this source is believed, above 0.
        exact: whether its pixels are not resampled and carry all of their grain.
    """

    encoded: Array
    usable: Array
    prior: float
    exact: bool


@dataclass(frozen=True)
class Mix:
    """The mixed pixels of one tile.

    Attributes:
        encoded: shape [H, W, 3].
        seen: shape [H, W], in [0, 1]; 0 where no source has pixels.
        agreement: shape [H, W], in [0, 1]: how far the sources agree.
        grain: shape [H, W]: share of the grain's variance that is left.
    """

    encoded: Array
    seen: Array
    agreement: Array
    grain: Array


def tiles(box: Box) -> Iterator[Box]:
    """Yield the tiles of a box."""
    for y in range(box.y0, box.y1, _TILE):
        for x in range(box.x0, box.x1, _TILE):
            yield Box(y, x, y + _TILE, x + _TILE) & box


def sample(
    survey: Survey,
    alignment: SourceAlignment,
    frame: Callable[[], Encoded],
    target: int,
    tile: Box,
    held: Box | None = None,
) -> Sample | None:
    """Return a source's pixels for `tile`, its light matched to the target's; None if it has none there.

    Args:
        survey: the survey.
        alignment: the source.
        frame: returns the source's picture.
        target: the frame to fill.
        tile: in pixels of the plate.
        held: the part of the source that the picture holds, in pixels of the plate; None: all of it.
    """
    corner = held or Box(0, 0, 0, 0)
    proxy_grid = resized_grid(*tile.slices, survey.to_proxy)
    usable = sample_small(alignment.usable, proxy_grid, alignment.box)
    if not usable.any():
        return None
    if alignment.exact:
        picture = _cut(frame(), tile.moved(-corner.y0, -corner.x0))
    else:
        x, y = scale_points(
            survey.to_plate, *source_places(proxy_grid, alignment.motion, alignment.residual, alignment.box)
        )
        picture = resample_lanczos(frame(), x - np.float32(corner.x0), y - np.float32(corner.y0))
    cells = colour_cells(survey, alignment.box)
    offset = sample_small(alignment.offset, map_grid(proxy_grid, survey.to_cells), cells)
    prior = np.exp(-abs(alignment.source - target) / _REACH_FRAMES) + 0.02
    prior *= alignment.sharpness / (1 + np.square(alignment.mismatch / 0.05))
    return Sample(apply_gain(picture, alignment.gain) + offset, usable, float(prior), alignment.exact)


def mix(samples: Sequence[Sample], resampled_grain: float) -> Mix:
    """Mix samples: the mean of the sources that agree with the most typical one; better ones count more.

    Averages lose detail, and their grain is made again in any case; so weights are squared.

    Args:
        samples: at least one.
        resampled_grain: share of the grain's variance that a resampled picture keeps.
    """
    pictures = [s.encoded for s in samples]
    beliefs = [s.usable * np.float32(s.prior) for s in samples]
    distances = _distances_from_medoid(pictures, beliefs)
    total = np.zeros(beliefs[0].shape, np.float32)
    picture, squares, apart = np.zeros(pictures[0].shape, np.float32), np.zeros_like(total), np.zeros_like(total)
    for s, belief, distance in zip(samples, beliefs, distances, strict=True):
        weight = np.square(belief * np.exp(-np.square(distance / _LIKE)))
        total += weight
        picture += weight[..., None] * s.encoded
        squares += np.square(weight) * np.float32(1.0 if s.exact else resampled_grain)
        apart += belief * np.minimum(distance, 4 * _LIKE)
    believed = np.maximum(sum(beliefs), 1e-12)
    safe = np.maximum(total, 1e-16)
    seen = np.max([s.usable for s in samples], axis=0)
    seen = np.where(total > _LOWEST_WEIGHT, np.maximum(seen, 1e-3), 0)
    agreement = np.exp(-np.square(apart / believed / _LIKE))
    return Mix(
        picture / safe[..., None], seen.astype(np.float32), agreement.astype(np.float32), squares / np.square(safe)
    )


def _distances_from_medoid(pictures: Sequence[Array], beliefs: Sequence[Array]) -> list[Array]:
    """Return the distance of every source from the one nearest to all others, by belief: shape [H, W] each, encoded."""
    small = [cv2.blur(p.mean(axis=-1), (5, 5)) for p in pictures]
    count = len(small)
    apart = {(i, j): np.abs(small[i] - small[j]) for i in range(count) for j in range(i + 1, count)}

    def between(i: int, j: int) -> Array:
        return apart[min(i, j), max(i, j)]

    best = np.full(small[0].shape, np.inf, np.float32)
    centre = np.zeros(small[0].shape, np.intp)
    everything = np.maximum(sum(beliefs), 1e-12)
    for i in range(count):
        cost = sum((beliefs[j] * np.minimum(between(i, j), 4 * _LIKE) for j in range(count) if j != i), np.float32(0))
        # Among equals the most believed one wins; it decides between two that differ.
        cost = cost / everything + np.float32(0.02) * (1 - beliefs[i] / everything) + 10 * (beliefs[i] <= 0)
        nearer = cost < best
        best, centre = np.where(nearer, cost, best), np.where(nearer, i, centre)
    middle = np.choose(centre, small)
    return [np.abs(s - middle) for s in small]


def _cut(frame: Encoded, box: Box) -> Array:
    """Return a box of a picture; beyond its border, the border is repeated."""
    height, width = frame.shape[:2]
    if box.y0 >= 0 and box.x0 >= 0 and box.y1 <= height and box.x1 <= width:
        return frame[box.slices].astype(np.float32)
    rows = np.clip(np.arange(box.y0, box.y1), 0, height - 1)
    columns = np.clip(np.arange(box.x0, box.x1), 0, width - 1)
    return frame[np.ix_(rows, columns)].astype(np.float32)


def resample_lanczos(frame: Encoded, x: Array, y: Array) -> Array:
    """Resample by Lanczos' kernel, which in the logarithmic domain has no highlights to ring around."""
    height, width = frame.shape[:2]
    left, right = max(0, int(x.min()) - 6), min(width, int(x.max()) + 8)
    top, bottom = max(0, int(y.min()) - 6), min(height, int(y.max()) + 8)
    if left >= right or top >= bottom:
        return np.zeros((*x.shape, 3), np.float32)
    part = frame[top:bottom, left:right].astype(np.float32)
    return cv2.remap(part, x - left, y - top, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)


def map_grid(grid: Array, step: NDArray[np.float64]) -> Array:
    """Apply a scaling to points, shape [H, W, 2]."""
    scale = np.array([step[0, 0], step[1, 1]], np.float32)
    return grid * scale + np.array([step[0, 2], step[1, 2]], np.float32)


def sample_small(small: Array, grid: Array, box: Box) -> Array:
    """Read a small picture that covers `box` at points of its raster, shape [H, W, 2]."""
    x = np.ascontiguousarray(grid[..., 0] - np.float32(box.x0))
    y = np.ascontiguousarray(grid[..., 1] - np.float32(box.y0))
    return cv2.remap(small, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
