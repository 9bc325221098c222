"""Scores of objects: how much their shape is stretched and how much of their appearance is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from gpu_server.engines.void.morph.frames import Array, Mask
from gpu_server.engines.void.morph.patches import PatchChange
from gpu_server.engines.void.morph.tracking import ReferenceView, TrackedView
from gpu_server.engines.void.morph.tracks import Track

_STRETCH_SCALE, _STRETCH_PX = 0.1, 1.67  # stretch worth a score of 1: plus pixels over the radius, for small objects
_APPEARANCE_SCALE = 0.75
_LONG_ENOUGH = 0.5  # of the frames of the key frame that tracked an object longest
_SEEN_ONCE = 0.7  # weight of a shape score that a single key frame gives
_WORST = 0.2  # the share of the frames that a score is made of
_WORST_FRAMES = 5
_FRAMES_SCORED = 12

_NEIGHBOURHOOD = 0.2  # of the radius, in which appearance is compared
_TYPICAL_LOSS = 0.4
_LEAST_TEXTURE = 0.005  # contrast on average: with less there is nothing to compare
_FADED = 0.6  # of the contrast: a change of light may leave so little
_SCALES = (0.8, 2.0)  # samples of blur at which appearance is compared
_LEAST_CONTRAST = 0.012


@dataclass(frozen=True)
class ObjectScore:
    """The score of one object, tracked from one key frame.

    Attributes:
        key: the key frame.
        x: its centre there, in pixels of the canvas.
        y: its centre there.
        radius: in pixels of the canvas.
        frames: in how many frames it was found.
        stretch: logarithm of the typical stretch of its patches.
        shape: score of the stretch.
        appearance: score of the appearance that is lost.
        score: the higher of the two.
        worst_frames: frames with the highest scores.
    """

    key: int
    x: float
    y: float
    radius: float
    frames: int
    stretch: float
    shape: float
    appearance: float
    score: float
    worst_frames: tuple[int, ...]


def score_track(first: int, track: Track) -> ObjectScore:
    """Score a track.

    Args:
        first: index of the run's first frame in the shot.
        track: at least one view.
    """
    target, reference = track.target, track.reference
    grain, every = _grain_level(reference, track.views), max(1, len(track.views) // _FRAMES_SCORED)
    views = track.views[::every]
    changes = [track.changes[view.frame] for view in views]
    losses = [_appearance_loss(reference, view, grain) for view in views]
    stretches = np.array([change.stretch for change in changes])
    appearances = np.array([_appearance(change, loss) for change, loss in zip(changes, losses, strict=True)])
    whole = _STRETCH_SCALE + _STRETCH_PX / target.radius
    each = np.maximum(stretches / whole, appearances)
    y, x = (float(np.mean(axis)) for axis in np.nonzero(target.mask))
    stretch, appearance = _worst_share(stretches), _worst_share(appearances)
    return ObjectScore(
        key=first + target.frame,
        x=x,
        y=y,
        radius=target.radius,
        frames=len(track.views),
        stretch=stretch,
        shape=stretch / whole,
        appearance=appearance,
        score=max(stretch / whole, appearance),
        worst_frames=tuple(first + views[i].frame for i in np.argsort(-each)[:_WORST_FRAMES]),
    )


def combine_scores(scores: list[ObjectScore]) -> ObjectScore:
    """Combine the scores that several key frames give to one object.

    Only key frames that tracked it for long enough count. The shape needs two of them to agree. Appearance that is lost
    late is seen by the early key frames alone, so that one of two is enough.
    """
    longest = max(score.frames for score in scores)
    counted = [score for score in scores if score.frames >= _LONG_ENOUGH * longest]
    middle = (len(counted) - 1) // 2
    appearance = sorted(counted, key=lambda s: -s.appearance)[middle]
    if len(counted) == 1:
        return replace(appearance, score=max(_SEEN_ONCE * appearance.shape, appearance.appearance))
    shape = sorted(counted, key=lambda s: -s.shape)[max(1, middle)]
    either = replace(shape, score=shape.shape), replace(appearance, score=appearance.appearance)
    return max(either, key=lambda s: s.score)


def _appearance(change: PatchChange, loss: float) -> float:
    return float(np.sqrt(change.appearance_loss * loss)) * change.tracked / _APPEARANCE_SCALE


def _worst_share(values: np.ndarray) -> float:
    """Return the mean of the highest fifth."""
    count = max(2, round(_WORST * len(values)))
    return float(np.sort(values)[-count:].mean())


def _grain_level(reference: ReferenceView, views: list[TrackedView]) -> float:
    """Return the standard deviation between neighbouring frames of an object, due to grain and resampling."""
    levels = []
    for one, other in zip(views, views[1:], strict=False):
        difference = (one.image[..., 0] - other.image[..., 0])[reference.core]
        if abs(one.frame - other.frame) == 1:
            levels.append(1.4826 * float(np.median(np.abs(difference - np.median(difference)))) / np.sqrt(2))
    return float(np.median(levels)) if levels else 0.0


def _appearance_loss(reference: ReferenceView, view: TrackedView, grain: float) -> float:
    """Return the share of the appearance that is lost, 0 to 1, after a local gain and without the effect of grain."""
    inside = reference.core & view.visible
    if inside.sum() < 0.3 * reference.core.sum():
        return 0.0
    each = [_loss_at(reference, view, inside, grain, scale) for scale in _SCALES]
    return min((value for value in each if value is not None), default=0.0)


def _loss_at(reference: ReferenceView, view: TrackedView, inside: Mask, grain: float, scale: float) -> float | None:
    """Return the loss at a scale of blur, or None if there is no texture to compare."""
    weight = inside.astype(np.float32)

    def mean(values: Array) -> Array:
        return cv2.GaussianBlur(values * weight, (0, 0), size)[::2, ::2] / total

    size = max(3.0, _NEIGHBOURHOOD * reference.radius)
    total = cv2.GaussianBlur(weight, (0, 0), size)[::2, ::2] + 1e-6
    light = (mean(view.image[..., 1]) + 0.02) / (mean(reference.image[..., 1]) + 0.02)
    a, b = (cv2.GaussianBlur(p[..., 0], (0, 0), scale) for p in (reference.image, view.image))
    ma, mb = mean(a), mean(b)
    aa, bb, ab = mean(a * a) - ma * ma, (mean(b * b) - mb * mb) / light**2, (mean(a * b) - ma * mb) / light
    noise = (grain / (3.5 * scale)) ** 2
    aa, bb = np.maximum(aa - noise, 1e-9), np.maximum(bb - noise / light**2, 1e-9)
    contrast = np.maximum(aa, bb)
    textured = weight[::2, ::2] * np.sqrt(np.maximum(contrast - _LEAST_CONTRAST**2 - 2 * noise, 0))
    if textured.sum() < _LEAST_TEXTURE * weight[::2, ::2].sum():
        return None
    like = np.clip(ab / np.sqrt(aa * bb), 0, 1) * np.minimum(1, np.sqrt(np.minimum(aa / bb, bb / aa)) / _FADED)
    return _weighted_quantile(1 - like[textured > 0], textured[textured > 0], _TYPICAL_LOSS)


def _weighted_quantile(values: Array, weights: Array, share: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])
