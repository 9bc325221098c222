"""Integration of a model's frames into the plate: matched at the seam, enlarged, with the plate's detail and grain.

    measure_on_canvas   at the canvas: the model's changes, and its error in exposure and tint
    with_neighbours     each frame with its neighbours: decisions are steady in time
    integrate           at the plate's resolution: the pixels that the paste matte then cuts

Everything depends on a frame and its neighbours alone, so that a job that was interrupted gives the same bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Callable, Deque, Iterable, Iterator, Optional, Sequence, Tuple, TypeVar

import cv2
import numpy as np

from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.grain import Grain
from void_bridge.pixels.mattes import KEEP, Quadmask
from void_bridge.pixels.model_domain import bound_highlights
from void_bridge.pixels.plate_detail import (
    REACH,
    ModelChange,
    Resize,
    choose_detail,
    measure_change,
    restore,
    shift_change,
)
from void_bridge.pixels.plate_grain import regrain
from void_bridge.pixels.seam import Match, average_matches, match

Convert = Callable[[Array], Array]
T = TypeVar("T")

# The model's error in highlights.
_FROM, _FULLY = 0.78, 0.9  # of the model domain: 0.57 and 0.98 in linear light at a normal exposure
_SPACE = 2.5  # canvas pixels
_TIMES_ERROR = 6.0  # summed difference of three channels that is still taken for error
_LEAST_ERROR, _LARGEST_ERROR = 0.001, 0.012


@dataclass(frozen=True)
class CanvasMeasurement:
    """One frame, measured at the canvas.

    Attributes:
        light: the model's picture, shape [H, W, 3], linear.
        match: brings its exposure and tint to the plate's.
        change: what the model changed; None without a reconstruction.
        corner: see `measure_on_canvas`.
    """

    light: Array
    match: Match
    change: Optional[ModelChange]
    corner: Tuple[float, float]


@dataclass(frozen=True)
class PlateFrame:
    """A frame of the plate within a box: what is pasted, and a few pixels around.

    Attributes:
        plate: shape [h, w, 3], linear, with its grain.
        ceiling: shape [h, w]: the brightest that the model's pixels may be (`highlight_ceiling`).
        enlarge: resamples the canvas to the box, shape [H, W, C] -> [h, w, C].
        linear: converts from the model domain to linear light.
        code: converts from linear light to the model domain.
        grain: grain of the shot (`measure_grain`).
        exposure: stops.
    """

    plate: Array
    ceiling: Array
    enlarge: Resize
    linear: Convert
    code: Convert
    grain: Grain
    exposure: float


@dataclass(frozen=True)
class IntegratedFrame:
    """One frame within its box.

    Attributes:
        rgb: shape [h, w, 3], linear: the pixels that the paste matte cuts.
        generated: shape [h, w, 3], linear: the model's own picture, matched and enlarged, without the plate's detail
            and without new grain.
        plate_share: shape [h, w]: share of the plate's own detail in `rgb`.
    """

    rgb: Array
    generated: Array
    plate_share: Array


def measure_on_canvas(
    generated: Array,
    reconstruction: Optional[Array],
    plate: Array,
    quadmask: Quadmask,
    linear: Convert,
    code: Convert,
    corner: Tuple[float, float] = (0.0, 0.0),
) -> CanvasMeasurement:
    """Measure what a model did to one frame.

    Args:
        generated: the model's picture, shape [H, W, 3], in the model domain.
        reconstruction: the plate through the model's VAE and back, of the same shape; None if there is none.
        plate: the plate, of the same shape.
        quadmask: shape [H, W].
        linear: converts from the model domain to linear light.
        code: converts from linear light to the model domain.
        corner: corner of the crop on the plate, rows and columns, counted in canvas pixels; for a crop that moves.
    """
    target, untouched = linear(plate), quadmask == KEEP
    if reconstruction is None:
        light = linear(generated)
        return CanvasMeasurement(light, match(light, target, untouched), None, corner)
    light = linear(denoise_highlights(generated, reconstruction, untouched))
    to_reconstruction = match(light, linear(reconstruction), untouched)
    change = measure_change(code(to_reconstruction.apply(light)), reconstruction, linear, quadmask)
    agreed = (change.size < 1) & (change.object == 0)
    return CanvasMeasurement(light, match(light, target, agreed), change, corner)


def denoise_highlights(generated: Array, reconstruction: Array, untouched: Mask) -> Array:
    """Smooth a model's own error out of its highlights; edges stay.

    The curve that fits highlights into the model's range gives a stop above diffuse white 0.017 of the range
    (`model_domain.SrgbRolloff`). An error of 0.005, unseen elsewhere, is a fifth of a stop there: blotches in a sky.

    Args:
        generated: the model's picture, shape [H, W, 3], in the model domain.
        reconstruction: the plate through its VAE and back, of the same shape.
        untouched: shape [H, W]: where the two would be equal without that error.

    Returns:
        Shape [H, W, 3].
    """
    weight = np.clip((generated - np.float32(_FROM)) / np.float32(_FULLY - _FROM), 0, 1)
    if not (untouched.any() and weight.any()):
        return generated
    usual = float(np.median(np.abs(generated - reconstruction)[untouched]))
    error = min(max(usual, _LEAST_ERROR), _LARGEST_ERROR)
    smooth = cv2.bilateralFilter(generated, -1, _TIMES_ERROR * error, _SPACE, borderType=cv2.BORDER_REFLECT)
    return np.asarray(generated + weight * (smooth - generated), np.float32)


def with_neighbours(items: Iterable[T], reach: int = REACH) -> Iterator[Tuple[Sequence[T], int]]:
    """Yield each item with up to `reach` neighbours on both sides, and its place among them.

    >>> list(with_neighbours("abc", reach=1))
    [(['a', 'b'], 0), (['a', 'b', 'c'], 1), (['b', 'c'], 1)]
    """
    padding = object()
    window: Deque[Any] = deque([padding] * (2 * reach + 1), maxlen=2 * reach + 1)
    for item in chain(items, [padding] * reach):
        window.append(item)
        if window[reach] is not padding:
            before = sum(one is not padding for one in islice(window, reach))
            yield [one for one in window if one is not padding], before


def integrate(
    measured: Sequence[CanvasMeasurement], at: int, frame: PlateFrame, draws: Optional[np.random.Generator]
) -> IntegratedFrame:
    """Integrate one frame at the plate's resolution.

    Args:
        measured: the frame and its neighbours, as `with_neighbours` yields them.
        at: the frame's place among them.
        frame: the plate.
        draws: random numbers of this job and frame; None adds no grain.
    """
    matched = average_matches([one.match for one in measured]).apply(measured[at].light)
    generated = bound_highlights(_enlarged(matched, frame), frame.ceiling)
    rgb, plate_share = generated, np.zeros(generated.shape[:2], np.float32)
    changes = [shift_change(one.change, *_beyond(measured[at], one)) for one in measured if one.change is not None]
    if len(changes) == len(measured):
        detail = choose_detail(changes, at)
        restored = restore(frame.plate, generated, detail, frame.enlarge, frame.grain, frame.exposure)
        rgb, plate_share = restored.rgb, restored.plate_share
    if draws is not None:
        rgb = regrain(rgb, plate_share, frame.grain, frame.exposure, draws)
    return IntegratedFrame(rgb, generated, plate_share)


def make_full_fill(done: IntegratedFrame, frame: PlateFrame, draws: np.random.Generator) -> Array:
    """Return the unmasked fill: the model's own picture everywhere, matched at the seam, with grain.

    Args:
        done: the integrated frame.
        frame: the plate.
        draws: the numbers that `integrate` was given, from the start, so that the model's pixels are equal in both.

    Returns:
        Shape [h, w, 3], linear.
    """
    return regrain(done.generated, np.zeros_like(done.plate_share), frame.grain, frame.exposure, draws)


def _beyond(now: CanvasMeasurement, other: CanvasMeasurement) -> Tuple[float, float]:
    """Return rows and columns by which the crop of `now` is beyond that of `other`."""
    return now.corner[0] - other.corner[0], now.corner[1] - other.corner[1]


def _enlarged(light: Array, frame: PlateFrame) -> Array:
    """Enlarge linear light at the canvas in the model domain, so that a lamp's rim does not swing below black."""
    return frame.linear(frame.enlarge(frame.code(light)))
