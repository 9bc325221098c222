"""The hybrid fill: real pixels where only the object hid them, the model's where light changed or no frame has any."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Clip, Patch
from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box
from void_bridge.pixels.integration import with_neighbours
from void_bridge.pixels.resample import resample
from void_bridge.pixels.seam import CELL, match

_SEEN = (0.45, 0.75)  # confidence from which real pixels begin to count, and count fully
_SOFT_LINES = 270  # lines of the plate for one pixel of blending
_NEIGHBOURS = 1
_MATCH_SIDE = 448  # pixels of the longer side at which the two are compared
_SURE = 0.9


@dataclass
class RealShare:
    """The share of real pixels in the pasted ones, over the frames so far.

    Attributes:
        real: weight of real pixels.
        pasted: weight of all pasted pixels.
    """

    real: float = 0.0
    pasted: float = 0.0

    @property
    def share(self) -> float:
        """The share of real pixels, in [0, 1]; 0 before the first frame."""
        return self.real / self.pasted if self.pasted else 0.0


def mix_fills(model: Iterable[Patch], real: Iterable[Patch], clip: Clip, total: RealShare) -> Iterator[Patch]:
    """Mix both fills of the same frames; the model's is brought to the real one's exposure and colour.

    Args:
        model: a patch for each of `clip.wanted`, in order, linear, in pixels of the plate. Its confidence is 1 where
            the pixel is the plate's own, which stays as it is.
        real: patches of the same frames. Their confidence is 1 where another frame shows the place.
        clip: the plate and its mattes.
        total: receives the weights of each frame.
    """
    pairs = ((fill, found, _real_weight(fill, found, clip)) for fill, found in zip(model, real, strict=True))
    for window, at in with_neighbours(pairs, _NEIGHBOURS):
        fill, found, weight = window[at]
        if not (fill.generated and found.generated):
            yield fill
            continue
        weight = np.minimum(weight, _mean_weight(window, fill.box))
        paste = clip.matte("paste", fill.index, fill.box)
        total.real += float((weight * paste).sum())
        total.pasted += float(paste.sum())
        yield _blend(fill, found, weight, paste, clip)


def _real_weight(fill: Patch, real: Patch, clip: Clip) -> Array:
    """Return the weight of real pixels over the model's box: 1 where another frame shows an unaffected place.

    It fades out inside the area and is in [0, 1].
    """
    confidence = np.zeros(fill.box.shape, np.float32)
    if fill.box.empty:
        return confidence
    shared = fill.box & real.box
    if not shared.empty and real.confidence is not None:
        confidence[shared.relative_to(fill.box).slices] = real.confidence[shared.relative_to(real.box).slices]
    low, high = _SEEN
    weight = np.clip((confidence - low) / (high - low), 0, 1)
    weight[clip.matte("paste", fill.index, fill.box) <= 0] = 1  # the plate's own pixels are real
    weight[clip.matte("affected", fill.index, fill.box) > 0] = 0
    return _fade_inside(weight, max(1, round(clip.height / _SOFT_LINES)))


def _fade_inside(weight: Array, pixels: int) -> Array:
    """Fade a weight out within its area, never beyond it."""
    around = np.pad(weight, pixels, mode="edge")
    size = 2 * pixels + 1
    smaller = cv2.erode(around, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    soft = cv2.GaussianBlur(smaller, (0, 0), pixels / 2)[pixels:-pixels, pixels:-pixels]
    return np.minimum(soft, weight)


def _mean_weight(window: Sequence[tuple[Patch, Patch, Array]], box: Box) -> Array:
    """Return the mean weight of a frame and its neighbours over `box`, of those that cover a pixel."""
    total, count = np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32)
    for fill, _, weight in window:
        shared = box & fill.box
        if shared.empty:
            continue
        here = shared.relative_to(box).slices
        total[here] += weight[shared.relative_to(fill.box).slices]
        count[here] += 1
    return np.asarray(total / np.maximum(count, 1), np.float32)


def _blend(fill: Patch, real: Patch, weight: Array, paste: Array, clip: Clip) -> Patch:
    """Blend the real pixels into the model's patch by their weight."""
    plate = clip.plate(fill.index, fill.box)
    real_rgb, confidence = plate.copy(), np.zeros(fill.box.shape, np.float32)
    shared = fill.box & real.box
    here, there = shared.relative_to(fill.box).slices, shared.relative_to(real.box).slices
    inside = paste[here] > 0
    real_rgb[here] = np.where(inside[..., None], real.rgb[there], real_rgb[here])
    if real.confidence is not None:
        confidence[here] = real.confidence[there]
    plate_share = np.zeros_like(weight) if fill.confidence is None else fill.confidence
    matched = _matched(fill.rgb, real_rgb, (weight > _SURE) | (paste <= 0))
    own = fill.rgb + (1 - plate_share)[..., None] * (matched - fill.rgb)
    rgb = own + weight[..., None] * (real_rgb - own)
    return dataclasses.replace(fill, rgb=rgb, confidence=plate_share + weight * (confidence - plate_share))


def _matched(generated: Array, real: Array, agreed: NDArray[np.bool_]) -> Array:
    """Return the model's pixels in the exposure and colour of the real ones, measured at a small size."""
    scale = min(1.0, _MATCH_SIDE / max(agreed.shape))
    rows, columns = (max(CELL, CELL * round(side * scale / CELL)) for side in agreed.shape)
    trusted = resample(agreed.astype(np.float32), rows, columns) > _SURE
    correction = match(resample(generated, rows, columns), resample(real, rows, columns), trusted, doubt=math.inf)
    return correction.apply(generated)
