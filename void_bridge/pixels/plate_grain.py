"""Grain of a plate whose motion is not known, and its use in a picture that is part plate and part model."""

from __future__ import annotations

from typing import Iterable, Iterator, Optional, Tuple

import cv2
import numpy as np

from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import decode, encode, steepness
from void_bridge.pixels.grain import Grain, GrainSampler

Pair = Tuple[Array, Optional[Array], Mask]

_WINDOW = 128
_WINDOWS_A_PAIR = 14
_LEAST_VALID = 0.7
_APART = 8  # pixels; grain is independent from there on
_WHOLE = 0.1  # pixels off a whole number that count as none
_LARGEST_SHIFT = _WINDOW / 4
_LEAST_RESPONSE = 0.05
_THOROUGH = np.float32(1.3)  # times the expected strength: the rest that the filter leaves would still show


def measure_grain(pairs: Iterable[Pair], exposure: float) -> Grain:
    """Measure the grain of a plate from a few frames, each with its next one.

    Windows of a frame are laid over the next by their shift (phase correlation); without a next frame or a clear shift
    they are laid over themselves 8 pixels on, which shows the grain of even areas. Of each tone the quieter blocks
    count.

    Args:
        pairs: a frame, the next one or None, shape [h, w, 3], linear; and the scenery in both, shape [h, w].
        exposure: stops that bring the plate to a normal brightness.
    """
    sampler = GrainSampler()
    for here, there, valid in pairs:
        first = encode(here, exposure)
        second = None if there is None else encode(there, exposure)
        for box in _windows(valid):
            _add(sampler, first, second, valid, box)
    return sampler.result()


def relight(plate: Array, gain: Array, dark: float, grain: Grain, exposure: float) -> Array:
    """Return (plate + dark) x gain - dark, with no more grain than the plate has at the new tone.

    Args:
        plate: shape [h, w, 3], linear.
        gain: shape [h, w, 3], above 0.
        dark: linear light.
        grain: grain of the plate.
        exposure: stops.
    """
    lit = np.asarray((plate + np.float32(dark)) * gain - np.float32(dark), np.float32)
    before, after = encode(plate, exposure), encode(lit, exposure)
    amplified = grain.strength(before) * gain * steepness(lit, exposure) / steepness(plate, exposure)
    wanted = np.minimum(grain.strength(after), amplified)
    if not (amplified > wanted).any():
        return lit
    return decode(
        grain.without(after, _THOROUGH * amplified, wanted / np.maximum(amplified, np.float32(1e-9))), exposure
    )


def regrain(rgb: Array, plate_share: Array, grain: Grain, exposure: float, draws: np.random.Generator) -> Array:
    """Add grain to the pixels that are not the plate's.

    Args:
        rgb: shape [h, w, 3], linear.
        plate_share: shape [h, w], in [0, 1]: share of the plate's own pixel; where it is 1 the bits stay.
        grain: grain of the plate.
        exposure: stops.
        draws: random numbers of this job and frame.
    """
    missing = 1 - np.square(plate_share)
    if not missing.any():
        return rgb
    encoded = encode(rgb, exposure)
    grainy = decode(encoded + grain.make(encoded, missing, draws), exposure)
    return np.where(missing[..., None] > 0, grainy, rgb)


def _windows(valid: Mask) -> Iterator[Box]:
    """Return up to 14 windows, spread over the valid pixels; a small picture has one."""
    height, width = valid.shape
    size_y, size_x = min(_WINDOW, height), min(_WINDOW, width)
    found = [
        Box(y, x, y + size_y, x + size_x)
        for y in range(0, height - size_y + 1, size_y)
        for x in range(0, width - size_x + 1, size_x)
        if valid[y : y + size_y, x : x + size_x].mean() >= _LEAST_VALID
    ]
    return iter(found[:: max(1, len(found) // _WINDOWS_A_PAIR)])


def _add(sampler: GrainSampler, here: Array, there: Optional[Array], valid: Mask, box: Box) -> None:
    first, fine = here[box.slices], valid[box.slices]
    shift = None if there is None else _shift(first, there[box.slices])
    if there is None or shift is None:
        sampler.add(first[:, :-_APART], first[:, _APART:], fine[:, :-_APART] & fine[:, _APART:], exact=True)
        return
    matrix = np.array([[1, 0, box.x0 + shift[0]], [0, 1, box.y0 + shift[1]]])
    exact = all(float(s).is_integer() for s in shift)
    how = (cv2.INTER_NEAREST if exact else cv2.INTER_LANCZOS4) | cv2.WARP_INVERSE_MAP
    size = (box.width, box.height)
    second = cv2.warpAffine(there, matrix, size, flags=how, borderMode=cv2.BORDER_REFLECT)
    inside = cv2.warpAffine(valid.view(np.uint8), matrix, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP) > 0
    sampler.add(first, np.asarray(second, np.float32), fine & inside, exact)


def _shift(first: Array, second: Array) -> Optional[Tuple[float, float]]:
    """Return x and y in pixels from one window to the other, whole where nearly so; None if they are not clear."""
    window = cv2.createHanningWindow((first.shape[1], first.shape[0]), cv2.CV_32F)
    soft = [cv2.GaussianBlur(p.mean(axis=2), (0, 0), 1.5) for p in (first, second)]
    (x, y), response = cv2.phaseCorrelate(soft[0], soft[1], window)
    if response < _LEAST_RESPONSE or max(abs(x), abs(y)) > _LARGEST_SHIFT:
        return None
    near_x, near_y = (float(round(v)) if abs(v - round(v)) < _WHOLE else v for v in (x, y))
    if not (near_x.is_integer() and near_y.is_integer()):
        return x, y
    return near_x, near_y
