"""Optical flow methods behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Array
from void_bridge.errors import UsageError

_RAFT_MULTIPLE, _RAFT_LEAST_SIDE = 8, 128


class Flow(Protocol):
    """Dense motion between two images.

    The same images give the same flow, however many threads there are.

    Attributes:
        name: the method, as reports and cache keys name it.
        uses_device: whether it runs on the GPU.
    """

    name: str
    uses_device: bool

    def between(self, here: Array, there: Array) -> Array:
        """Return the motion that takes `here` to `there`.

        Args:
            here: shape [H, W, 3], 16 pixels a side or more, display-encoded, about [0, 1]. Values beyond are clipped,
                and NaN counts as black.
            there: the same for the other image.

        Returns:
            Shape [H, W, 2], float32, x and y in pixels. The content at p in `here` is at p + flow[p] in `there`.
        """
        ...


class DenseInverseSearch:
    """OpenCV's DIS flow at its medium preset (T. Kroeger and others, 2016). It may be shared between threads."""

    name, uses_device = "dis", False

    def between(self, here: Array, there: Array) -> Array:
        """Return the motion from `here` to `there`; see `Flow.between`."""
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return np.asarray(search.calc(_grey(here), _grey(there), None), np.float32)


class Raft:
    """RAFT (Z. Teed and J. Deng, 2020) as torchvision has it: the large model if its weights are there, else the small.

    Nothing is downloaded. See https://docs.pytorch.org/vision/stable/models/raft.html

    Raises:
        UsageError: if torchvision does not load, or there are no weights in torch's folder of checkpoints.
    """

    name = "raft"

    def __init__(self) -> None:
        try:
            import torch
            from torchvision.models import optical_flow
        except (ImportError, RuntimeError) as exc:  # RuntimeError: a torchvision that was built for another torch
            raise UsageError(
                f"the raft flow needs torchvision, which does not load here ({exc});"
                " install the torchvision that belongs to the installed torch, or use --flow dis"
            ) from exc
        folder = Path(torch.hub.get_dir(), "checkpoints")
        large, small = optical_flow.Raft_Large_Weights.DEFAULT, optical_flow.Raft_Small_Weights.DEFAULT
        for build, weights in ((optical_flow.raft_large, large), (optical_flow.raft_small, small)):
            path = folder / weights.url.rpartition("/")[2]
            if path.is_file():
                self.uses_device = torch.cuda.is_available()
                self._device = torch.device("cuda" if self.uses_device else "cpu")
                self._model = build().eval().to(self._device)
                self._model.load_state_dict(torch.load(path, map_location=self._device, weights_only=True))
                return
        raise UsageError(f"the raft flow found no weights in {folder}; put {large.url} there, or use --flow dis")

    def between(self, here: Array, there: Array) -> Array:
        """Return the motion from `here` to `there`; see `Flow.between`."""
        import torch

        height, width = here.shape[:2]
        pair = (torch.from_numpy(_padded(image)).permute(2, 0, 1)[None] for image in (here, there))
        with torch.inference_mode():
            flow = self._model(*(image.to(self._device) * 2 - 1 for image in pair))[-1][0]
        return np.ascontiguousarray(flow[:, :height, :width].permute(1, 2, 0).cpu().numpy(), np.float32)


class CancellableFlow:
    """Another flow with a safe point before each call, so that a job may be cancelled between two frames.

    Args:
        flow: the flow that does the work.
        check: raises Cancelled once the job is cancelled.
    """

    def __init__(self, flow: Flow, check: Callable[[], None]) -> None:
        self.name, self.uses_device = flow.name, flow.uses_device
        self._flow, self._check = flow, check

    def between(self, here: Array, there: Array) -> Array:
        """Return the motion from `here` to `there`; see `Flow.between`.

        Raises:
            Cancelled: if the job was cancelled.
        """
        self._check()
        return self._flow.between(here, there)


FLOWS: dict[str, Callable[[], Flow]] = {"dis": DenseInverseSearch, "raft": Raft}


def make_flow(name: str = "dis") -> Flow:
    """Return a flow by name.

    Args:
        name: "dis", "raft" (needs torchvision and its weights on this machine) or "auto" (raft if it is there).

    Raises:
        UsageError: if there is no flow of that name, or it is not installed.
    """
    if name == "auto":
        try:
            return Raft()
        except UsageError:
            return DenseInverseSearch()
    if name not in FLOWS:
        raise UsageError(f"got the flow {name!r}, expected one of {', '.join(FLOWS)}, auto")
    return FLOWS[name]()


def _grey(image: Array) -> NDArray[np.uint8]:
    scaled = _clipped(image) * np.float32(255) + np.float32(0.5)
    return np.asarray(cv2.cvtColor(scaled.astype(np.uint8), cv2.COLOR_RGB2GRAY))


def _padded(image: Array) -> Array:
    """Repeat the last rows and columns of an image up to a size that RAFT takes."""
    more = [max(-side % _RAFT_MULTIPLE, _RAFT_LEAST_SIDE - side) for side in image.shape[:2]]
    return np.pad(_clipped(image), [(0, more[0]), (0, more[1]), (0, 0)], "edge")


def _clipped(image: Array) -> Array:
    """Return the image within [0, 1], float32, finite."""
    return np.clip(np.nan_to_num(np.asarray(image, np.float32), nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
