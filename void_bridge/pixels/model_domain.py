"""The model domain: the display-like picture that video models are trained on, and its exact inverse.

    working space -> linear Rec.709 -> x 2^exposure -> curve -> about [0, 1], and the inverse of each step

A curve is an odd function, so that negatives (colours outside Rec.709) survive as mirrored values. Nothing is clamped
on the way: highlights are a little above 1, and come back (docs/reference/colour.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Protocol

import cv2
import numpy as np

from void_bridge.errors import ColourError
from void_bridge.job import Colour
from void_bridge.pixels import colour as ocio_colour
from void_bridge.pixels.arrays import Array
from void_bridge.typed import nearest

_LARGEST_EXPONENT = 60.0  # e^60 still fits float32 with room for the exposure and the matrix behind it


class Curve(Protocol):
    """An invertible tone curve, applied to each channel alone: monotone, smooth, odd."""

    def encode(self, linear: Array) -> Array:
        """Encode linear Rec.709, with a diffuse white at 1.0, to about [0, 1]. Any shape, finite, any range."""
        ...

    def decode(self, code: Array) -> Array:
        """Decode to linear Rec.709; the inverse of `encode`. Finite for every finite input."""
        ...


@dataclass(frozen=True)
class Srgb:
    """The sRGB transfer function of IEC 61966-2-1, carried on above 1 and mirrored below 0."""

    def encode(self, linear: Array) -> Array:
        """Encode linear Rec.709; see `Curve.encode`."""
        size = np.abs(linear)
        code = np.power(size, np.float32(1 / 2.4))
        code *= np.float32(1.055)
        code -= np.float32(0.055)
        np.copyto(code, size * np.float32(12.92), where=size <= np.float32(0.0031308))
        return _with_sign(code, linear)

    def decode(self, code: Array) -> Array:
        """Decode to linear Rec.709; see `Curve.decode`."""
        size = np.abs(code)
        linear = (size + np.float32(0.055)) * np.float32(1 / 1.055)
        np.power(linear, np.float32(2.4), out=linear)
        np.copyto(linear, size * np.float32(1 / 12.92), where=size <= np.float32(0.0031308 * 12.92))
        return _with_sign(linear, code)


@dataclass(frozen=True)
class SrgbRolloff:
    """The sRGB curve up to `knee`, then a logarithm that continues it with the same slope.

    Each stop far above the knee takes the same step, slope x softness x ln 2, however bright it is: that keeps the
    inverse well conditioned, which a shoulder with an asymptote would not be. The defaults put 1.0 at 0.905, 16 at
    1.000 and 1000 at 1.105, 0.0174 a stop.

    Attributes:
        knee: linear; below it the curve is sRGB exactly.
        softness: linear; how soon the roll-off is logarithmic.
    """

    knee: float = 0.7
    softness: float = 0.0464

    @property
    def _knee_code(self) -> float:
        return 1.055 * math.pow(self.knee, 1 / 2.4) - 0.055

    @property
    def _step(self) -> float:
        """The change of the code when the light grows by a factor of e, far above the knee."""
        return 1.055 / 2.4 * math.pow(self.knee, 1 / 2.4 - 1) * self.softness

    def encode(self, linear: Array) -> Array:
        """Encode linear Rec.709; see `Curve.encode`."""
        code = Srgb().encode(linear)
        high = np.abs(linear) > self.knee
        rise = np.log1p((np.abs(linear[high]) - np.float32(self.knee)) / np.float32(self.softness))
        code[high] = np.copysign(np.float32(self._knee_code) + np.float32(self._step) * rise, linear[high])
        return code

    def decode(self, code: Array) -> Array:
        """Decode to linear Rec.709; see `Curve.decode`."""
        high = np.abs(code) > np.float32(self._knee_code)
        linear = Srgb().decode(code)
        rise = (np.abs(code[high]) - np.float32(self._knee_code)) / np.float32(self._step)
        rise = np.expm1(np.minimum(rise, np.float32(_LARGEST_EXPONENT)))
        linear[high] = np.copysign(np.float32(self.knee) + np.float32(self.softness) * rise, code[high])
        return linear


def _with_sign(size: Array, like: Array) -> Array:
    np.copysign(size, like, out=size)
    return size


CURVES: Dict[str, Curve] = {"srgb-rolloff": SrgbRolloff(), "srgb": Srgb()}


def get_curve(name: str) -> Curve:
    """Return a curve by its name.

    Raises:
        ColourError: the name is not in CURVES.
    """
    if name not in CURVES:
        raise ColourError(f"got curve {name!r}, expected one of {', '.join(CURVES)}{nearest(name, CURVES)}")
    return CURVES[name]


def to_model(rgb: Array, colour: Colour) -> Array:
    """Convert pixels of the plate to the model domain.

    Args:
        rgb: shape [..., 3], linear, in the working space, finite.
        colour: with its exposure already fixed.

    Returns:
        Shape [..., 3], float32: 0 black, 0.46 a middle grey at 0.18, 0.9 a diffuse white; not clamped.

    Raises:
        ColourError: see `void_bridge.pixels.colour`; an unknown curve.
    """
    linear = ocio_colour.to_linear_srgb(rgb, colour)
    linear *= _gain(colour)
    return get_curve(colour.curve).encode(linear)


def from_model(code: Array, colour: Colour) -> Array:
    """Convert a model's pixels, shape [..., 3], finite, to the working space; the exact inverse of `to_model`."""
    linear = get_curve(colour.curve).decode(code)
    linear /= _gain(colour)
    return ocio_colour.from_linear_srgb(linear, colour)


