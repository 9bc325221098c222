"""Optical flow behind one small interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.errors import UsageError

Array = NDArray[np.float32]

FLOWS = ("dis", "raft", "auto")


class Flow(Protocol):
    """Dense motion between two pictures. The same pictures give the same flow, however many threads there are."""

    name: str

    def between(self, here: Array, there: Array) -> Array:
        """Shape [H, W, 2], x and y in pixels: what is at p in `here` is at p + flow[p] in `there`.

        Pictures: shape [H, W, 3], 16 pixels a side or more, display-encoded, about [0, 1]; values beyond are clipped,
        and what is not a number counts as black.
        """
        ...


class DenseInverseSearch:
    """OpenCV's DIS at its medium preset (T. Kroeger and others, 2016): no weights. May be shared between threads."""

    name = "dis"

    def between(self, here: Array, there: Array) -> Array:
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return np.asarray(search.calc(_grey(here), _grey(there), None), np.float32)


class CancellableFlow:
    """Another flow, that first calls `check`: whatever goes from frame to frame by it can be stopped between two."""

    def __init__(self, flow: Flow, check: Callable[[], None]) -> None:
        self.name, self._flow, self._check = flow.name, flow, check

    def between(self, here: Array, there: Array) -> Array:
        self._check()
        return self._flow.between(here, there)


def _grey(picture: Array) -> NDArray[np.uint8]:
    scaled = clip_to_unit_range(picture) * np.float32(255) + np.float32(0.5)
    return np.asarray(cv2.cvtColor(scaled.astype(np.uint8), cv2.COLOR_RGB2GRAY))


def clip_to_unit_range(picture: Array) -> Array:
    """The picture within [0, 1], finite."""
    return np.clip(np.nan_to_num(np.asarray(picture, np.float32), nan=0.0, posinf=1.0, neginf=0.0), 0, 1)


def make_flow(name: str = "dis") -> Flow:
    """A flow by name: "dis", "raft" (torchvision and its weights on this machine), "auto" (raft if it is there).

    Raises:
        UsageError: no flow of that name, or it is not installed.
    """
    if name not in FLOWS:
        raise UsageError(f"got the flow {name!r}, expected one of {', '.join(FLOWS)}")
    if name == "dis":
        return DenseInverseSearch()
    try:
        return _raft()
    except UsageError:
        if name == "raft":
            raise
        return DenseInverseSearch()


def _raft() -> Flow:
    try:
        from gpu_server.engines.void.raft import Raft
    except (ImportError, RuntimeError) as exc:  # RuntimeError: a torchvision that was built for another torch
        raise UsageError(
            f"the raft flow needs torchvision, which does not load here ({exc});"
            " install the torchvision that belongs to the installed torch, or use --flow dis"
        ) from exc
    return Raft()
