"""The logarithmic domain in which pictures are compared, sampled and mixed, close to how an eye sees them.

Grain has much the same strength everywhere in it, and a lamp of 40 beside a surface of 0.1 makes no filter ring.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.arrays import Array

_SLOPE = np.float32(50.0)
_SCALE = np.float32(1 / np.log(51.0))


def encode(linear: Array, exposure: float) -> Array:
    """Encode linear values: 0 becomes 0, 1 becomes 1, 40 about 1.9; negative values are mirrored.

    Args:
        linear: any shape, any range.
        exposure: stops.
    """
    x = np.asarray(linear, np.float32) * np.float32(_SLOPE * 2.0**exposure)
    return np.asarray(np.copysign(np.log(1 + np.abs(x)) * _SCALE, x), np.float32)


def decode(encoded: Array, exposure: float) -> Array:
    """Decode to linear values; the inverse of `encode`."""
    x = np.asarray(encoded, np.float32)
    size = (np.exp(np.abs(x) / _SCALE) - 1) / np.float32(_SLOPE * 2.0**exposure)
    return np.asarray(np.copysign(size, x), np.float32)


def steepness(linear: Array, exposure: float) -> Array:
    """Return how much `encode` grows per unit of linear light, at values of any shape, above 0."""
    slope = np.float32(_SLOPE * 2.0**exposure)
    return np.asarray(slope * _SCALE / (1 + slope * np.abs(linear)), np.float32)


def apply_gain(encoded: Array, gain: Array) -> Array:
    """Return the encoding of linear values times a gain.

    Args:
        encoded: shape [..., 3], as `encode` returns it.
        gain: shape [3], above 0.
    """
    if np.all(gain == 1):
        return encoded
    linear = (np.exp(np.abs(encoded) / _SCALE) - 1) * gain.astype(np.float32)
    return np.asarray(np.copysign(np.log(1 + linear) * _SCALE, encoded), np.float32)


def preview(encoded: Array, width: int = 320) -> NDArray[np.uint8]:
    """Return a small picture for people: shape [h, w, 3], uint8."""
    height = max(1, round(encoded.shape[0] * width / encoded.shape[1]))
    small = cv2.resize(encoded, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small * 230, 0, 255), np.uint8)
