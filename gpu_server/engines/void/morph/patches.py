"""Stretch of an object, measured on small patches that are tracked independently.

A rigid part keeps its shape however it moves, and so do most patches on it; jelly is stretched nearly everywhere. A
patch across a hinge, or one that a limb has covered, no longer looks as it did and is not used for the shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gpu_server.engines.void.morph.frames import Array, Mask, ResultFrames
from gpu_server.engines.void.morph.patch_fit import ImageCrop, PatchGrid, PatchPoses, make_template
from gpu_server.engines.void.morph.tracking import ReferenceView, TrackedView

_HALF, _LEAST_HALF, _MOST_HALF = 0.32, 5, 11  # of a patch: of the radius, in samples
_SPACING = 0.9  # between patches, of half a patch
_LEAST_COVER = 0.45  # of a patch, on the object
_BLUR = 1.0  # samples
_LOST = 0.8  # correlation with the frame before, below which a patch is lost; what fades does so slowly
_RECOGNISED = 0.7  # correlation with the first view above which the patch is registered to that view
_EXPLAINED = 0.92  # correlation with the first view above which the affine map is all that happened
_SURE, _FEW = 0.9, 0.1  # correlation with the frame before that all but a few patches reach if no more is to be tried
_FOUND = 0.8  # correlation of a neighbour that may predict a patch
_NEIGHBOURS = 2
_ROUNDS, _LAST_ROUNDS = 4, 6
_TYPICAL = 0.3  # the share of the patches that may be stretched less, or be unusable
_FEWEST = 8
_FAINT = 0.012  # contrast below which a patch is not used
_SURROUNDING = 4  # patches around one that have to agree with it
_APART = 0.25  # of the distance between patches: error of the position above which it is a mismatch
_APPEARANCE = 0.6  # the share of the patches that may have changed less


@dataclass(frozen=True)
class PatchChange:
    """The change of an object from its first view to a frame.

    Attributes:
        stretch: typical stretch of its patches, as a logarithm; 0 if too few of them can be used.
        appearance_loss: the share of the appearance that is lost, in [0, 1].
        tracked: the share of the patches that were never lost from one frame to the next.
    """

    stretch: float
    appearance_loss: float
    tracked: float


class PatchTracker:
    """The patches of an object, tracked frame by frame in one direction from its first view.

    Args:
        result: the frames.
        frame: the frame of the first view.
        reference: the first view.
    """

    def __init__(self, result: ResultFrames, frame: int, reference: ReferenceView) -> None:
        self._result, self._reference = result, reference
        self._grid, self._poses = _cut_patches(reference)
        self._start = self._before = self._poses
        self._tracked = np.ones(len(self._poses.position), bool)
        if self.has_enough:
            crop = _crop(result, frame, reference.grid, reference)
            self._first = self._last = make_template(self._grid, crop, self._poses)

    @property
    def has_enough(self) -> bool:
        """Whether there are enough patches to measure with."""
        return len(self._tracked) >= _FEWEST

    def track(self, view: TrackedView) -> PatchChange:
        """Track the patches to the next frame and return the change since the first view."""
        if not self.has_enough:
            return PatchChange(0.0, 0.0, 0.0)
        crop = _crop(self._result, view.frame, view.positions, self._reference)
        poses, correlation = self._find(crop, view)
        self._tracked &= correlation > _LOST
        again, correlation = self._first.fit(crop, poses, _LAST_ROUNDS)
        self._before, self._poses = self._poses, again.where(correlation > _RECOGNISED, poses)
        self._last = make_template(self._grid, crop, self._poses)
        usable = self._tracked & (self._first.contrast > _FAINT)
        loss = float(np.quantile(np.where(usable, 1 - np.clip(correlation, 0, 1), 0), _APPEARANCE))
        explained = usable & (correlation > _EXPLAINED) & self._agree_with_neighbours()
        return PatchChange(_typical_stretch(self._poses, explained), loss, float(self._tracked.mean()))

    def _agree_with_neighbours(self) -> Mask:
        """Return which patches are where the patches around them predict, and so are not matched to a lookalike."""
        start, now = self._start.position, self._poses
        distance = np.linalg.norm(start[:, None] - start[None], axis=-1)
        around = np.argsort(distance, axis=1)[:, 1 : 1 + _SURROUNDING]
        halfway = (now.axes[around] + now.axes[:, None]) / 2
        expected = now.position[:, None] + (halfway @ (start[around] - start[:, None])[..., None])[..., 0]
        error = np.linalg.norm(now.position[around] - expected, axis=-1) / np.take_along_axis(distance, around, axis=1)
        return np.median(error, axis=1) < _APART

    def _find(self, crop: ImageCrop, view: TrackedView) -> tuple[PatchPoses, Array]:
        """Register the patches to the frame before from several predictions, then from their neighbours' motion."""
        still, before = self._poses, self._before
        axes = still.axes @ np.linalg.inv(before.axes) @ still.axes
        moved = PatchPoses(2 * still.position - before.position, axes)
        found = self._fit(crop, [self._by_flow(view), moved, still])
        if float(np.quantile(found[1], _FEW)) > _SURE:
            return found
        return _best([found, self._fit(crop, self._by_neighbours(*found))])

    def _fit(self, crop: ImageCrop, predictions: list[PatchPoses]) -> tuple[PatchPoses, Array]:
        best, _ = _best([(poses, self._last.correlation(crop, poses)) for poses in predictions])
        return self._last.fit(crop, best, _ROUNDS)

    def _by_flow(self, view: TrackedView) -> PatchPoses:
        reference = self._reference
        at = ((self._start.position - reference.grid[0, 0]) / reference.spacing).astype(np.float32)[None]
        position = cv2.remap(view.positions, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        return PatchPoses(position, np.broadcast_to(view.motion[:2, :2], self._poses.axes.shape))

    def _by_neighbours(self, found: PatchPoses, correlation: Array) -> list[PatchPoses]:
        """Predict each patch by a rigid motion with each of the nearest patches that were found."""
        here = self._poses
        distance = np.linalg.norm(here.position[:, None] - here.position[None], axis=-1) + 1e6 * (correlation < _FOUND)
        np.fill_diagonal(distance, np.inf)
        step = found.axes @ np.linalg.inv(here.axes)
        predictions = []
        for near in np.argsort(distance, axis=1)[:, :_NEIGHBOURS].T:
            away = (step[near] @ (here.position - here.position[near])[..., None])[..., 0]
            predictions.append(PatchPoses(found.position[near] + away, step[near] @ here.axes))
        return predictions


def _cut_patches(reference: ReferenceView) -> tuple[PatchGrid, PatchPoses]:
    """Return patches on a square grid, without those that are mostly outside the object."""
    half = int(np.clip(round(_HALF * reference.radius), _LEAST_HALF, _MOST_HALF))
    axis = np.arange(-half, half + 1, dtype=np.float32)
    offsets = np.stack([a.ravel() for a in np.meshgrid(axis, axis)], axis=-1)
    bell = np.exp(-((offsets / (0.6 * half)) ** 2).sum(axis=1) / 2)
    every = max(2, round(_SPACING * half))
    rows, columns = (a.ravel() for a in np.mgrid[: reference.mask.shape[0] : every, : reference.mask.shape[1] : every])
    centres = np.stack([columns, rows], axis=-1).astype(np.float32)
    cover = cv2.remap(reference.core.astype(np.float32), centres[:, None] + offsets, None, cv2.INTER_LINEAR)
    on_object = (cover * bell).sum(axis=1) > _LEAST_COVER * bell.sum()
    weight = (cover * bell)[on_object]
    weight /= weight.sum(axis=1, keepdims=True)
    positions = reference.grid[0, 0] + centres[on_object] * reference.spacing
    axes = np.tile(np.eye(2, dtype=np.float32), (len(weight), 1, 1))
    return PatchGrid(offsets, reference.spacing, weight), PatchPoses(positions, axes)


def _crop(result: ResultFrames, frame: int, positions: Array, reference: ReferenceView) -> ImageCrop:
    """Return the frame around `positions`, in the channel of most contrast, without its finest detail."""
    image = result.images[frame]
    height, width = image.shape[:2]
    margin = reference.radius * reference.spacing
    left, top = np.clip(np.floor(positions.min(axis=(0, 1)) - margin).astype(int), 0, [width - 8, height - 8])
    right, bottom = np.clip(
        np.ceil(positions.max(axis=(0, 1)) + margin).astype(int), [left + 8, top + 8], [width, height]
    )
    part = image[top:bottom, left:right].astype(np.float32) / np.float32(255)
    grey = cv2.transform(part, reference.channels[:1])
    return ImageCrop(cv2.GaussianBlur(grey, (0, 0), _BLUR * reference.spacing), int(left), int(top))


def _best(tried: list[tuple[PatchPoses, Array]]) -> tuple[PatchPoses, Array]:
    """Return for each patch the pose with the highest correlation, and that correlation."""
    poses, correlation = tried[0]
    for other, its in tried[1:]:
        poses, correlation = other.where(its > correlation, poses), np.maximum(its, correlation)
    return poses, correlation


def _typical_stretch(poses: PatchPoses, explained: Mask) -> float:
    """Return the stretch relative to the scale that all patches share; unexplained patches count as not stretched."""
    if explained.sum() < _FEWEST:
        return 0.0
    values = np.log(np.maximum(np.linalg.svd(poses.axes, compute_uv=False), 1e-3))
    scale = np.median(values[explained].mean(axis=1))
    stretch = np.sqrt(((values - scale) ** 2).mean(axis=1))
    return float(np.quantile(np.where(explained, stretch, 0), _TYPICAL))
