"""How much a followed thing changed its looks."""

from __future__ import annotations

import cv2
import numpy as np

from gpu_server.engines.void.morph.frames import Array, Mask
from gpu_server.engines.void.morph.tracking import ReferenceView, TrackedView

_PATCH = 0.2  # of the radius
_TYPICAL_LOOKS = 0.4
_LEAST_TEXTURE = 0.005  # contrast on average: with less there is nothing to compare
_FADED = 0.6  # of the contrast: what a change of light may leave
_SCALES = (0.8, 2.0)  # samples of blur at which looks are compared
_LEAST_CONTRAST = 0.012


def grain_level(sight: ReferenceView, seen: list[TrackedView]) -> float:
    """Standard deviation of what differs between neighbouring frames of a thing: grain, and what sampling does."""
    levels = []
    for one, other in zip(seen, seen[1:], strict=False):
        difference = (one.picture[..., 0] - other.picture[..., 0])[sight.core]
        if abs(one.frame - other.frame) == 1:
            levels.append(1.4826 * float(np.median(np.abs(difference - np.median(difference)))) / np.sqrt(2))
    return float(np.median(levels)) if levels else 0.0


def appearance_change(sight: ReferenceView, seen: TrackedView, noise: float) -> float:
    """How much of the looks is gone, 0 to 1, after each patch's own gain and without what grain explains."""
    inside = sight.core & seen.alive
    if inside.sum() < 0.3 * sight.core.sum():
        return 0.0
    each = [_unlike_at(sight, seen, inside, noise, scale) for scale in _SCALES]
    return min((value for value in each if value is not None), default=0.0)


def _unlike_at(sight: ReferenceView, seen: TrackedView, inside: Mask, noise: float, scale: float) -> float | None:
    weight = inside.astype(np.float32)

    def mean(values: Array) -> Array:
        return cv2.GaussianBlur(values * weight, (0, 0), size)[::2, ::2] / total

    size = max(3.0, _PATCH * sight.radius)
    total = cv2.GaussianBlur(weight, (0, 0), size)[::2, ::2] + 1e-6
    light = (mean(seen.picture[..., 1]) + 0.02) / (mean(sight.picture[..., 1]) + 0.02)
    a, b = (cv2.GaussianBlur(p[..., 0], (0, 0), scale) for p in (sight.picture, seen.picture))
    ma, mb = mean(a), mean(b)
    aa, bb, ab = mean(a * a) - ma * ma, (mean(b * b) - mb * mb) / light**2, (mean(a * b) - ma * mb) / light
    grain = (noise / (3.5 * scale)) ** 2
    aa, bb = np.maximum(aa - grain, 1e-9), np.maximum(bb - grain / light**2, 1e-9)
    contrast = np.maximum(aa, bb)
    textured = weight[::2, ::2] * np.sqrt(np.maximum(contrast - _LEAST_CONTRAST**2 - 2 * grain, 0))
    if textured.sum() < _LEAST_TEXTURE * weight[::2, ::2].sum():
        return None
    like = np.clip(ab / np.sqrt(aa * bb), 0, 1) * np.minimum(1, np.sqrt(np.minimum(aa / bb, bb / aa)) / _FADED)
    return _weighted_quantile(1 - like[textured > 0], textured[textured > 0], _TYPICAL_LOOKS)


def _weighted_quantile(values: Array, weights: Array, share: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])
