"""A model's frames onto the plate: matched at the seam, enlarged, with the plate's detail and grain.

    measure_on_canvas  at the canvas: what the model changed, and how far its exposure and tint are off
    with_neighbours  each frame with its neighbours: decisions are steady in time
    integrate  at the plate's resolution: the pixels that the paste matte then cuts

Everything here depends on a frame and its neighbours alone, so that a job which was interrupted gives the same bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Iterable, Iterator, Optional, Sequence, Tuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

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

Array = NDArray[np.float32]
Convert = Callable[[Array], Array]
T = TypeVar("T")


@dataclass(frozen=True)
class CanvasMeasurement:
    """One frame at the canvas.

    light: the model's picture, shape [H, W, 3], linear. change: None without a reconstruction. corner: as
    given to `measure_on_canvas`.
    """

    light: Array
    match: Match
    change: Optional[ModelChange]
    corner: Tuple[float, float]


@dataclass(frozen=True)
class PlateFrame:
    """A frame of the plate within a box: what is pasted, and a few pixels around.

    plate: shape [h, w, 3], linear, with its grain. ceiling: shape [h, w], how bright the model's pixels may be
    (`highlight_ceiling`). enlarge: the canvas to the box, shape [H, W, C] -> [h, w, C]. linear, code: from the model
    domain to linear light, and back. grain: of the shot (`measure_grain`). exposure: in stops.
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
    """One frame within its box: shape [h, w, 3], linear, twice, and [h, w].

    rgb: what the paste matte cuts. generated: the model's own picture, matched and enlarged, without the plate's detail
    and without new grain. plate_share: share of the plate's own detail in `rgb`.
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
    """What a model did to one frame.

    Args:
        generated, reconstruction, plate: shape [H, W, 3], in the model domain: the model's picture; the plate
            through the model's VAE, None where there is none; the plate itself.
        quadmask: shape [H, W].
        linear, code: from the model domain to linear light, and back.
        corner: of the crop on the plate, rows and columns, counted in canvas pixels; for a crop that moves.
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


def with_neighbours(items: Iterable[T], reach: int = REACH) -> Iterator[Tuple[Sequence[T], int]]:
    """Each item with up to `reach` neighbours on both sides, and its place among them.

    >>> list(with_neighbours("abc", reach=1))
    [(['a', 'b'], 0), (['a', 'b', 'c'], 1), (['b', 'c'], 1)]
    """
    window: Deque[T] = deque()
    before = 0
    for item in items:
        window.append(item)
        if len(window) > 2 * reach + 1:
            window.popleft()
            before -= 1
        if len(window) > before + reach:
            yield list(window), before
            before += 1
    while before < len(window):
        while before > reach:
            window.popleft()
            before -= 1
        yield list(window), before
        before += 1


def integrate(
    measured: Sequence[CanvasMeasurement], at: int, frame: PlateFrame, draws: Optional[np.random.Generator]
) -> IntegratedFrame:
    """One frame at the plate's resolution.

    Args:
        measured: of the frame and its neighbours, as `with_neighbours` gives them; at: the frame's place.
        draws: of this job and frame; None adds no grain.
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
    """The unmasked fill: the model's own picture everywhere, matched at the seam, with grain. Shape [h, w, 3], linear.

    draws: as `integrate` was given them, from the start: pixels that are the model's are the same in both.
    """
    return regrain(done.generated, np.zeros_like(done.plate_share), frame.grain, frame.exposure, draws)


def _beyond(now: CanvasMeasurement, other: CanvasMeasurement) -> Tuple[float, float]:
    """Rows and columns by which the crop of `now` lies beyond that of `other`."""
    return now.corner[0] - other.corner[0], now.corner[1] - other.corner[1]


def _enlarged(light: Array, frame: PlateFrame) -> Array:
    """Linear light at the canvas, enlarged in the model domain: a lamp's rim must not swing below black."""
    return frame.linear(frame.enlarge(frame.code(light)))


Mask = NDArray[np.bool_]

_FROM, _FULLY = 0.78, 0.9  # of the model domain: 0.57 and 0.98 in linear light at a normal exposure
_SPACE = 2.5  # canvas pixels
_TIMES_ERROR = 6.0  # summed difference of three channels that is still taken for error
_LEAST_ERROR, _LARGEST_ERROR = 0.001, 0.012


def denoise_highlights(generated: Array, reconstruction: Array, untouched: Mask) -> Array:
    """The model's picture with what can only be its error smoothed out of highlights; edges stay. Shape [H, W, 3].

    Args:
        generated, reconstruction: shape [H, W, 3], in the model domain: its picture, and the plate through its VAE.
        untouched: shape [H, W]: where the two would be the same without that error.
    """
    weight = np.clip((generated - np.float32(_FROM)) / np.float32(_FULLY - _FROM), 0, 1)
    if not (untouched.any() and weight.any()):
        return generated
    usual = float(np.median(np.abs(generated - reconstruction)[untouched]))
    error = min(max(usual, _LEAST_ERROR), _LARGEST_ERROR)
    smooth = cv2.bilateralFilter(generated, -1, _TIMES_ERROR * error, _SPACE, borderType=cv2.BORDER_REFLECT)
    return np.asarray(generated + weight * (smooth - generated), np.float32)
