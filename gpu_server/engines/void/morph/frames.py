"""The frames that the morph check looks at: where the result differs from the plate, and how the camera moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Array

Image = NDArray[np.uint8]  # shape [H, W, 3], display-encoded
Mask = NDArray[np.bool_]
Map = NDArray[np.float64]  # shape [3, 3], (x, y, 1) to (x, y, 1)

_DIFFERENCE = 0.03  # of the display range: a smaller difference is no visible change
_NOISES = 4.0  # a change exceeds the noise of the frame by this factor
_CORNERS = 300
_ENOUGH_CORNERS = 24
_STILL_PX = 0.1
_BLUR_PX = 1.5


@dataclass
class ResultFrames:
    """A run of frames of the result, kept as 8-bit images.

    Attributes:
        first: index of the first frame in the shot.
        images: the frames, shape [H, W, 3] each.
        changed: where each differs from the plate, shape [H, W].
        camera: the camera's motion from the first frame of the run to each, as homographies.
        tolerance: difference below which two samples may be the same content, because of grain.
    """

    first: int
    images: list[Image] = field(default_factory=list)
    changed: list[Mask] = field(default_factory=list)
    camera: list[Map] = field(default_factory=list)
    tolerance: float = _DIFFERENCE

    @property
    def count(self) -> int:
        """The number of frames."""
        return len(self.images)

    def camera_between(self, here: int, there: int) -> Map:
        """Return the camera's motion from one frame of the run to another."""
        return self.camera[there] @ np.linalg.inv(self.camera[here])

    def read(self, generated: Callable[[int], Array], plate: Callable[[int], Array], frames: range) -> Iterator[int]:
        """Append frames of a shot and yield each index after its frame was read.

        Args:
            generated: returns a frame of the result, shape [H, W, 3], display-encoded, about [0, 1].
            plate: returns the same frame of the plate.
            frames: indices of the frames in the shot.
        """
        last_plate: NDArray[np.uint8] | None = None
        for i in frames:
            image, original = _eight_bit(generated(i)), _eight_bit(plate(i))
            changed, tolerance = _changes(image, original)
            grey = cv2.cvtColor(original, cv2.COLOR_RGB2GRAY)
            step = np.eye(3) if last_plate is None else _camera_step(last_plate, grey, ~(self.changed[-1] | changed))
            self.camera.append(step @ self.camera[-1] if self.camera else np.eye(3))
            self.images.append(image)
            self.changed.append(changed)
            self.tolerance = max(self.tolerance, tolerance)
            last_plate = grey
            yield i


def blurred(image: Image) -> Array:
    """Return an image without its finest detail and most of its grain: shape [H, W, 3], float32, in [0, 1]."""
    return cv2.GaussianBlur(image.astype(np.float32) / np.float32(255), (0, 0), _BLUR_PX)


def _eight_bit(image: Array) -> Image:
    return (np.clip(image, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _changes(image: Image, original: Image) -> tuple[Mask, float]:
    """Return where a frame differs from the plate, and the tolerance of that comparison."""
    difference = np.abs(blurred(image) - blurred(original)).max(axis=2)
    noise = 1.4826 * float(np.median(difference))
    tolerance = max(_DIFFERENCE, _NOISES * noise)
    return difference > tolerance, tolerance


def _camera_step(here: NDArray[np.uint8], there: NDArray[np.uint8], unchanged: Mask) -> Map:
    """Return the homography between two neighbouring plates, or the identity if too little of them is unchanged."""
    corners = cv2.goodFeaturesToTrack(here, _CORNERS, 0.01, 6, mask=unchanged.astype(np.uint8))
    if corners is None or len(corners) < _ENOUGH_CORNERS:
        return np.eye(3)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(here, there, corners, None, winSize=(15, 15), maxLevel=3)
    good = found.ravel() > 0
    before, after = corners[good].reshape(-1, 2), moved[good].reshape(-1, 2)
    if len(before) < _ENOUGH_CORNERS or float(np.median(np.linalg.norm(after - before, axis=1))) < _STILL_PX:
        return np.eye(3)
    motion, inliers = cv2.findHomography(before, after, cv2.RANSAC, 1.0)
    if motion is None or inliers.sum() < _ENOUGH_CORNERS:
        return np.eye(3)
    return np.asarray(motion / motion[2, 2], np.float64)
