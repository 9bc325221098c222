"""A crop that moves with the mattes: one size for the whole shot, and a smooth path.

Along each axis the path x minimises

    sum (x[t-1] - 2 x[t] + x[t+1])^2  +  FOLLOW  sum (x[t] - centred[t])^2

between bounds of each frame that keep everything drawn inside the crop, with half of the context, and the crop inside
the raster. Without bounds that is the Whittaker-Henderson smoother, a low-pass filter (Whittaker, "On a new method of
graduation", 1922); with them it is a quadratic programme, solved by accelerated projected gradients (Nesterov,
"Introductory lectures on convex optimization", 2004, 2.2.4).

The size is the smallest one, starting from the largest that a single frame needs, whose path keeps to the limits of
speed and acceleration: a matte that jumps gets a crop that holds both places. If little would be gained, the crop is
held.

Places are whole plate pixels: each pixel of the plate is then resampled in the same way at any place of the crop, so
that grain does not pulse, and at one to one every bit comes back.
"""

from __future__ import annotations

import math
from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.box import Box
from void_bridge.pixels.framing import CONTEXT, Framing, crop_shape, hold_framing

Array = NDArray[np.float64]
Shape = Tuple[int, int]

FOLLOW = (2 * math.sin(math.pi / 48)) ** 4
"""Weight of the centre against smoothness: motion with a period of 48 frames is followed half way, faster one less."""

SPEED = 1 / 16
"""Largest speed, in crop sizes a frame: every place of the background stays in view for 16 frames."""

ACCELERATION = SPEED / 12
"""Largest change of speed a frame, in crop sizes: a dozen frames to the largest speed."""

WORTH_MOVING = 1.15
"""How many times higher the held crop must be for the crop to move."""

_GROWTH = 1.1  # factor from one size to the next
_STEPS = 6000  # about 3000 are needed
_SETTLED = 1e-7  # pixels of a step along the gradient: the path is right to a hundredth of a pixel


def move_framing(
    raster: Box, drawn: Sequence[Box], canvas: Shape, pixel_aspect: float = 1.0, growth: int = 0
) -> Tuple[Framing, ...]:
    """Return a framing for each frame of a shot, all of the same size.

    Args:
        raster: the whole plate.
        drawn: the box around the mattes of each frame, in the raster's coordinates; where it is empty, the path goes on
            between its neighbours.
        canvas: height and width of the model's frame.
        pixel_aspect: width of a plate's pixel over its height.
        growth: pixels around the mattes that may change as well: the crop holds them where it can.
    """
    drawn = [box & raster for box in drawn]
    held = hold_framing(raster, Box.around(drawn), canvas, pixel_aspect)
    present = [box for box in drawn if not box.empty]
    if present:
        shapes = [crop_shape(raster, box, canvas, pixel_aspect) for box in present]
        smallest = max(rows for rows, _ in shapes), max(columns for _, columns in shapes)
        for shape in _sizes(smallest, held.crop.shape, raster):
            path = _calm_path(_bounds(raster, drawn, shape, growth), shape)
            if path is not None:
                corners = np.rint(path).astype(int).tolist()
                return tuple(Framing(raster, Box(y, x, y + shape[0], x + shape[1]), canvas) for y, x in corners)
    return (held,) * len(drawn)


def _sizes(smallest: Shape, held: Shape, raster: Box) -> Iterator[Shape]:
    """Yield the sizes worth moving, in ascending order. All but the smallest stay inside the raster."""
    shape, scale = smallest, 1.0
    while shape[0] * WORTH_MOVING <= held[0]:
        yield shape
        scale *= _GROWTH
        shape = round(smallest[0] * scale), round(smallest[1] * scale)
        if shape[0] > raster.height or shape[1] > raster.width:
            return


class _Bounds(NamedTuple):
    """The bounds and the best place of the crop's corner in each frame; each shape [T, 2], row and column."""

    low: NDArray[np.int_]
    high: NDArray[np.int_]
    centred: Array


def _bounds(raster: Box, drawn: Sequence[Box], shape: Shape, growth: int) -> _Bounds:
    size = np.array(shape)
    first, last = np.array([raster.y0, raster.x0]), np.array([raster.y1, raster.x1]) - size
    middle = first - (first - last) // 2  # of a crop larger than the raster: their middles coincide
    first, last = np.where(first > last, middle, first), np.where(first > last, middle, last)
    begins = np.array([[box.y0, box.x0] for box in drawn])
    ends = np.array([[box.y1, box.x1] for box in drawn])
    wanted = np.rint(np.maximum((ends - begins) * CONTEXT / 2, growth)).astype(int)
    margins = np.minimum(wanted, (size - (ends - begins)) // 2)
    present = np.array([not box.empty for box in drawn])
    low = np.clip(np.where(present[:, None], ends + margins - size, first), first, last)
    high = np.clip(np.where(present[:, None], begins - margins, last), first, last)
    centred = np.clip((begins + ends - size) / 2, first, last)
    return _Bounds(low, high, _between(centred, present))


def _between(centred: Array, present: NDArray[np.bool_]) -> Array:
    """Interpolate rows that are not present; before the first and after the last one, repeat those."""
    every, known = np.arange(len(centred)), np.flatnonzero(present)
    return np.stack([np.interp(every, known, axis[known]) for axis in centred.T], axis=1)


def _calm_path(bounds: _Bounds, shape: Shape) -> Optional[Array]:
    """Return the smoothest path, shape [T, 2], or None if it exceeds `SPEED` or `ACCELERATION`."""
    size = np.array(shape)
    if not _is_reachable(bounds, SPEED * size):
        return None
    path = smoothest_path(*bounds)
    speeds, accelerations = np.abs(np.diff(path, axis=0)), np.abs(np.diff(path, 2, axis=0))
    return path if (speeds <= SPEED * size).all() and (accelerations <= ACCELERATION * size).all() else None


def _is_reachable(bounds: _Bounds, speed: Array) -> bool:
    """Return whether a path between the bounds can keep to a speed: each frame leaves time enough to each later one."""
    way = np.arange(len(bounds.low))[:, None] * speed
    forth = np.maximum.accumulate((bounds.low - way)[::-1])[::-1] <= bounds.high - way
    back = np.maximum.accumulate(bounds.low + way) <= bounds.high + way
    return bool(forth.all() and back.all())


def smoothest_path(low: NDArray[np.int_], high: NDArray[np.int_], centred: Array) -> Array:
    """Return the path between bounds that minimises the sum of the module's docstring.

    Args:
        low: lower bounds, shape [T, axes].
        high: upper bounds, shape [T, axes].
        centred: best places, shape [T, axes].
    """
    largest = 16 + FOLLOW  # eigenvalue of the quadratic form
    ratio = math.sqrt(FOLLOW / largest)
    momentum = (1 - ratio) / (1 + ratio)
    path = ahead = np.clip(centred, low, high)
    for _ in range(_STEPS):
        before, slope = path, _bending(ahead) + FOLLOW * (ahead - centred)
        path = np.clip(ahead - slope / largest, low, high)
        if np.abs(path - ahead).max() < _SETTLED:
            break
        ahead = path + momentum * (path - before)
    return path


def _bending(path: Array) -> Array:
    """Return the gradient of half the sum of squared second differences, along the first axis."""
    second = np.diff(path, 2, axis=0)
    gradient = np.zeros_like(path)
    gradient[:-2] += second
    gradient[1:-1] -= 2 * second
    gradient[2:] += second
    return gradient
