"""A survey of the shot: small pictures and small masks of every frame, which are all that is kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Clip, Context, EngineStage, PlaneRole
from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import encode
from void_bridge.pixels.mattes import matte_box

PROXY_WIDTH = 960
COLOUR_STEP = 4  # proxy pixels a side of one cell of the colour grid
_HOLE, _INVALID, _UNSEEN = np.uint8(1), np.uint8(2), np.uint8(4)
_TOUCHED = 0.01
_MARGIN = 2  # proxy pixels around everything that may not be a source
_FEATHER_PX = 6  # by which the hole may reach beyond the affected area
_SPECK_PX = 6
_BETWEEN_PX = 24
_DETAIL_SIGMA = 14.0
_DETAIL_GAIN = 230.0
_KEEP_IS_AN_ACTOR = 0.5  # a keep matte larger than this share of the frame protects; it doesn't mark a foreground


class PropagateStage(EngineStage):
    """A stage of a job, by the name that clients see, with its share of the time."""

    SURVEY = "look", 0.02
    CAMERA = "camera", 0.01
    MOVING_OBJECTS = "movers", 0.05
    SOURCES = "sources", 0.01
    HIDDEN = "hidden", 0.01
    SYNTHESISE = "invent", 0.1
    FILL = "fill", 0.8


@dataclass(frozen=True)
class Survey:
    """Proxies of a shot of T frames; h, w is the proxy's size, gh, gw that of the colour grid.

    Attributes:
        detail: shape [T, h, w], uint8: encoded luminance without its low frequencies, 128 in the middle.
        flags: shape [T, h, w], uint8: the masks of `hole`, `invalid` and `unseen`.
        colour: shape [T, gh, gw, 3], float16, linear means.
        colour_valid: shape [T, gh, gw]: cells without invalid pixels.
        boxes: box of each frame's hole, in pixels of the plate; empty where nothing may change.
        scale: proxy pixels per pixel of the plate, across and down.
    """

    detail: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    colour: NDArray[np.float16]
    colour_valid: Mask
    boxes: tuple[Box, ...]
    scale: tuple[float, float]

    def hole(self, frame: int) -> Mask:
        """Return the pixels that may change, shape [h, w]."""
        return np.asarray(self.flags[frame] & _HOLE, bool)

    def invalid(self, frame: int) -> Mask:
        """Return the pixels that are no sources, the hole among them: shape [h, w]."""
        return np.asarray(self.flags[frame] & _INVALID, bool)

    def unseen(self, frame: int) -> Mask:
        """Return the pixels that show nothing of the background, shape [h, w]; affected areas still show some."""
        return np.asarray(self.flags[frame] & _UNSEEN, bool)

    def without(self, movers: Sequence[Mask]) -> Survey:
        """Return the survey with more pixels that are neither sources nor background.

        Args:
            movers: shape [h, w] for each frame.
        """
        flags, colour_valid = self.flags.copy(), self.colour_valid.copy()
        for i, mask in enumerate(movers):
            hidden = mask | self.invalid(i)
            # Pixels between a moving object and the hole were hidden in the frames that it was compared with.
            between = _close(hidden, _BETWEEN_PX) & grow_mask(mask, _BETWEEN_PX) if mask.any() else mask
            flags[i] |= mask * (_INVALID | _UNSEEN) | (_close(hidden, _SPECK_PX) | between) * _INVALID
            colour_valid[i] &= ~_touched(mask, (colour_valid.shape[1], colour_valid.shape[2]))
        return replace(self, flags=flags, colour_valid=colour_valid)

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.detail)

    @property
    def shape(self) -> tuple[int, int]:
        """The height and the width of the proxy."""
        return self.detail.shape[1], self.detail.shape[2]

    @property
    def to_proxy(self) -> NDArray[np.float64]:
        """The map from (x, y, 1) of a plate's pixel to the proxy's, shape [3, 3]; pixel centres are whole numbers."""
        return scaling(*self.scale)

    @property
    def to_cells(self) -> NDArray[np.float64]:
        """The map from (x, y, 1) of the proxy to cells of the colour grid, shape [3, 3]."""
        (h, w), (gh, gw) = self.shape, self.colour_valid.shape[1:]
        return scaling(gw / w, gh / h)

    @property
    def to_plate(self) -> NDArray[np.float64]:
        """The map from (x, y, 1) of the proxy to pixels of the plate, shape [3, 3]."""
        return np.linalg.inv(self.to_proxy)


def scaling(across: float, down: float) -> NDArray[np.float64]:
    """Return the map, shape [3, 3], from pixel centres of a picture to those of the same picture resized."""
    return np.array([[across, 0, 0.5 * across - 0.5], [0, down, 0.5 * down - 0.5], [0, 0, 1]])


def scale_points(step: NDArray[np.float64], x: Array, y: Array) -> tuple[Array, Array]:
    """Apply a scaling to the x and the y of points."""
    return x * np.float32(step[0, 0]) + np.float32(step[0, 2]), y * np.float32(step[1, 1]) + np.float32(step[1, 2])


def make_survey(clip: Clip, context: Context) -> Survey:
    """Read every frame once and return the survey.

    Raises:
        Cancelled: the job was cancelled.
    """
    count, (h, w) = len(clip.frames), proxy_shape(clip.height, clip.width)
    gh, gw = -(-h // COLOUR_STEP), -(-w // COLOUR_STEP)
    detail = np.empty((count, h, w), np.uint8)
    flags = np.zeros((count, h, w), np.uint8)
    colour, colour_valid = np.empty((count, gh, gw, 3), np.float16), np.empty((count, gh, gw), bool)
    boxes = []
    for i in range(count):
        context.progress(PropagateStage.SURVEY, i, count)
        paste = clip.matte("paste", i) > 0
        boxes.append(matte_box(paste))
        hole = _touched(paste, (h, w))
        invalid, unseen = _unusable(clip, i, hole)
        flags[i] = hole * _HOLE | invalid * _INVALID | unseen * _UNSEEN
        small = _shrink(clip.plate(i), (h, w))
        detail[i] = _detail(small, clip.exposure)
        colour[i] = np.clip(_shrink(small, (gh, gw)), -6e4, 6e4)
        colour_valid[i] = ~_touched(invalid, (gh, gw))
    context.progress(PropagateStage.SURVEY, count, count)
    return Survey(detail, flags, colour, colour_valid, tuple(boxes), (w / clip.width, h / clip.height))


def proxy_shape(height: int, width: int) -> tuple[int, int]:
    """Return the height and the width of the proxy of a plate."""
    shrink = min(1.0, PROXY_WIDTH / max(width, height))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _unusable(clip: Clip, index: int, hole: Mask) -> tuple[Mask, Mask]:
    """Return the pixels that are `invalid` and those that are `unseen`."""
    shape = (hole.shape[0], hole.shape[1])

    def touched(role: PlaneRole, above: float) -> Mask:
        return _touched(clip.matte(role, index) > above, shape)

    affected = touched("affected", _TOUCHED)
    other = touched("remove", _TOUCHED) | touched("exclude", _TOUCHED)
    keep = touched("keep", 0.5)
    if keep.mean() < _KEEP_IS_AN_ACTOR:
        other |= keep
    invalid = grow_mask(hole | affected | other, _MARGIN)
    unseen = grow_mask(other | (hole & ~grow_mask(affected, _FEATHER_PX)), _MARGIN)
    return invalid, unseen


def _close(mask: Mask, radius: int) -> Mask:
    """Fill small gaps of a mask: a speck between hidden things is rarely background."""
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, _disc(radius)), bool)


def grow_mask(mask: Mask, radius: int) -> Mask:
    """Grow a mask outward by a disc. Shape [h, w]."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), _disc(radius)), bool)


def _disc(radius: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2), np.uint8)


def _touched(mask: Mask, shape: tuple[int, int]) -> Mask:
    """Return the cells of a smaller raster that hold any pixel of the mask."""
    if mask.shape == shape:
        return mask
    return _shrink(mask.astype(np.float32), shape) > 1e-6


def _shrink(image: Array, shape: tuple[int, int]) -> Array:
    if image.shape[:2] == shape:
        return image
    return np.asarray(cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.float32)


def _detail(linear: Array, exposure: float) -> NDArray[np.uint8]:
    luminance = encode(linear @ np.array([0.25, 0.6, 0.15], np.float32), exposure)
    fine = luminance - cv2.GaussianBlur(luminance, (0, 0), _DETAIL_SIGMA)
    return np.asarray(np.clip(fine * _DETAIL_GAIN + 128.5, 0, 255), np.uint8)
