"""Objects that move on their own: a hand that passes in front of the hole is no background, even without a matte."""

from __future__ import annotations

import cv2
import numpy as np

from gpu_server.engines.propagate.camera import Camera
from gpu_server.engines.propagate.flow import RegisteredSource, register_source
from gpu_server.engines.propagate.survey import Survey, grow_mask
from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.box import Box

_STEADY_PX = 1.0  # proxy pixels a frame: the camera is nearly still
_MOVES_PX = 1.5  # proxy pixels a frame, beyond the camera's motion
_MOVES_A_LITTLE_PX = 0.8  # pixels beside a moving object that move this much belong to it
_VISIBLE = 8.0  # of 255: least change of the picture
_AMBIENT = 0.45  # of the frame; if more of it moves, it is water or leaves, hence background
_AROUND_PX = 5


def find_moving_objects(survey: Survey, camera: Camera, frame: int) -> Mask:
    """Return the pixels, shape [h, w], that move in this frame against one of its neighbours.

    Under a travelling camera everything moves, by its depth: objects are told apart only in a shot whose camera is
    nearly still.
    """
    surely, maybe = np.zeros(survey.shape, bool), np.zeros(survey.shape, bool)
    raster = Box(0, 0, *survey.shape)
    for neighbour in (frame - 1, frame + 1):
        if not 0 <= neighbour < survey.frames:
            continue
        if max(camera.usual_speed, camera.speed(frame, neighbour)) < _STEADY_PX:
            over = register_source(survey, frame, neighbour, camera.rough(frame, neighbour), raster)
            own, change = np.linalg.norm(over.flow, axis=-1), _change(over)
            surely |= over.usable & (change > _VISIBLE) & (own > _MOVES_PX)
            maybe |= over.usable & (change > _VISIBLE / 2) & (own > _MOVES_A_LITTLE_PX)
    core = cv2.morphologyEx(surely.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    if core.sum() > _AMBIENT * max(1, int((~survey.unseen(frame)).sum())):
        return np.zeros_like(core)
    found = _touching(core, maybe | core)
    return grow_mask(found, _AROUND_PX)


def _touching(core: Mask, whole: Mask) -> Mask:
    """Return the connected parts of `whole` that hold some of `core`."""
    _, labels = cv2.connectedComponents(whole.astype(np.uint8))
    kept = np.zeros(int(labels.max()) + 1, bool)
    kept[labels[core]] = True
    return np.asarray(kept[labels], bool)


def _change(over: RegisteredSource) -> Array:
    return np.asarray(cv2.GaussianBlur(cv2.absdiff(over.here, over.there).astype(np.float32), (0, 0), 2.0), np.float32)
