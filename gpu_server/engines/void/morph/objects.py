"""The objects that the morph check judges: regions that differ from the plate and do not move with the background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gpu_server.engines.void.morph.frames import Mask, ResultFrames, blurred

_COMPARED_FRAMES = 9  # other frames that show whether a pixel is background
_NEAREST_COMPARED = 3  # frames away
_BACKGROUND_SHARE = 0.55  # of the compared frames that show the same at the place the camera predicts
_SMALLEST_SHARE = 0.0015  # of the image
_SMALLEST_PX = 200


@dataclass(frozen=True)
class MovingObject:
    """A connected region of one frame.

    Attributes:
        frame: the frame, counted within the run.
        mask: shape [H, W].
    """

    frame: int
    mask: Mask

    @property
    def radius(self) -> float:
        """The radius of a disc of the same area, in pixels."""
        return float(np.sqrt(self.mask.sum() / np.pi))


def find_objects(result: ResultFrames, frame: int) -> list[MovingObject]:
    """Return the objects of a frame, the largest first; empty if the result shows plate and background alone."""
    if not result.changed[frame].any():
        return []
    moving = result.changed[frame] & ~_background(result, frame)
    return [MovingObject(frame, region) for region in _regions(moving)]


def _background(result: ResultFrames, frame: int) -> Mask:
    """Return which pixels show the same in other frames at the place that the camera's motion predicts."""
    here = blurred(result.images[frame])
    height, width = here.shape[:2]
    same, compared = np.zeros((height, width), np.float32), np.full((height, width), 1e-6, np.float32)
    for other in _compared_frames(result.count, frame):
        motion = result.camera_between(frame, other)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        there = cv2.warpPerspective(blurred(result.images[other]), motion, (width, height), flags=flags)
        inside = cv2.warpPerspective(np.ones((height, width), np.float32), motion, (width, height), flags=flags) > 0.99
        agrees = np.abs(there - here).max(axis=2) < 1.5 * result.tolerance
        same += agrees & inside
        compared += inside
    return same / compared > _BACKGROUND_SHARE


def _compared_frames(count: int, frame: int) -> list[int]:
    spread = np.linspace(0, count - 1, min(count, _COMPARED_FRAMES + 2)).round().astype(int)
    return [int(i) for i in spread if abs(i - frame) >= _NEAREST_COMPARED]


def _regions(moving: Mask) -> list[Mask]:
    """Return the connected regions of a mask without holes and specks, the largest first."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    closed = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_CLOSE, disc)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    regions = [cv2.drawContours(np.zeros_like(opened), [line], -1, 1, cv2.FILLED) > 0 for line in outlines]
    least = max(_SMALLEST_PX, _SMALLEST_SHARE * moving.size)
    return sorted((r for r in regions if r.sum() >= least), key=lambda r: -int(r.sum()))
