"""Interpolation of a frame between two others along their optical flow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.void.flow import Array, Flow
from void_bridge.pixels.mattes import matte_box
from void_bridge.pixels.membrane import membrane

_CONSISTENT = 1.0  # pixels of forward-backward error at which the confidence of a motion is halved
_LEAST_WEIGHT = 0.02
_UNEXPLAINED = 0.06  # of the display range
_MOST_BLOBS, _SMALLEST_BLOB = 3, 64


def interpolate_frame(before: Array, after: Array, position: float, flow: Flow) -> Array:
    """Return the frame between two others, warped from both.

    The motion of each frame is splatted along itself to the time between (W. Niklaus and F. Liu, Softmax Splatting,
    2020), and both frames are sampled along it. Areas that are hidden in one of them, where forward and backward flow
    disagree, are taken from the other.

    Args:
        before: shape [H, W, 3], float32, in the model domain.
        after: the same for the later frame.
        position: time of the new frame, in (0, 1).
        flow: the optical flow to use.

    Returns:
        Shape [H, W, 3], float32.
    """
    forth, back = _motion(before, after, flow), _motion(after, before, flow)
    earlier, weight_earlier = _warped(before, forth, back, position)
    later, weight_later = _warped(after, back, forth, 1 - position)
    weight_earlier, weight_later = (1 - position) * weight_earlier, position * weight_later
    share = weight_later / (weight_earlier + weight_later)
    return np.asarray(earlier + share[..., None] * (later - earlier), np.float32)


def _motion(here: Array, there: Array, flow: Flow) -> Array:
    """Return the flow, and for small objects that moved too far for it, the flow from a match of the whole object."""
    motion = flow.between(here, there)
    error = _misfit(here, there, motion)
    for blob in _blobs(error > _UNEXPLAINED):
        shift = _match_shift(here, there, blob)
        y, x = np.float32(shift[0]), np.float32(shift[1])
        nearer = cv2.warpAffine(
            there, np.array([[1, 0, -x], [0, 1, -y]]), there.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
        )
        other = flow.between(here, nearer) + np.array([x, y], np.float32)
        other_error = _misfit(here, there, other)
        better = other_error < 0.5 * error
        motion = np.where(better[..., None], other, motion)
        error = np.where(better, other_error, error)
    return motion


def _misfit(here: Array, there: Array, motion: Array) -> Array:
    """Return the difference of the two frames along the motion, averaged over a few pixels. Shape [H, W]."""
    x, y = _grid(motion.shape)
    sampled = cv2.remap(
        there, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.GaussianBlur(np.abs(here - sampled).max(axis=2), (0, 0), 2.0), np.float32)


def _blobs(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the largest connected areas of a mask, three at most."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    sizes = stats[1:count, cv2.CC_STAT_AREA]
    largest = np.argsort(-sizes, kind="stable")[:_MOST_BLOBS]
    return [labels == 1 + i for i in largest if sizes[i] >= _SMALLEST_BLOB]


def _match_shift(here: Array, there: Array, blob: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the rows and columns by which an area as a whole moved, up to a sixth of the frame."""
    box = matte_box(blob)
    reach = max(blob.shape) // 6
    around = [(reach, reach), (reach, reach), (0, 0)]
    wide = np.pad(there, around, mode="edge")[box.y0 : box.y1 + 2 * reach, box.x0 : box.x1 + 2 * reach]
    mask = np.repeat(blob[box.slices][..., None], 3, axis=2).astype(np.float32)
    misfit = cv2.matchTemplate(wide, np.ascontiguousarray(here[box.slices]), cv2.TM_SQDIFF, mask=mask)
    row, column = np.unravel_index(int(np.argmin(misfit)), misfit.shape)
    return int(row) - reach, int(column) - reach


def _warped(frame: Array, motion: Array, other: Array, fraction: float) -> tuple[Array, Array]:
    """Return the frame warped along a fraction of its motion, and a confidence.

    Shapes [H, W, 3] and [H, W]; the confidence is above 0.
    """
    confidence = _confidence(motion, other)
    splatted, weight = _splatted(motion, confidence, fraction)
    known = weight > _LEAST_WEIGHT
    moved = membrane(splatted, known)
    x, y = _grid(motion.shape)
    warped = cv2.remap(
        frame,
        x - fraction * moved[..., 0],
        y - fraction * moved[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return warped, np.minimum(weight, 1) + np.float32(1e-3)


def _confidence(motion: Array, other: Array) -> Array:
    """Return the confidence of a motion, shape [H, W], in (0, 1].

    It is low where forward and backward flow disagree, and where the motion leaves the frame.
    """
    x, y = _grid(motion.shape)
    to_x, to_y = x + motion[..., 0], y + motion[..., 1]
    back = cv2.remap(other, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    off = np.square(motion + back).sum(axis=2) / np.float32(_CONSISTENT**2)
    inside = (to_x >= 0) & (to_y >= 0) & (to_x <= x.shape[1] - 1) & (to_y <= x.shape[0] - 1)
    return np.asarray(np.maximum(inside / np.square(1 + off), 1e-3), np.float32)


def _splatted(motion: Array, confidence: Array, fraction: float) -> tuple[Array, Array]:
    """Return a motion splatted along a fraction of itself, shape [H, W, 2], and its weight, shape [H, W]."""
    height, width = confidence.shape
    x, y = _grid(motion.shape)
    to_x, to_y = x + fraction * motion[..., 0], y + fraction * motion[..., 1]
    left, top = np.floor(to_x).astype(np.intp), np.floor(to_y).astype(np.intp)
    total, splatted = np.zeros(height * width), np.zeros((height * width, 2))
    for down in (0, 1):
        for right in (0, 1):
            column, row = left + right, top + down
            share = confidence * (1 - np.abs(to_x - column)) * (1 - np.abs(to_y - row))
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            pixels, share = (row * width + column)[inside], share[inside]
            total += np.bincount(pixels, share, total.size)
            for axis in (0, 1):
                splatted[:, axis] += np.bincount(pixels, share * motion[..., axis][inside], total.size)
    mean = splatted / np.maximum(total, 1e-9)[:, None]
    return mean.reshape(height, width, 2).astype(np.float32), total.reshape(height, width).astype(np.float32)


def _grid(shape: tuple[int, ...]) -> tuple[Array, Array]:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return x, y
