"""How much a followed thing changed its shape and its looks."""

from __future__ import annotations

import cv2
import numpy as np

from gpu_server.engines.void.morph_footage import Array, Mask
from gpu_server.engines.void.morph_tracks import Seen, Sight

_NEIGHBOURHOOD = 0.3  # of the radius
_PATCH = 0.2  # of the radius
_TYPICAL = 0.4
_PARTS = 3
_PART_REACH, _PART_REACH_PX = 0.03, 0.5  # of the radius, and no less than the pixels: what belongs to a rigid part
_SAMPLES, _FEWEST_SAMPLES = 300, 12
_TYPICAL_LOOKS = 0.4
_LEAST_TEXTURE = 0.005  # contrast on average: with less there is nothing to compare
_FADED = 0.6  # of the contrast: what a change of light may leave
_SCALES = (0.8, 2.0)  # samples of blur at which looks are compared
_LEAST_CONTRAST = 0.012


def strain(sight: Sight, seen: Seen) -> float:
    """The typical local stretch, as a logarithm: 0 for rigid parts at one common scale, hinges between them or not."""
    core = (sight.mask & seen.valid)[::2, ::2].astype(np.float32)
    if core.sum() < 0.3 * sight.mask[::2, ::2].sum():
        return 0.0
    sigma = max(3.0, _NEIGHBOURHOOD * sight.radius) / 2
    jacobian, known = _local_jacobian(sight.grid[::2, ::2], seen.there[::2, ::2], core, sigma)
    large, small = _singular_values(jacobian[known & (core > 0)])
    if not len(large):
        return 0.0
    centre = float(np.median(0.5 * (large + small)))
    return float(np.quantile(np.sqrt(0.5 * ((large - centre) ** 2 + (small - centre) ** 2)), _TYPICAL))


def deviation(sight: Sight, seen: Seen) -> float:
    """How far the thing is from up to three rigid parts, in radii; a single part is the similarity nearest to it."""
    known = sight.mask & seen.valid
    if known.sum() < 0.3 * sight.mask.sum():
        return 0.0
    every = max(1, int(known.sum()) // _SAMPLES)
    here, there = (np.ascontiguousarray(points[known][::every]) for points in (sight.grid, seen.there))
    radius = np.sqrt(abs(np.linalg.det(seen.motion[:2, :2]))) * sight.radius * sight.unit
    reach = max(_PART_REACH_PX, _PART_REACH * radius)
    distance = np.full(len(here), radius, np.float64)
    for _ in range(_PARTS):
        rest = distance > reach
        if rest.sum() < _FEWEST_SAMPLES:
            break
        part, _ = cv2.estimateAffinePartial2D(
            here[rest], there[rest], method=cv2.RANSAC, ransacReprojThreshold=reach, maxIters=300
        )
        if part is None:
            break
        distance = np.minimum(distance, np.linalg.norm(there - (here @ part[:, :2].T + part[:, 2]), axis=1))
    return float(np.quantile(distance, _TYPICAL) / radius)


def _local_jacobian(here: Array, there: Array, weight: Array, sigma: float) -> tuple[Array, Mask]:
    """Shape [h, w, 2, 2]: the affine map of each sample's neighbourhood, by weighted least squares."""

    def mean(values: Array) -> Array:
        return cv2.GaussianBlur(weight * values, (0, 0), sigma) / total

    total = cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-6
    origin, target = here.mean(axis=(0, 1)), there.mean(axis=(0, 1))
    x, y = np.moveaxis(here - origin, -1, 0)
    u, v = np.moveaxis(there - target, -1, 0)
    mx, my, mu, mv = mean(x), mean(y), mean(u), mean(v)
    xx, xy, yy = mean(x * x) - mx * mx, mean(x * y) - mx * my, mean(y * y) - my * my
    ux, uy, vx, vy = mean(u * x) - mu * mx, mean(u * y) - mu * my, mean(v * x) - mv * mx, mean(v * y) - mv * my
    determinant = xx * yy - xy * xy
    known = determinant > 0.1 * (xx.max() * yy.max())
    scale = 1 / np.where(known, determinant, 1)
    rows = [[(ux * yy - uy * xy) * scale, (uy * xx - ux * xy) * scale]]
    rows.append([(vx * yy - vy * xy) * scale, (vy * xx - vx * xy) * scale])
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2), known


def _singular_values(matrices: Array) -> tuple[Array, Array]:
    """Logarithms of the singular values of shape [N, 2, 2]."""
    a, b, c, d = (matrices[:, i, j] for i in (0, 1) for j in (0, 1))
    plus, minus = np.hypot(a + d, c - b) / 2, np.hypot(a - d, c + b) / 2
    return np.log(np.maximum(plus + minus, 1e-3)), np.log(np.maximum(np.abs(plus - minus), 1e-3))


def noise_between(sight: Sight, seen: list[Seen]) -> float:
    """Standard deviation of what differs between neighbouring frames of a thing: grain, and what sampling does."""
    levels = []
    for one, other in zip(seen, seen[1:], strict=False):
        difference = (one.picture[..., 0] - other.picture[..., 0])[sight.core]
        if abs(one.frame - other.frame) == 1:
            levels.append(1.4826 * float(np.median(np.abs(difference - np.median(difference)))) / np.sqrt(2))
    return float(np.median(levels)) if levels else 0.0


def unlike(sight: Sight, seen: Seen, noise: float) -> float:
    """How much of the looks is gone, 0 to 1, after each patch's own gain and without what grain explains."""
    inside = sight.core & seen.alive
    if inside.sum() < 0.3 * sight.core.sum():
        return 0.0
    each = [_unlike_at(sight, seen, inside, noise, scale) for scale in _SCALES]
    return min((value for value in each if value is not None), default=0.0)


def _unlike_at(sight: Sight, seen: Seen, inside: Mask, noise: float, scale: float) -> float | None:
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
