"""How much a followed thing changed its shape and its looks."""

from __future__ import annotations

import cv2
import numpy as np

from gpu_server.engines.void.morph_footage import Array, Mask
from gpu_server.engines.void.morph_tracks import Seen, Sight

_NEIGHBOURHOOD = 0.3  # of the radius
_PATCH = 0.2  # of the radius
_TYPICAL = 0.5
_SCALES = (0.8, 2.0)  # samples of blur at which looks are compared
_LEAST_CONTRAST = 0.012


def strain(sight: Sight, seen: Seen) -> float:
    """The typical local stretch, as a logarithm: 0 for rigid parts at one common scale, hinges between them or not."""
    core = (sight.mask & seen.valid).astype(np.float32)
    if core.sum() < 0.3 * sight.mask.sum():
        return 0.0
    jacobian, known = _local_jacobian(sight.grid, seen.there, core, max(3.0, _NEIGHBOURHOOD * sight.radius))
    large, small = _singular_values(jacobian[known & (core > 0)])
    if not len(large):
        return 0.0
    centre = float(np.median(0.5 * (large + small)))
    return float(np.quantile(np.sqrt(0.5 * ((large - centre) ** 2 + (small - centre) ** 2)), _TYPICAL))


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


def unlike(sight: Sight, seen: Seen, noise: float) -> float:
    """How much of the looks is gone, 0 to 1, after each patch's own gain and without what grain explains."""
    inside = sight.mask & seen.within
    if inside.sum() < 0.3 * sight.mask.sum():
        return 0.0
    return float(min(_unlike_at(sight, seen, inside, noise, scale) for scale in _SCALES))


def _unlike_at(sight: Sight, seen: Seen, inside: Mask, noise: float, scale: float) -> float:
    size = max(3.0, _PATCH * sight.radius)
    weight = inside.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), size) + 1e-6

    def mean(values: Array) -> Array:
        return cv2.GaussianBlur(values * weight[..., None], (0, 0), size) / total[..., None]

    a, b = (cv2.GaussianBlur(p, (0, 0), scale) for p in (sight.picture, seen.picture))
    ma, mb = mean(a), mean(b)
    light = (mb.mean(axis=2, keepdims=True) + 0.02) / (ma.mean(axis=2, keepdims=True) + 0.02)
    b, mb = b / light, mb / light
    aa, bb, ab = (
        (mean(p * q) - mp * mq).sum(axis=2) for p, q, mp, mq in ((a, a, ma, ma), (b, b, mb, mb), (a, b, ma, mb))
    )
    grain = 3 * (noise / (3.5 * scale)) ** 2
    aa, bb = np.maximum(aa - grain, 1e-9), np.maximum(bb - grain / light[..., 0] ** 2, 1e-9)
    like = np.clip(ab / np.maximum(aa, bb), 0, 1)
    textured = inside * np.maximum(np.maximum(aa, bb) - 3 * _LEAST_CONTRAST**2 - 2 * grain, 0) ** 0.5
    return float(1 - (like * textured).sum() / textured.sum()) if textured.sum() > 1e-3 * inside.sum() else 0.0
