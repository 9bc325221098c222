"""Generated pixels brought to the plate's exposure and colour, measured where the model should have changed nothing.

Everything is linear light at the model's canvas. Where the model was to reproduce the plate, the ratio of the two shows
its error in exposure and tint; that is carried smoothly to the pixels that it made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import cv2
import numpy as np

from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.membrane import membrane
from void_bridge.pixels.model_domain import largest_channel
from void_bridge.pixels.resample import resample

CELL = 8
"""Pixels of the canvas across one cell of a match: a correction is smooth over a few of them."""

LARGEST_LOG_GAIN = 0.3
"""A factor of 1.35: a larger difference is a change of light in the scene, and stays."""

DOUBT = 0.12
"""Log ratio away from the usual one from which a pixel has changed, and counts little for the exposure."""

_SMOOTH_CELLS = 1.5
_DARK = 0.1  # of the usual brightness: below, a ratio is unreliable
_BRIGHT = 4.0  # times the usual brightness: above, one light would outvote its surroundings
_LARGEST_OFFSET = 0.1  # of the usual brightness
_LEAST_SHARE = 0.2  # of a cell and its neighbours, which must be trusted
_TINY = np.float32(1e-12)


@dataclass(frozen=True)
class Match:
    """A correction that brings a picture to its target: picture x gain + offset.

    Attributes:
        log_gain: natural logarithm, shape [rows, columns, 3] over cells of `CELL` pixels.
        offset: linear light, of the same shape.
    """

    log_gain: Array
    offset: Array

    def apply(self, picture: Array) -> Array:
        """Return a picture, shape [H, W, 3], linear, any range, matched. 0 and negative values are allowed."""
        height, width = picture.shape[:2]
        gain = np.exp(resample(self.log_gain, height, width))
        return np.asarray(picture * gain + resample(self.offset, height, width), np.float32)


def match(picture: Array, target: Array, trusted: Mask, doubt: float = DOUBT) -> Match:
    """Measure the correction that brings `picture` to `target`, from the pixels where the two should agree.

    It is a gain, and an offset where it is dark; smooth; bounded by `LARGEST_LOG_GAIN`, so that a real change of light
    stays. Trusted pixels whose ratio is unlike the others' count for little. Elsewhere the values continue from the rim
    of the trusted pixels (`membrane`). Without trusted pixels there is no change.

    Args:
        picture: shape [H, W, 3], linear, finite; sides a multiple of 8.
        target: of the same shape.
        trusted: shape [H, W].
        doubt: log ratio away from the usual one, from which a trusted pixel counts for little.
    """
    height, width = trusted.shape
    assert picture.shape == target.shape == (height, width, 3) and not (height % CELL or width % CELL)
    if not trusted.any():
        none = np.zeros((height // CELL, width // CELL, 3), np.float32)
        return Match(none, none)
    usual = np.float32(max(float(np.median(np.abs(target[trusted]))), 1e-6))
    weight, common = _weights(picture, target, trusted, usual, doubt)
    gain, offset = _fitted(picture, target, weight, common, usual)
    known = _cells(trusted.astype(np.float32)) > _LEAST_SHARE
    if not known.any():
        known[:] = True
    log_gain = np.clip(np.log(np.maximum(gain, _TINY)), -LARGEST_LOG_GAIN, LARGEST_LOG_GAIN)
    limit = _LARGEST_OFFSET * usual
    return Match(membrane(log_gain, known), membrane(np.clip(offset, -limit, limit), known))


def average_matches(matches: Sequence[Match]) -> Match:
    """Return the mean of the matches of neighbouring frames, so that nothing pumps from frame to frame."""
    count = np.float32(len(matches))
    log_gain, offset = sum(m.log_gain for m in matches) / count, sum(m.offset for m in matches) / count
    return Match(np.asarray(log_gain, np.float32), np.asarray(offset, np.float32))


def _weights(picture: Array, target: Array, trusted: Mask, usual: np.float32, doubt: float) -> Tuple[Array, Array]:
    """Return the weight of each pixel, shape [H, W], and the gain that most of them agree on, shape [3]."""
    dark = _DARK * usual
    ratio = np.log(np.maximum(_soft(target), 0) + dark) - np.log(np.maximum(_soft(picture), 0) + dark)
    common = np.median(ratio[trusted], axis=0).astype(np.float32)
    odd = largest_channel(np.abs(ratio - common)) / np.float32(doubt)
    bright = largest_channel(np.abs(picture)) / (np.float32(_BRIGHT) * usual)
    weight = trusted / np.square(1 + np.square(odd)) / (1 + np.square(bright))
    return np.asarray(weight, np.float32), np.exp(common)


def _fitted(picture: Array, target: Array, weight: Array, common: Array, usual: np.float32) -> Tuple[Array, Array]:
    """Return the ratio of the means (the common one near black) and its remainder, each of shape [rows, columns, 3]."""
    prior = np.square(_DARK * usual)
    total = _cells(weight)[..., None] + _TINY
    certain = total / (total + np.float32(1e-3))
    here, there = _cells(weight[..., None] * picture) / total, _cells(weight[..., None] * target) / total
    ratio = (here * there + prior * common) / (np.square(here) + prior)
    gain = certain * ratio + (1 - certain) * common
    left = there - gain * here
    return np.asarray(gain, np.float32), np.asarray(left * certain, np.float32)


def _cells(image: Array) -> Array:
    """Return smooth means over cells. Shape [H, W] or [H, W, C] -> [H / CELL, W / CELL] or with C."""
    size = (image.shape[1] // CELL, image.shape[0] // CELL)
    means = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(means, (0, 0), _SMOOTH_CELLS, borderType=cv2.BORDER_REFLECT), np.float32)


def _soft(image: Array) -> Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 3.0, borderType=cv2.BORDER_REFLECT), np.float32)
