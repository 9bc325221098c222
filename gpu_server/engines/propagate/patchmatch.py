"""Nearest-neighbour fields between the patches of a hole and those of its surroundings.

The field is searched as in PatchMatch (Barnes et al., SIGGRAPH 2009), all pixels at once: offsets
spread by jumps of falling length, then random trials around the best so far. Patches are compared
by their principal components, a short vector each, so that a trial is one lookup. The picture is
painted by weighted votes of overlapping patches (Wexler, Shechtman and Irani, PAMI 2007).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Index = NDArray[np.int32]

RADIUS = 3  # patches are 7 x 7
_COMPONENTS = 20
_BASIS_PATCHES = 6000
_CHUNK = 1 << 14  # patches looked at together
_WEAR = 0.5  # what a second use of the same patch costs, in mean costs
_SHARED_TRIALS = 2
_PATCH = np.ones((2 * RADIUS + 1, 2 * RADIUS + 1), np.uint8)


class Field:
    """One pyramid level: its picture, the patches to be matched, and the patches they may match.

    Pixels are counted by flat positions in the raster, padded by RADIUS so that a patch around any
    pixel stays inside. Targets are the pixels whose patch touches the hole; `match` holds the source
    position of each, `cost` the squared distance of the two patches and what wear adds to it.
    """

    def __init__(self, picture: Array, hole: Mask, source: Mask, rng: np.random.Generator) -> None:
        """picture: shape [H, W, C], perceptual. hole, source: shape [H, W], disjoint; a patch must fit into source."""
        self._rng = rng
        self.height, self.width = hole.shape[0] + 2 * RADIUS, hole.shape[1] + 2 * RADIUS
        self.hole = np.flatnonzero(np.pad(hole, RADIUS)).astype(np.int32)
        touched = cv2.dilate(hole.astype(np.uint8), _PATCH) > 0
        self.targets = np.flatnonzero(np.pad(touched, RADIUS)).astype(np.int32)
        self._number = np.full(self.height * self.width, -1, np.int32)
        self._number[self.targets] = np.arange(len(self.targets), dtype=np.int32)
        depth = cv2.distanceTransform(np.pad(hole, RADIUS).astype(np.uint8), cv2.DIST_L2, 5)
        self._depth = depth.ravel()[self.targets]
        self._sources = np.flatnonzero(np.pad(patch_centres(source), RADIUS)).astype(np.int32)
        self._row = np.full(self.height * self.width, -1, np.int32)
        self._row[self._sources] = np.arange(len(self._sources), dtype=np.int32)
        rows, columns = np.divmod(np.arange(_PATCH.size), _PATCH.shape[1])
        nearest_last = np.argsort(-np.hypot(rows - RADIUS, columns - RADIUS), kind="stable")
        self._window = ((rows - RADIUS) * self.width + columns - RADIUS)[nearest_last].astype(np.int32)
        self._show(picture)
        self._learn_components()
        self._worn = np.zeros(len(self._sources), np.float32)
        self.match = self._anywhere(len(self.targets))
        self.cost = np.zeros(len(self.targets), np.float32)

    @property
    def picture(self) -> Array:
        """Shape [H, W, C]."""
        return self._pixels.reshape(self.height, self.width, -1)[RADIUS:-RADIUS, RADIUS:-RADIUS]

    def search(self) -> None:
        """Improve `match` for the picture as it is now."""
        self._features = self._project(self.targets)
        self.cost = self._distance(np.arange(len(self.targets)), self.match)
        for jump in (8, 4, 2, 1):
            for step in (jump, -jump, jump * self.width, -jump * self.width):
                self._spread(step)
        self._wander()
        self._weigh_use()

    def vote(self, falloff: float) -> None:
        """Paint the hole: each pixel the weighted mean of what the patches over it propose.

        falloff: how much less a proposal counts for each pixel of depth in the hole.
        """
        likely = max(float(np.percentile(self.cost, 75)), 1e-8)
        weight = np.exp(-self.cost / (2 * likely)) + 1e-6
        weight *= np.maximum(falloff**-self._depth, 1e-4)
        total = np.zeros((len(self.hole), 1), np.float32)
        colour = np.zeros((len(self.hole), self._pixels.shape[1]), np.float32)
        for step in self._window:
            voter = self._number.take(self.hole + step)
            counts = np.where(voter >= 0, weight.take(voter, mode="clip"), 0).astype(np.float32)[:, None]
            proposal = self._pixels.take(self.match.take(voter, mode="clip") - step, axis=0)
            proposal *= counts
            colour += proposal
            total += counts
        self._paint(colour / total)

    def copy(self) -> None:
        """Paint the hole with single source pixels."""
        self._paint(self._pixels[self._agreed()])

    def origins(self) -> Index:
        """For each pixel of the hole, in raster order, the row and column of one source pixel. Shape [2, n]."""
        return np.stack(np.divmod(self._agreed(), self.width)) - RADIUS

    def hand_down(self, finer: Field) -> None:
        """Start the level of twice the resolution from the matches of this one."""
        y, x = (axis - RADIUS for axis in np.divmod(finer.targets, finer.width))
        parent = self._number[(y // 2 + RADIUS) * self.width + x // 2 + RADIUS]
        my, mx = (axis - RADIUS for axis in np.divmod(self.match[parent], self.width))
        match = (my * 2 + y % 2 + RADIUS) * finer.width + mx * 2 + x % 2 + RADIUS
        fits = (parent >= 0) & (finer._row.take(match, mode="clip") >= 0)
        finer.match = np.where(fits, match, finer.match).astype(np.int32)

    def _show(self, picture: Array) -> None:
        padded = cv2.copyMakeBorder(picture, RADIUS, RADIUS, RADIUS, RADIUS, cv2.BORDER_REFLECT_101)
        self._pixels = padded.reshape(-1, picture.shape[2])

    def _paint(self, colour: Array) -> None:
        self._pixels[self.hole] = colour
        self._show(self.picture)

    def _anywhere(self, count: int) -> Index:
        return self._sources[self._rng.integers(len(self._sources), size=count)]

    def _learn_components(self) -> None:
        some = self._sources if len(self._sources) <= _BASIS_PATCHES else np.sort(self._anywhere(_BASIS_PATCHES))
        patches = self._patches(some).astype(np.float64)
        patches -= patches.mean(0)
        directions = np.linalg.eigh(patches.T @ patches)[1][:, ::-1]
        self._basis = np.ascontiguousarray(directions[:, :_COMPONENTS], np.float32)
        self._source_features = self._project(self._sources)

    def _patches(self, centres: Index) -> Array:
        return self._pixels.take(centres[:, None] + self._window, axis=0).reshape(len(centres), -1)

    def _project(self, centres: Index) -> Array:
        features = np.empty((len(centres), self._basis.shape[1]), np.float32)
        for start in range(0, len(centres), _CHUNK):
            part = slice(start, start + _CHUNK)
            np.matmul(self._patches(centres[part]), self._basis, out=features[part])
        return features

    def _distance(self, which: NDArray[np.int64], match: Index) -> Array:
        """Cost of a match for each of some targets, given by number."""
        cost = np.empty(len(which), np.float32)
        for start in range(0, len(which), _CHUNK):
            part = slice(start, start + _CHUNK)
            row = self._row.take(match[part])
            difference = self._features.take(which[part], axis=0)
            difference -= self._source_features.take(row, axis=0)
            np.einsum("nk,nk->n", difference, difference, out=cost[part])
            cost[part] += self._worn.take(row)
        return cost

    def _try(self, candidates: Index, worth: Mask | bool = True) -> None:
        """Keep what is better. candidates: a position for each target, anywhere. worth: which to look at."""
        which = np.flatnonzero(worth & (candidates != self.match) & (self._row.take(candidates, mode="clip") >= 0))
        which = which[(candidates[which] >= 0) & (candidates[which] < len(self._row))]
        candidates = candidates[which]
        cost = self._distance(which, candidates)
        better = cost < self.cost[which]
        self.match[which[better]] = candidates[better]
        self.cost[which[better]] = cost[better]

    def _spread(self, step: int) -> None:
        """Try each neighbour's offset."""
        neighbour = self._number.take(self.targets + step, mode="clip")
        self._try(self.match.take(neighbour, mode="clip") - np.int32(step), neighbour >= 0)

    def _wander(self) -> None:
        """Try a place anywhere, the offsets of other targets anywhere, and places ever nearer to the match."""
        count = len(self.targets)
        self._try(self._anywhere(count))
        for _ in range(_SHARED_TRIALS):
            self._try(self.targets + (self.match - self.targets)[self._rng.integers(count, size=count)])
        radius = max(self.height, self.width)
        while radius >= 1:
            moves = self._rng.integers(-radius, radius + 1, size=(2, count), dtype=np.int32)
            y, x = np.divmod(self.match, np.int32(self.width)) + moves
            self._try(y * np.int32(self.width) + x, (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height))
            radius //= 2

    def _weigh_use(self) -> None:
        """Make patches dearer that are copied more often than their share: smears and repetition wear them out."""
        used = np.bincount(self.match, minlength=len(self._row)).astype(np.float32)
        used = cv2.blur(used.reshape(self.height, self.width), _PATCH.shape).ravel()[self._sources]
        share = np.float32(max(1.0, 2 * len(self.targets) / len(self._sources)))
        self._worn = np.float32(_WEAR * self.cost.mean()) * np.maximum(used / share - 1, 0)

    def _agreed(self) -> Index:
        """For each hole pixel the position of the source pixel that most patches over it agree on.

        Boyer and Moore's majority vote; the nearest patches come last and win where there is no majority.
        """
        best = np.zeros(len(self.hole), np.int32)
        lead = np.full(len(self.hole), -1, np.int32)
        for step in self._window:
            voter = self._number.take(self.hole + step)
            proposal = self.match.take(voter, mode="clip") - step
            lead += np.where(voter < 0, 0, np.where(proposal == best, 1, -1)).astype(np.int32)
            swap = (lead < 0) & (voter >= 0)
            best = np.where(swap, proposal, best)
            lead[swap] = 1
        return best


def patch_centres(source: Mask) -> Mask:
    """Where a whole patch fits into the source. Shape [H, W] to [H, W]."""
    return cv2.erode(source.astype(np.uint8), _PATCH, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