def _gain(colour: Colour) -> np.float32:
    assert colour.exposure is not None, "the exposure is fixed before pixels are made"
    gain: np.float32 = np.float32(math.pow(2.0, colour.exposure))
    return gain


_CELLS_ACROSS = 48
_REACH_CELLS = 6
_DARKEST_PEAK = 1 / 16


def highlight_ceiling(plate: Array, headroom_stops: float = 1.0) -> Array:
    """Return how bright generated pixels may be: as the brightest plate pixel of the surroundings, plus headroom.

    The surroundings reach an eighth of the longer side in each direction. Take the maximum of the ceilings of several
    frames where a light may be hidden in one and visible in another.

    Args:
        plate: shape [H, W, 3], linear, finite.
        headroom_stops: stops above the brightest pixel.

    Returns:
        Shape [H, W], linear; the bound on a pixel's largest channel. Nowhere below 2^headroom_stops times the plate's
        own
        pixel, and never below that multiple of 1/16.
    """
    height, width = plate.shape[:2]
    peak = largest_channel(plate)
    cell = max(1, -(-max(height, width) // _CELLS_ACROSS))
    rows, columns = -(-height // cell), -(-width // cell)
    padded = np.pad(peak, ((0, rows * cell - height), (0, columns * cell - width)), mode="edge")
    cells = padded.reshape(rows, cell, columns, cell).max(axis=(1, 3))
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _REACH_CELLS + 1,) * 2)
    wide = cv2.dilate(np.maximum(cells, np.float32(_DARKEST_PEAK)), reach)
    ceiling = cv2.resize(wide, (columns * cell, rows * cell), interpolation=cv2.INTER_LINEAR)
    return np.asarray(ceiling[:height, :width] * np.float32(2.0**headroom_stops), np.float32)


def bound_highlights(generated: Array, ceiling: Array, headroom_stops: float = 1.0) -> Array:
    """Pull highlights that nothing in the surroundings explains under `ceiling`.

    A pixel whose largest channel stays below the surroundings' brightest (the ceiling less the headroom) is untouched;
    above, it approaches the ceiling smoothly, with its hue kept.

    Args:
        generated: shape [H, W, 3], linear, finite; as `from_model` returns it.
        ceiling: shape [H, W], from `highlight_ceiling` with the same headroom.
        headroom_stops: the headroom.

    Returns:
        Shape [H, W, 3], float32.
    """
    peak = largest_channel(generated)
    free = ceiling * np.float32(2.0**-headroom_stops)
    over = peak > free
    room = (ceiling - free)[over]
    excess = (peak[over] - free[over]) / room
    gain = (free[over] + room * (excess / (1 + excess))) / peak[over]
    bounded = generated.astype(np.float32, copy=True)
    bounded[over] *= gain[:, None]
    return bounded


def largest_channel(rgb: Array) -> Array:
    """Return the largest channel of each pixel, [H, W, 3] -> [H, W]; much faster than numpy along so short an axis."""
    return np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])
