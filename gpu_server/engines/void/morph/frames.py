"""What the morph check looks at: frames of a result, where they differ from the plate, and how the camera moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Picture = NDArray[np.uint8]  # shape [H, W, 3], display-encoded
Mask = NDArray[np.bool_]
Map = NDArray[np.float64]  # shape [3, 3], (x, y, 1) to (x, y, 1)

_DIFFERENCE = 0.03  # of a display-encoded picture: less is not seen as a change
_NOISES = 4.0  # a change stands out from the noise of the frame by this factor
_CORNERS = 300
_ENOUGH_CORNERS = 24
_STILL_PX = 0.1
_BLUR_PX = 1.5


@dataclass
class ResultFrames:
    """A run of frames of the result, kept as 8-bit pictures.

    changed: where the result differs from the plate; camera: maps from frame 0 of the run, one a frame;
    tolerance: what two samples of the same thing may differ by, for grain.
    """

    first: int
    made: list[Picture] = field(default_factory=list)
    changed: list[Mask] = field(default_factory=list)
    camera: list[Map] = field(default_factory=list)
    tolerance: float = _DIFFERENCE

    @property
    def frames(self) -> int:
        return len(self.made)

    def camera_between(self, here: int, there: int) -> Map:
        return self.camera[there] @ np.linalg.inv(self.camera[here])


def read_frames(
    footage: ResultFrames, made: Callable[[int], Array], plate: Callable[[int], Array], frames: range
) -> Iterator[int]:
    """Read the frames into `footage`, each once. Yields each frame when it is read."""
    last_plate: NDArray[np.uint8] | None = None
    for i in frames:
        result, original = _eight_bit(made(i)), _eight_bit(plate(i))
        changed, tolerance = _changes(result, original)
        grey = cv2.cvtColor(original, cv2.COLOR_RGB2GRAY)
        step = np.eye(3) if last_plate is None else _camera_step(last_plate, grey, ~(footage.changed[-1] | changed))
        footage.camera.append(step @ footage.camera[-1] if footage.camera else np.eye(3))
        footage.made.append(result)
        footage.changed.append(changed)
        footage.tolerance = max(footage.tolerance, tolerance)
        last_plate = grey
        yield i


def blurred(picture: Picture) -> Array:
    """Shape [H, W, 3], in [0, 1], without its finest detail and most of its grain."""
    return cv2.GaussianBlur(picture.astype(np.float32) / np.float32(255), (0, 0), _BLUR_PX)


def _eight_bit(picture: Array) -> Picture:
    return (np.clip(picture, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _changes(result: Picture, original: Picture) -> tuple[Mask, float]:
    difference = np.abs(blurred(result) - blurred(original)).max(axis=2)
    noise = 1.4826 * float(np.median(difference))
    tolerance = max(_DIFFERENCE, _NOISES * noise)
    return difference > tolerance, tolerance


def _camera_step(here: NDArray[np.uint8], there: NDArray[np.uint8], trusted: Mask) -> Map:
    """The homography of what did not change between two neighbouring plates; the identity where it can't be told."""
    corners = cv2.goodFeaturesToTrack(here, _CORNERS, 0.01, 6, mask=trusted.astype(np.uint8))
    if corners is None or len(corners) < _ENOUGH_CORNERS:
        return np.eye(3)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(here, there, corners, None, winSize=(15, 15), maxLevel=3)
    good = found.ravel() > 0
    before, after = corners[good].reshape(-1, 2), moved[good].reshape(-1, 2)
    if len(before) < _ENOUGH_CORNERS or float(np.median(np.linalg.norm(after - before, axis=1))) < _STILL_PX:
        return np.eye(3)
    motion, agreed = cv2.findHomography(before, after, cv2.RANSAC, 1.0)
    if motion is None or agreed.sum() < _ENOUGH_CORNERS:
        return np.eye(3)
    return np.asarray(motion / motion[2, 2], np.float64)
