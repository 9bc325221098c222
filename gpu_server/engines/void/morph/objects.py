"""Which things of a result are to be judged: what differs from the plate and does not move as the background does."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gpu_server.engines.void.morph.frames import Mask, ResultFrames, blurred

_WITNESSES = 9  # other frames that are asked
_NEAREST_WITNESS = 3  # frames away
_BACKGROUND_SHARE = 0.55  # of the witnesses that show the same at the camera's place
_SMALLEST_SHARE = 0.0015  # of the picture
_SMALLEST_PX = 200


@dataclass(frozen=True)
class MovingObject:
    """A connected region of one frame. mask: shape [H, W]; radius: of a disc of its area, in pixels."""

    frame: int
    mask: Mask

    @property
    def radius(self) -> float:
        return float(np.sqrt(self.mask.sum() / np.pi))


def find_objects(footage: ResultFrames, frame: int) -> list[MovingObject]:
    """Largest first; empty where the result shows plate and background alone."""
    if not footage.changed[frame].any():
        return []
    moving = footage.changed[frame] & ~_background(footage, frame)
    return [MovingObject(frame, region) for region in _regions(moving)]


def _background(footage: ResultFrames, frame: int) -> Mask:
    here = blurred(footage.made[frame])
    height, width = here.shape[:2]
    same, asked = np.zeros((height, width), np.float32), np.full((height, width), 1e-6, np.float32)
    for other in _witnesses(footage.frames, frame):
        motion = footage.camera_between(frame, other)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        there = cv2.warpPerspective(blurred(footage.made[other]), motion, (width, height), flags=flags)
        inside = cv2.warpPerspective(np.ones((height, width), np.float32), motion, (width, height), flags=flags) > 0.99
        agrees = np.abs(there - here).max(axis=2) < 1.5 * footage.tolerance
        same += agrees & inside
        asked += inside
    return same / asked > _BACKGROUND_SHARE


def _witnesses(frames: int, frame: int) -> list[int]:
    spread = np.linspace(0, frames - 1, min(frames, _WITNESSES + 2)).round().astype(int)
    return [int(i) for i in spread if abs(i - frame) >= _NEAREST_WITNESS]


def _regions(moving: Mask) -> list[Mask]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    closed = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_CLOSE, disc)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    regions = [cv2.drawContours(np.zeros_like(opened), [line], -1, 1, cv2.FILLED) > 0 for line in outlines]
    least = max(_SMALLEST_PX, _SMALLEST_SHARE * moving.size)
    return sorted((r for r in regions if r.sum() >= least), key=lambda r: -int(r.sum()))
