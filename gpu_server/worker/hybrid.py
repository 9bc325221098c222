"""fill = hybrid: real pixels where only the object hid them, the model's where physics changed or nobody looked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Clip, Patch
from void_bridge.pixels.box import Box
from void_bridge.pixels.integration import with_neighbours
from void_bridge.pixels.resample import resample
from void_bridge.pixels.seam import CELL, match

Array = NDArray[np.float32]

_SEEN = (0.45, 0.75)  # confidence: from there on real pixels begin to count, and count fully
_SOFT_LINES = 270  # one pixel of blending for so many lines of the plate
_NEIGHBOURS = 1
_MATCH_SIDE = 448  # pixels of the longer side at which the two are matched
_SURE = 0.9


@dataclass
class RealShare:
    """How much of what was pasted are real pixels, over the frames so far."""

    real: float = 0.0
    pasted: float = 0.0

    @property
    def share(self) -> float:
        return self.real / self.pasted if self.pasted else 0.0


def hybrid(model: Iterable[Patch], real: Iterable[Patch], clip: Clip, told: RealShare) -> Iterator[Patch]:
    """Both fills of the same frames as one, the model's brought to the real one's exposure and colour.

    Args:
        model, real: a patch for each of `clip.wanted`, in order, linear, in pixels of the plate. The confidence of
            `real` is 1 where another frame saw the place, that of `model` where the pixel is the plate's own, which
            stays as it is.
        clip: the plate and its mattes.
        told: is added to.
    """
    pairs = ((made, seen, _real_weight(made, seen, clip)) for made, seen in zip(model, real, strict=True))
    for window, at in with_neighbours(pairs, _NEIGHBOURS):
        made, seen, weight = window[at]
        if not (made.generated and seen.generated):
            yield made
            continue
        weight = np.minimum(weight, _steady(window, made.box))
        paste = clip.matte("paste", made.index, made.box)
        told.real += float((weight * paste).sum())
        told.pasted += float(paste.sum())
        yield _blended(made, seen, weight, paste, clip)


def _real_weight(made: Patch, seen: Patch, clip: Clip) -> Array:
    """Shape of the model's box, in [0, 1]: seen elsewhere, and not affected; softly ending inside of both."""
    confidence = np.zeros(made.box.shape, np.float32)
    if made.box.empty:
        return confidence
    shared = made.box & seen.box
    if not shared.empty and seen.confidence is not None:
        confidence[shared.relative_to(made.box).slices] = seen.confidence[shared.relative_to(seen.box).slices]
    low, high = _SEEN
    weight = np.clip((confidence - low) / (high - low), 0, 1)
    weight[clip.matte("paste", made.index, made.box) <= 0] = 1  # the plate's own pixels are real
    weight[clip.matte("affected", made.index, made.box) > 0] = 0
    return _soft_inside(weight, max(1, round(clip.height / _SOFT_LINES)))


def _soft_inside(weight: Array, pixels: int) -> Array:
    """Fading out within the area, never beyond it."""
    around = np.pad(weight, pixels, mode="edge")
    size = 2 * pixels + 1
    smaller = cv2.erode(around, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    soft = cv2.GaussianBlur(smaller, (0, 0), pixels / 2)[pixels:-pixels, pixels:-pixels]
    return np.minimum(soft, weight)


def _steady(window: Sequence[tuple[Patch, Patch, Array]], box: Box) -> Array:
    """The mean weight of a frame and its neighbours over `box`; where a neighbour has none, it isn't asked."""
    total, count = np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32)
    for made, _, weight in window:
        shared = box & made.box
        if shared.empty:
            continue
        here = shared.relative_to(box).slices
        total[here] += weight[shared.relative_to(made.box).slices]
        count[here] += 1
    return np.asarray(total / np.maximum(count, 1), np.float32)


def _blended(made: Patch, seen: Patch, weight: Array, paste: Array, clip: Clip) -> Patch:
    plate = clip.plate(made.index, made.box)
    real, confidence = plate.copy(), np.zeros(made.box.shape, np.float32)
    shared = made.box & seen.box
    here, there = shared.relative_to(made.box).slices, shared.relative_to(seen.box).slices
    inside = paste[here] > 0
    real[here] = np.where(inside[..., None], seen.rgb[there], real[here])
    if seen.confidence is not None:
        confidence[here] = seen.confidence[there]
    plate_share = np.zeros_like(weight) if made.confidence is None else made.confidence
    matched = _matched(made.rgb, real, (weight > _SURE) | (paste <= 0))
    own = made.rgb + (1 - plate_share)[..., None] * (matched - made.rgb)
    rgb = own + weight[..., None] * (real - own)
    return dataclasses.replace(made, rgb=rgb, confidence=plate_share + weight * (confidence - plate_share))


def _matched(made: Array, real: Array, agreed: NDArray[np.bool_]) -> Array:
    """The model's pixels in the exposure and colour of the real ones, judged at a small size."""
    scale = min(1.0, _MATCH_SIDE / max(agreed.shape))
    rows, columns = (max(CELL, CELL * round(side * scale / CELL)) for side in agreed.shape)
    trusted = resample(agreed.astype(np.float32), rows, columns) > _SURE
    return match(resample(made, rows, columns), resample(real, rows, columns), trusted, doubt=math.inf).apply(made)
