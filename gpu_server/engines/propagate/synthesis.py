"""Synthesis of the pixels that no frame of a shot shows, with texture and structure from around the hole.

Coarse to fine, each level in turn matches the patches over the hole to source patches and paints the hole from them
(Wexler, Shechtman and Irani, PAMI 2007). Colours are compared in a perceptual encoding; two more channels carry the
amount of fine detail, so that a smooth source never stands in for a textured one (Newson et al., Video Inpainting of
Complex Scenes, SIAM 2014). The results are copied source pixels, so grain and detail are real; `stitching` joins them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from gpu_server.engines.base import rng
from gpu_server.engines.propagate.patchmatch import Exemplars, Field, Index, patch_centres
from gpu_server.engines.propagate.stitching import stitch
from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.encoding import decode, encode
from void_bridge.pixels.membrane import membrane

Window = tuple[slice, slice]

_NEAR_PX = 16  # holes nearer to each other than twice this are filled together
_LEAST_CONTEXT_PX, _CONTEXT = 64, 0.75  # the least, and a share of the hole's size
_MOST_HOLE, _MOST_AREA = 400_000, 1_600_000  # pixels of a level that patches are matched on
_COARSEST_DEPTH_PX = 3.0  # from the rim to the middle of the hole
_FEWEST_SOURCES = 100
_SLIVER = 2_000  # pixels; less is not worth more than two starts
_STARTS, _START_HOLE = 6, 3_000  # the starts compete up to a level with a hole of so many pixels
_COARSE_FALLOFF, _FALLOFF = 1.6, 1.1
_COARSE_ROUNDS = 16
_ROUNDS = ((20_000, 8), (100_000, 4), (np.inf, 2))  # by the number of patches
_DETAIL_WEIGHT, _DETAIL_SIDE_PX = 10.0, 15
_DARKEST = 1e-6  # a median below this counts as this


def synthesise(image: Array, hole: Mask, source: Mask, seed: int) -> Array:
    """Fill a hole so that texture and structure go on. The same seed gives the same picture.

    Args:
        image: shape [H, W, 3], float32, linear, finite, any range; ignored inside the hole.
        hole: shape [H, W]: the pixels to fill.
        source: shape [H, W]: the pixels that may be copied; pixels that are in neither are context.
        seed: seed of the job.

    Returns:
        Shape [H, W, 3]: `image` bit for bit outside the hole; inside, within the range of the source pixels around it.
        If there
        is no 7 x 7 patch of source, the smooth continuation of the rim; all 0 if the hole covers everything.
    """
    assert image.ndim == 3 and image.shape[2] == 3 and hole.shape == source.shape == image.shape[:2]
    result = np.array(image, np.float32)
    if hole.all():
        result[:] = 0
        return result
    source = source & ~hole
    missing = hole.copy()
    for number, (cluster, window) in enumerate(_clusters(hole)):
        window = _surroundings(cluster, window, source)
        inside = cluster[window]
        result[window][inside] = _fill(result[window], inside, missing[window], source[window], (seed, number))
        missing[window][inside] = False
    return result


def _clusters(hole: Mask) -> Iterator[tuple[Mask, Window]]:
    """Yield hole pixels near to each other: a mask over the raster, and the window around them."""
    grown = cv2.dilate(hole.astype(np.uint8), np.ones((2 * _NEAR_PX + 1, 2 * _NEAR_PX + 1), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(grown, connectivity=8, ltype=cv2.CV_32S)
    for label in range(1, count):
        x, y, width, height = (int(value) for value in boxes[label, :4])
        yield hole & (labels == label), np.s_[y : y + height, x : x + width]


def _surroundings(cluster: Mask, window: Window, source: Mask) -> Window:
    """Return a window with context, and with twice as many source pixels as hole pixels if there are so many."""
    wanted = 2 * np.count_nonzero(cluster[window])
    rows, columns = window
    margin = max(_LEAST_CONTEXT_PX, round(_CONTEXT * max(rows.stop - rows.start, columns.stop - columns.start)))
    while True:
        wider = _grow(rows, margin, source.shape[0]), _grow(columns, margin, source.shape[1])
        if np.count_nonzero(source[wider]) >= wanted or source[wider].shape == source.shape:
            return wider
        margin *= 2


def _grow(run: slice, by: int, end: int) -> slice:
    return slice(max(run.start - by, 0), min(run.stop + by, end))


def _fill(image: Array, hole: Mask, missing: Mask, source: Mask, seed: tuple[int, int]) -> Array:
    """Return the pixels of one cluster's hole, in raster order.

    Args:
        image: shape [H, W, 3], linear.
        hole: shape [H, W]: the cluster.
        missing: shape [H, W]: all holes that are still to be filled.
        source: shape [H, W].
        seed: seed of the cluster.
    """
    sample = source if patch_centres(source).any() else ~missing
    exposure = _exposure(image, sample)
    encoded = membrane(np.stack([encode(image[..., channel], exposure) for channel in range(3)], -1), ~missing)
    levels = _pyramid(encoded, hole, missing, source)
    if patch_centres(levels[-1].source).any():
        filled = stitch(encoded, hole, source, _origins(levels, seed))
    else:
        filled = encoded[hole]
    low, high = (limit(image, sample) for limit in (_lowest, _highest))
    return np.clip(decode(filled, exposure), low, high)


def _exposure(image: Array, sample: Mask) -> float:
    """Return the stops that bring the median to a middle grey."""
    return float(np.log2(0.18 / max(float(np.median(np.abs(image.mean(-1)[sample]))), _DARKEST)))


def _lowest(image: Array, sample: Mask) -> Array:
    return image.min((0, 1), initial=np.inf, where=sample[..., None])


def _highest(image: Array, sample: Mask) -> Array:
    return image.max((0, 1), initial=-np.inf, where=sample[..., None])


def _origins(levels: list[_Level], seed: tuple[int, int]) -> Index:
    """Return row and column of a source pixel for each pixel of the hole: shape [2, n]."""
    field, at = _best_start(levels, seed)
    while at > 0 and levels[at - 1].small_enough:
        at -= 1
        random = rng(*seed, "synthesis", at)
        field = _refine(field, levels[at].exemplars(random), random)
    field.search()
    origins = field.origins()
    for coarse, fine in zip(levels[at:0:-1], levels[at - 1 :: -1], strict=False):
        origins = _enlarge(origins, coarse.hole, fine.hole)
    return origins


@dataclass(frozen=True)
class _Level:
    """One level of the pyramid.

    Attributes:
        planes: encoded colours and detail, each of shape [H, W], like hole and source.
        hole: the pixels to fill.
        source: the pixels that may be copied.
    """

    planes: list[Array]
    hole: Mask
    source: Mask

    @property
    def small_enough(self) -> bool:
        """Whether patches are matched on this level."""
        return np.count_nonzero(self.hole) <= _MOST_HOLE and self.hole.size <= _MOST_AREA

    def exemplars(self, random: np.random.Generator) -> Exemplars:
        """Return the patches of this level."""
        return Exemplars(np.stack(self.planes, -1), self.hole, self.source, random)

    def halved(self) -> _Level:
        """Return the level of half the resolution."""
        height, width = self.hole.shape
        odd = ((0, height % 2), (0, width % 2))
        known = ~np.pad(self.hole, odd, "edge")
        share = _half(known.astype(np.float32))
        planes = [_half(np.pad(plane, odd, "edge") * known) / np.maximum(share, 0.25) for plane in self.planes]
        return _Level(planes, share < 1, _half(np.pad(self.source, odd).astype(np.float32)) == 1)


def _half(image: Array) -> Array:
    return cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)


def _pyramid(encoded: Array, hole: Mask, missing: Mask, source: Mask) -> list[_Level]:
    """Return the levels, finest first, down to one whose hole is about as wide as a patch."""
    levels = [_Level([*np.moveaxis(encoded, -1, 0), *_detail(encoded, ~missing)], hole, source)]
    while _depth(levels[-1].hole) > _COARSEST_DEPTH_PX or not levels[-1].small_enough:
        coarser = levels[-1].halved()
        if np.count_nonzero(patch_centres(coarser.source)) < _FEWEST_SOURCES and levels[-1].small_enough:
            break
        levels.append(coarser)
    last = levels[-1]
    levels[-1] = replace(last, planes=list(np.moveaxis(membrane(np.stack(last.planes, -1), ~last.hole), -1, 0)))
    return levels


def _depth(hole: Mask) -> float:
    return float(cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 5).max())


def _detail(encoded: Array, known: Mask) -> list[Array]:
    """Return how much neighbours differ, across and down, on the mean around each pixel: two planes of shape [H, W]."""
    tone, side = encoded.mean(-1), (_DETAIL_SIDE_PX, _DETAIL_SIDE_PX)
    planes = []
    for axis in (1, 0):
        seen = (known & np.roll(known, -1, axis)).astype(np.float32)
        step = np.abs(np.diff(tone, axis=axis, append=tone.take([-1], axis))) * seen
        planes.append(_DETAIL_WEIGHT * cv2.blur(step, side) / np.maximum(cv2.blur(seen, side), 1e-3))
    return planes


def _best_start(levels: list[_Level], seed: tuple[int, int]) -> tuple[Field, int]:
    """Fill the coarse levels from the rim's smooth continuation and from scattered pixels, and keep the best fit.

    Returns:
        The finest level that was filled so, and its number.
    """
    first = next(n for n, level in enumerate(levels) if level is levels[-1] or level.hole.sum() <= _START_HOLE)
    coarse_to_fine = [level.exemplars(rng(*seed, "synthesis", "basis")) for level in reversed(levels[first:])]
    count = _STARTS if levels[0].hole.sum() > _SLIVER else 2
    randoms = [rng(*seed, "synthesis", "start", n) for n in range(count)]
    starts = [_start(coarse_to_fine, random, scattered=n % 2 == 1) for n, random in enumerate(randoms)]
    return min(starts, key=lambda field: float(field.cost.mean())), first


def _start(coarse_to_fine: list[Exemplars], random: np.random.Generator, scattered: bool) -> Field:
    field = Field(coarse_to_fine[0], random)
    if scattered:
        field.vote(_COARSE_FALLOFF)
    _improve(field, _COARSE_ROUNDS, _COARSE_FALLOFF)
    for finer in coarse_to_fine[1:]:
        field = _refine(field, finer, random)
    field.search()
    return field


def _refine(coarse: Field, level: Exemplars, random: np.random.Generator) -> Field:
    field = Field(level, random, coarse)
    field.copy()
    _improve(field, next(rounds for most, rounds in _ROUNDS if len(level.targets) <= most), _FALLOFF)
    return field


def _improve(field: Field, rounds: int, falloff: float) -> None:
    """Search and vote in turn; the last round brings back the sharpness of single source pixels."""
    for _ in range(rounds - 1):
        field.search()
        field.vote(falloff)
    field.search()
    field.copy()


def _enlarge(origins: Index, coarse_hole: Mask, fine_hole: Mask) -> Index:
    """Return the same offsets for a level of twice the resolution."""
    number = np.zeros(coarse_hole.shape, np.int32)
    number[coarse_hole] = np.arange(origins.shape[1], dtype=np.int32)
    y, x = np.nonzero(fine_hole)
    parent = number[y // 2, x // 2]
    return np.stack([origins[0][parent] * 2 + y % 2, origins[1][parent] * 2 + x % 2]).astype(np.int32)
