"""Nearest-neighbour fields between the patches of a hole and those of its surroundings.

The field is searched as in PatchMatch (Barnes et al., SIGGRAPH 2009), all pixels at once: offsets spread by jumps of
falling length, then random trials around the best so far. Patches are compared by their principal components, a short
vector each, so that a trial is one lookup. The picture is painted by weighted votes of overlapping patches (Wexler,
Shechtman and Irani, PAMI 2007).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.arrays import Array, Mask

Index = NDArray[np.int32]

RADIUS = 3  # patches are 7 x 7
_COMPONENTS = 20
_BASIS_PATCHES, _ITERATIONS = 2000, 4
_CHUNK = 1 << 14  # patches that are compared together
_OVERUSE_COST = 0.5  # cost of a second use of the same patch, in mean costs
_SHARED_TRIALS = 2
_MOST_GAIN = np.float32(2.0)
_PATCH = np.ones((2 * RADIUS + 1, 2 * RADIUS + 1), np.uint8)


class Exemplars:
    """One pyramid level: its picture outside the hole, the target patches, and the source patches they may match.

    Pixels are counted by flat positions in the raster, padded by RADIUS so that a patch around any pixel stays inside.
    Targets are the pixels whose patch touches the hole.

    Args:
        picture: shape [H, W, C], perceptual.
        hole: shape [H, W].
        source: shape [H, W], disjoint from the hole; a source patch must fit into it.
        rng: random numbers.
    """

    def __init__(self, picture: Array, hole: Mask, source: Mask, rng: np.random.Generator) -> None:
        self.picture = picture
        self.height, self.width = hole.shape[0] + 2 * RADIUS, hole.shape[1] + 2 * RADIUS
        self.hole = np.flatnonzero(np.pad(hole, RADIUS)).astype(np.int32)
        touched = cv2.dilate(hole.astype(np.uint8), _PATCH) > 0
        self.targets = np.flatnonzero(np.pad(touched, RADIUS)).astype(np.int32)
        self.number = self._numbers(self.targets)
        depth = cv2.distanceTransform(np.pad(hole, RADIUS).astype(np.uint8), cv2.DIST_L2, 5)
        self.depth = depth.ravel()[self.targets]
        self.sources = np.flatnonzero(np.pad(patch_centres(source), RADIUS)).astype(np.int32)
        self.row = self._numbers(self.sources)
        rows, columns = np.divmod(np.arange(_PATCH.size), _PATCH.shape[1]) - np.int32(RADIUS)
        nearest_last = np.argsort(-np.hypot(rows, columns), kind="stable")
        self.window = (rows * self.width + columns)[nearest_last].astype(np.int32)
        self._learn_components(rng)

    def pixels(self, picture: Array) -> Array:
        """Convert a picture [H, W, C] to padded pixels [positions, C]."""
        padded = cv2.copyMakeBorder(picture, RADIUS, RADIUS, RADIUS, RADIUS, cv2.BORDER_REFLECT_101)
        return padded.reshape(-1, picture.shape[2])

    def features(self, pixels: Array, centres: Index) -> Array:
        """Return the principal components of the patches around some positions."""
        features = np.empty((len(centres), self._basis.shape[1]), np.float32)
        for start in range(0, len(centres), _CHUNK):
            part = slice(start, start + _CHUNK)
            np.matmul(self._patches(pixels, centres[part]), self._basis, out=features[part])
        return features

    def _numbers(self, positions: Index) -> Index:
        numbers = np.full(self.height * self.width, -1, np.int32)
        numbers[positions] = np.arange(len(positions), dtype=np.int32)
        return numbers

    def _patches(self, pixels: Array, centres: Index) -> Array:
        return pixels.take(centres[:, None] + self.window, axis=0).reshape(len(centres), -1)

    def _learn_components(self, rng: np.random.Generator) -> None:
        """Find the span of the leading principal components by subspace iteration; distances need no more."""
        pixels, some = self.pixels(self.picture), self.sources
        if len(some) > _BASIS_PATCHES:
            some = np.sort(rng.choice(some, _BASIS_PATCHES, replace=False))
        patches = self._patches(pixels, some)
        patches -= patches.mean(0)
        moments = patches.T @ patches
        span = rng.normal(size=(len(moments), _COMPONENTS))
        for _ in range(_ITERATIONS):
            span = np.linalg.qr(moments @ span)[0]
        self._basis = np.ascontiguousarray(span, np.float32)
        self.source_features = self.features(pixels, self.sources)


class Field:
    """A filling of one level's hole: its picture, and the match of each target.

    Args:
        level: the level.
        rng: random numbers.
        coarser: the filling of the level of half the resolution, whose matches are taken. None: random matches.

    Attributes:
        match: a source position for each target.
        cost: the squared distance of the two patches, and the penalty for overuse.
    """

    def __init__(self, level: Exemplars, rng: np.random.Generator, coarser: Field | None = None) -> None:
        self.level = level
        self._rng = rng
        self._pixels = level.pixels(level.picture)
        self._penalty = np.zeros(len(level.sources), np.float32)
        self.match = self._random_sources(len(level.targets))
        if coarser:
            self._take_matches(coarser)
        self.cost = np.zeros(len(level.targets), np.float32)

    @property
    def picture(self) -> Array:
        """The picture, shape [H, W, C]."""
        padded = self._pixels.reshape(self.level.height, self.level.width, -1)
        return padded[RADIUS:-RADIUS, RADIUS:-RADIUS]

    def search(self) -> None:
        """Search better matches for the present picture."""
        self._features = self.level.features(self._pixels, self.level.targets)
        self.cost = self._distance(np.arange(len(self.level.targets)), self.match)
        for jump in (8, 4, 2, 1):
            for step in (jump, -jump, jump * self.level.width, -jump * self.level.width):
                self._propagate(step)
        self._search_randomly()
        self._penalise_overuse()

    def vote(self, falloff: float) -> None:
        """Paint each pixel of the hole with the weighted mean of the proposals of the patches over it.

        Args:
            falloff: factor by which a proposal counts less for each pixel of depth in the hole.
        """
        likely = max(float(np.percentile(self.cost, 75)), 1e-8)
        weight = np.exp(-self.cost / (2 * likely)) + 1e-6
        weight *= np.maximum(falloff**-self.level.depth, 1e-4)
        total = np.zeros((len(self.level.hole), 1), np.float32)
        colour = np.zeros((len(self.level.hole), self._pixels.shape[1]), np.float32)
        square = np.zeros_like(colour)
        for step in self.level.window:
            voter = self.level.number.take(self.level.hole + step)
            counts = np.where(voter >= 0, weight.take(voter, mode="clip"), 0).astype(np.float32)[:, None]
            proposal = self._pixels.take(self.match.take(voter, mode="clip") - step, axis=0)
            square += counts * proposal * proposal
            proposal *= counts
            colour += proposal
            total += counts
        colour /= total
        self._paint(colour)
        self._restore_contrast(np.maximum(square / total - colour * colour, 0))

    def copy(self) -> None:
        """Paint the hole with single source pixels."""
        self._paint(self._pixels[self._majority()])

    def origins(self) -> Index:
        """Return row and column of one source pixel for each pixel of the hole, in raster order: shape [2, n]."""
        return np.stack(np.divmod(self._majority(), self.level.width)) - RADIUS

    def _take_matches(self, coarser: Field) -> None:
        """Take the matches of the level of half the resolution where their patches fit."""
        above, level = coarser.level, self.level
        y, x = (axis - RADIUS for axis in np.divmod(level.targets, level.width))
        parent = above.number[(y // 2 + RADIUS) * above.width + x // 2 + RADIUS]
        my, mx = (axis - RADIUS for axis in np.divmod(coarser.match[parent], above.width))
        match = (my * 2 + y % 2 + RADIUS) * level.width + mx * 2 + x % 2 + RADIUS
        fits = (parent >= 0) & (level.row.take(match, mode="clip") >= 0)
        self.match = np.where(fits, match, self.match).astype(np.int32)

    def _paint(self, colour: Array) -> None:
        self._pixels[self.level.hole] = colour
        self._pixels = self.level.pixels(self.picture)

    def _restore_contrast(self, spread: Array) -> None:
        """Restore the contrast that a vote took: a mean varies less than the values by their spread around it."""
        spreads = np.zeros_like(self._pixels)
        spreads[self.level.hole] = spread
        shape = self.level.height, self.level.width, spread.shape[1]
        pixels, side = self._pixels.reshape(shape), _PATCH.shape
        mean = cv2.blur(pixels, side)
        variance = np.maximum(cv2.blur(pixels * pixels, side) - mean * mean, 1e-6)
        gain = np.minimum(np.sqrt(1 + cv2.blur(spreads.reshape(shape), side) / variance), _MOST_GAIN)
        self._paint((mean + (pixels - mean) * gain).reshape(spreads.shape)[self.level.hole])

    def _random_sources(self, count: int) -> Index:
        return self.level.sources[self._rng.integers(len(self.level.sources), size=count)]

    def _distance(self, which: NDArray[np.int64], match: Index) -> Array:
        """Return the cost of a match for each of some targets, given by number."""
        cost = np.empty(len(which), np.float32)
        for start in range(0, len(which), _CHUNK):
            part = slice(start, start + _CHUNK)
            row = self.level.row.take(match[part])
            difference = self._features.take(which[part], axis=0)
            difference -= self.level.source_features.take(row, axis=0)
            np.einsum("nk,nk->n", difference, difference, out=cost[part])
            cost[part] += self._penalty.take(row)
        return cost

    def _try(self, candidates: Index, worth: Mask | bool = True) -> None:
        """Keep better candidates.

        Args:
            candidates: a position for each target, possibly outside the raster.
            worth: the targets to try.
        """
        which = np.flatnonzero(
            worth & (candidates != self.match) & (candidates >= 0) & (candidates < len(self.level.row))
        )
        which = which[self.level.row[candidates[which]] >= 0]
        candidates = candidates[which]
        cost = self._distance(which, candidates)
        better = cost < self.cost[which]
        self.match[which[better]] = candidates[better]
        self.cost[which[better]] = cost[better]

    def _propagate(self, step: int) -> None:
        """Try each neighbour's offset."""
        neighbour = self.level.number.take(self.level.targets + step, mode="clip")
        self._try(self.match.take(neighbour, mode="clip") - np.int32(step), neighbour >= 0)

    def _search_randomly(self) -> None:
        """Try random places, the offsets of random other targets, and places ever nearer to the match."""
        targets, width, count = self.level.targets, np.int32(self.level.width), len(self.level.targets)
        self._try(self._random_sources(count))
        for _ in range(_SHARED_TRIALS):
            self._try(targets + (self.match - targets)[self._rng.integers(count, size=count)])
        radius = max(self.level.height, self.level.width)
        while radius >= 1:
            moves = self._rng.integers(-radius, radius + 1, size=(2, count), dtype=np.int32)
            y, x = np.divmod(self.match, width) + moves
            self._try(y * width + x, (x >= 0) & (x < width))
            radius //= 2

    def _penalise_overuse(self) -> None:
        """Raise the cost of patches that are copied more often than their share, against smears and repetition."""
        used = np.bincount(self.match, minlength=len(self.level.row)).astype(np.float32)
        used = cv2.blur(used.reshape(self.level.height, -1), _PATCH.shape).ravel()[self.level.sources]
        share = np.float32(max(1.0, 2 * len(self.level.targets) / len(self.level.sources)))
        self._penalty = np.float32(_OVERUSE_COST * self.cost.mean()) * np.maximum(used / share - 1, 0)

    def _majority(self) -> Index:
        """Return for each hole pixel the position of the source pixel that most patches over it agree on.

        Boyer and Moore's majority vote; the nearest patches come last and win where there is no majority.
        """
        best = np.zeros(len(self.level.hole), np.int32)
        lead = np.full(len(self.level.hole), -1, np.int32)
        for step in self.level.window:
            voter = self.level.number.take(self.level.hole + step)
            proposal = self.match.take(voter, mode="clip") - step
            lead += np.where(voter < 0, 0, np.where(proposal == best, 1, -1)).astype(np.int32)
            swap = (lead < 0) & (voter >= 0)
            best = np.where(swap, proposal, best)
            lead[swap] = 1
        return best


def patch_centres(source: Mask) -> Mask:
    """Return where a whole patch fits into the source. Shape [H, W] to [H, W]."""
    return cv2.erode(source.astype(np.uint8), _PATCH, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
