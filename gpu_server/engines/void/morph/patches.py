"""How far a thing is stretched: small patches of it, each followed by itself.

A rigid part keeps its shape however it swings, so that most patches on it do; jelly is stretched nearly everywhere. A
patch that lies across a hinge, or that a limb has hidden, no longer looks as it did: it says nothing of the shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gpu_server.engines.void.morph.frames import Array, Mask, ResultFrames
from gpu_server.engines.void.morph.patch_fit import ImageCrop, PatchGrid, PatchPoses, make_template
from gpu_server.engines.void.morph.tracking import ReferenceView, TrackedView

_HALF, _LEAST_HALF, _MOST_HALF = 0.32, 5, 11  # of a patch: of the radius, in samples
_SPACING = 0.9  # of half a patch
_LEAST_COVER = 0.45  # of a patch, on the thing
_BLUR = 1.0  # samples
_LOST = 0.8  # correlation with the frame before: what fades does so slowly
_RECOGNISED = 0.7  # correlation with the first sight: from there on it is what is fitted
_EXPLAINED = 0.92  # correlation with the first sight: all that happened is that the patch was stretched
_SURE, _FEW = 0.9, 0.1  # correlation with the frame before at which nothing else is tried, of all but a few patches
_FOUND = 0.8  # a neighbour that may say where a patch went
_NEIGHBOURS = 2
_ROUNDS, _LAST_ROUNDS = 4, 6
_TYPICAL = 0.3  # the share of the patches that may be stretched less, or say nothing
_FEWEST = 8
_FAINT = 0.012  # contrast below which a patch says nothing
_BESIDE = 4  # patches around one that have to agree with it
_APART = 0.25  # of the distance between patches: further from where those around it say, it was taken for another
_LOOKS_GONE = 0.6  # the share of the patches that may have changed less


@dataclass(frozen=True)
class PatchChange:
    """stretch: how far a thing is stretched, as a logarithm; gone: the share of the looks that is; 0 where few tell.

    followed: the share of the patches that were never lost from one frame to the next.
    """

    stretch: float
    gone: float
    followed: float


class PatchTracker:
    """The patches of a thing, followed frame by frame away from its first sight, one way."""

    def __init__(self, footage: ResultFrames, frame: int, sight: ReferenceView) -> None:
        self._footage, self._sight = footage, sight
        self._shape, self._poses = _cut(sight)
        self._start = self._before = self._poses
        self._alive = np.ones(len(self._poses.place), bool)
        if self.enough:
            self._first = self._last = make_template(
                self._shape, _window(footage, frame, sight.grid, sight), self._poses
            )

    @property
    def enough(self) -> bool:
        return len(self._alive) >= _FEWEST

    def look(self, seen: TrackedView) -> PatchChange:
        """The next frame."""
        if not self.enough:
            return PatchChange(0.0, 0.0, 0.0)
        window = _window(self._footage, seen.frame, seen.there, self._sight)
        poses, like = self._found(window, seen)
        self._alive &= like > _LOST
        again, like = self._first.fit(window, poses, _LAST_ROUNDS)
        self._before, self._poses = self._poses, again.where(like > _RECOGNISED, poses)
        self._last = make_template(self._shape, window, self._poses)
        tells = self._alive & (self._first.contrast > _FAINT)
        gone = float(np.quantile(np.where(tells, 1 - np.clip(like, 0, 1), 0), _LOOKS_GONE))
        explained = tells & (like > _EXPLAINED) & self._agreed()
        return PatchChange(_typical_stretch(self._poses, explained), gone, float(self._alive.mean()))

    def _agreed(self) -> Mask:
        """Which patches lie where those around them would have them: none that was taken for another of its kind."""
        start, now = self._start.place, self._poses
        distance = np.linalg.norm(start[:, None] - start[None], axis=-1)
        beside = np.argsort(distance, axis=1)[:, 1 : 1 + _BESIDE]
        halfway = (now.turn[beside] + now.turn[:, None]) / 2
        expected = now.place[:, None] + (halfway @ (start[beside] - start[:, None])[..., None])[..., 0]
        error = np.linalg.norm(now.place[beside] - expected, axis=-1) / np.take_along_axis(distance, beside, axis=1)
        return np.median(error, axis=1) < _APART

    def _found(self, window: ImageCrop, seen: TrackedView) -> tuple[PatchPoses, Array]:
        """The patches by the frame before, from the likeliest predictions; then from what their neighbours did."""
        still, before = self._poses, self._before
        moved = PatchPoses(2 * still.place - before.place, still.turn @ np.linalg.inv(before.turn) @ still.turn)
        found = self._fitted(window, [self._by_flow(seen), moved, still])
        if float(np.quantile(found[1], _FEW)) > _SURE:
            return found
        return _likeliest([found, self._fitted(window, self._by_neighbours(*found))])

    def _fitted(self, window: ImageCrop, guesses: list[PatchPoses]) -> tuple[PatchPoses, Array]:
        guess, _ = _likeliest([(guess, self._last.likeness(window, guess)) for guess in guesses])
        return self._last.fit(window, guess, _ROUNDS)

    def _by_flow(self, seen: TrackedView) -> PatchPoses:
        sight = self._sight
        at = ((self._start.place - sight.grid[0, 0]) / sight.unit).astype(np.float32)[None]
        place = cv2.remap(seen.there, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        return PatchPoses(place, np.broadcast_to(seen.motion[:2, :2], self._poses.turn.shape))

    def _by_neighbours(self, found: PatchPoses, like: Array) -> list[PatchPoses]:
        """Where each patch would be if it had moved rigidly with one of those found nearest to it."""
        here = self._poses
        distance = np.linalg.norm(here.place[:, None] - here.place[None], axis=-1) + 1e6 * (like < _FOUND)
        np.fill_diagonal(distance, np.inf)
        step = found.turn @ np.linalg.inv(here.turn)
        guesses = []
        for near in np.argsort(distance, axis=1)[:, :_NEIGHBOURS].T:
            away = (step[near] @ (here.place - here.place[near])[..., None])[..., 0]
            guesses.append(PatchPoses(found.place[near] + away, step[near] @ here.turn))
        return guesses


def _cut(sight: ReferenceView) -> tuple[PatchGrid, PatchPoses]:
    """Patches on a square grid, those that lie on the thing for the most part."""
    half = int(np.clip(round(_HALF * sight.radius), _LEAST_HALF, _MOST_HALF))
    axis = np.arange(-half, half + 1, dtype=np.float32)
    offsets = np.stack([a.ravel() for a in np.meshgrid(axis, axis)], axis=-1)
    bell = np.exp(-((offsets / (0.6 * half)) ** 2).sum(axis=1) / 2)
    every = max(2, round(_SPACING * half))
    rows, columns = (a.ravel() for a in np.mgrid[: sight.mask.shape[0] : every, : sight.mask.shape[1] : every])
    middles = np.stack([columns, rows], axis=-1).astype(np.float32)
    cover = cv2.remap(sight.core.astype(np.float32), middles[:, None] + offsets, None, cv2.INTER_LINEAR)
    on_thing = (cover * bell).sum(axis=1) > _LEAST_COVER * bell.sum()
    weight = (cover * bell)[on_thing]
    weight /= weight.sum(axis=1, keepdims=True)
    turn = np.tile(np.eye(2, dtype=np.float32), (len(weight), 1, 1))
    return PatchGrid(offsets, sight.unit, weight), PatchPoses(sight.grid[0, 0] + middles[on_thing] * sight.unit, turn)


def _window(footage: ResultFrames, frame: int, there: Array, sight: ReferenceView) -> ImageCrop:
    """The frame around `there`, in the channel of most contrast, without its finest detail."""
    picture = footage.made[frame]
    height, width = picture.shape[:2]
    margin = sight.radius * sight.unit
    left, top = np.clip(np.floor(there.min(axis=(0, 1)) - margin).astype(int), 0, [width - 8, height - 8])
    right, bottom = np.clip(np.ceil(there.max(axis=(0, 1)) + margin).astype(int), [left + 8, top + 8], [width, height])
    part = picture[top:bottom, left:right].astype(np.float32) / np.float32(255)
    grey = cv2.transform(part, sight.channels[:1])
    return ImageCrop(cv2.GaussianBlur(grey, (0, 0), _BLUR * sight.unit), int(left), int(top))


def _likeliest(tried: list[tuple[PatchPoses, Array]]) -> tuple[PatchPoses, Array]:
    poses, like = tried[0]
    for other, its in tried[1:]:
        poses, like = other.where(its > like, poses), np.maximum(its, like)
    return poses, like


def _typical_stretch(poses: PatchPoses, explained: Mask) -> float:
    """Against the scale that the patches share; those that nothing explains count as not stretched."""
    if explained.sum() < _FEWEST:
        return 0.0
    values = np.log(np.maximum(np.linalg.svd(poses.turn, compute_uv=False), 1e-3))
    scale = np.median(values[explained].mean(axis=1))
    stretch = np.sqrt(((values - scale) ** 2).mean(axis=1))
    return float(np.quantile(np.where(explained, stretch, 0), _TYPICAL))
