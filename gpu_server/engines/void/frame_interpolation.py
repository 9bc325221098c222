"""The frames that a model sees of a shot, and those between them carried by flow.

The model was trained at 12 frames a second: at that rate things fall as it learned. `native` gives it every frame.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.void.flow import Array, Flow
from void_bridge.pixels.mattes import matte_box
from void_bridge.pixels.membrane import membrane

ModelRate = Literal["native", "12"]

TRAINED_FPS = 12

_CONSISTENT = 1.0  # pixels off after going there and back, at which a motion is half believed
_LEAST_WEIGHT = 0.02
_UNEXPLAINED = 0.06  # of the display range
_MOST_BLOBS, _SMALLEST_BLOB = 3, 64


def sampled_frames(frames: int, rate: Fraction, model_fps: ModelRate) -> tuple[int, ...]:
    """Indices of the frames that the model is given, the first and the last always, evenly spread.

    rate: of the shot, in frames a second. At 12 or less, and with `native`, all of them.

    >>> sampled_frames(9, Fraction(24), "12"), sampled_frames(8, Fraction(24), "12")
    ((0, 2, 4, 6, 8), (0, 2, 4, 5, 7))
    >>> sampled_frames(3, Fraction(12), "12"), sampled_frames(3, Fraction(24), "native")
    ((0, 1, 2), (0, 1, 2))
    """
    if model_fps == "native" or rate <= TRAINED_FPS or frames < 3:
        return tuple(range(frames))
    steps = max(1, round(Fraction(frames - 1) * TRAINED_FPS / rate))
    return tuple(round(Fraction(i * (frames - 1), steps)) for i in range(steps + 1))


def interpolate_frame(before: Array, after: Array, position: float, flow: Flow) -> Array:
    """The frame between two others, moved there from both.

    Each picture's motion is brought to the moment between (splatted along itself; W. Niklaus and F. Liu, Softmax
    Splatting, 2020) and both are sampled along it. What is hidden in one of them, seen by motions that don't agree
    there and back, is taken from the other.

    Args:
        before, after: shape [H, W, 3], in the model domain.
        position: of the frame between, in (0, 1).
        flow: finds the motion.

    Returns:
        Shape [H, W, 3], float32.
    """
    forth, back = _motion(before, after, flow), _motion(after, before, flow)
    earlier, sure_earlier = _moved(before, forth, back, position)
    later, sure_later = _moved(after, back, forth, 1 - position)
    sure_earlier, sure_later = (1 - position) * sure_earlier, position * sure_later
    share = sure_later / (sure_earlier + sure_later)
    return np.asarray(earlier + share[..., None] * (later - earlier), np.float32)


def _motion(here: Array, there: Array, flow: Flow) -> Array:
    """Flow, and where it explains nothing, as for small things that moved far, flow from a match of the whole thing."""
    motion = flow.between(here, there)
    error = _misfit(here, there, motion)
    for blob in _blobs(error > _UNEXPLAINED):
        shift = _whole_shift(here, there, blob)
        y, x = np.float32(shift[0]), np.float32(shift[1])
        nearer = cv2.warpAffine(
            there, np.array([[1, 0, -x], [0, 1, -y]]), there.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
        )
        other = flow.between(here, nearer) + np.array([x, y], np.float32)
        its_error = _misfit(here, there, other)
        better = its_error < 0.5 * error
        motion = np.where(better[..., None], other, motion)
        error = np.where(better, its_error, error)
    return motion


def _misfit(here: Array, there: Array, motion: Array) -> Array:
    """Shape [H, W]: how unlike the two are along the motion, over a few pixels."""
    x, y = _grid(motion.shape)
    seen = cv2.remap(there, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(np.abs(here - seen).max(axis=2), (0, 0), 2.0), np.float32)


def _blobs(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The largest connected areas, a few."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    sizes = stats[1:count, cv2.CC_STAT_AREA]
    largest = np.argsort(-sizes, kind="stable")[:_MOST_BLOBS]
    return [labels == 1 + i for i in largest if sizes[i] >= _SMALLEST_BLOB]


def _whole_shift(here: Array, there: Array, blob: NDArray[np.bool_]) -> tuple[int, int]:
    """Rows and columns by which an area as a whole is found again, up to a sixth of the picture away."""
    box = matte_box(blob)
    reach = max(blob.shape) // 6
    around = [(reach, reach), (reach, reach), (0, 0)]
    wide = np.pad(there, around, mode="edge")[box.y0 : box.y1 + 2 * reach, box.x0 : box.x1 + 2 * reach]
    mask = np.repeat(blob[box.slices][..., None], 3, axis=2).astype(np.float32)
    misfit = cv2.matchTemplate(wide, np.ascontiguousarray(here[box.slices]), cv2.TM_SQDIFF, mask=mask)
    row, column = np.unravel_index(int(np.argmin(misfit)), misfit.shape)
    return int(row) - reach, int(column) - reach


def _moved(picture: Array, motion: Array, other: Array, part: float) -> tuple[Array, Array]:
    """A picture moved along a part of its motion, shape [H, W, 3]; and how sure that is, shape [H, W], above 0."""
    belief = _belief(motion, other)
    landed, weight = _splatted(motion, belief, part)
    known = weight > _LEAST_WEIGHT
    there = membrane(landed, known)
    x, y = _grid(motion.shape)
    moved = cv2.remap(
        picture, x - part * there[..., 0], y - part * there[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return moved, np.minimum(weight, 1) + np.float32(1e-3)


def _belief(motion: Array, other: Array) -> Array:
    """Shape [H, W], in (0, 1]: low where going there and back ends elsewhere, or outside."""
    x, y = _grid(motion.shape)
    to_x, to_y = x + motion[..., 0], y + motion[..., 1]
    back = cv2.remap(other, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    off = np.square(motion + back).sum(axis=2) / np.float32(_CONSISTENT**2)
    inside = (to_x >= 0) & (to_y >= 0) & (to_x <= x.shape[1] - 1) & (to_y <= x.shape[0] - 1)
    return np.asarray(np.maximum(inside / np.square(1 + off), 1e-3), np.float32)


def _splatted(motion: Array, belief: Array, part: float) -> tuple[Array, Array]:
    """A motion where it has got to after a part of its way: shape [H, W, 2], and the weight there, shape [H, W]."""
    height, width = belief.shape
    x, y = _grid(motion.shape)
    to_x, to_y = x + part * motion[..., 0], y + part * motion[..., 1]
    left, top = np.floor(to_x).astype(np.intp), np.floor(to_y).astype(np.intp)
    total, landed = np.zeros(height * width), np.zeros((height * width, 2))
    for down in (0, 1):
        for right in (0, 1):
            column, row = left + right, top + down
            share = belief * (1 - np.abs(to_x - column)) * (1 - np.abs(to_y - row))
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            places, share = (row * width + column)[inside], share[inside]
            total += np.bincount(places, share, total.size)
            for axis in (0, 1):
                landed[:, axis] += np.bincount(places, share * motion[..., axis][inside], total.size)
    mean = landed / np.maximum(total, 1e-9)[:, None]
    return mean.reshape(height, width, 2).astype(np.float32), total.reshape(height, width).astype(np.float32)


def _grid(shape: tuple[int, ...]) -> tuple[Array, Array]:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return x, y
