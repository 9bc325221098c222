"""RAFT (Z. Teed and J. Deng, 2020) as torchvision has it. Importing this module needs torch and torchvision.

https://docs.pytorch.org/vision/stable/models/raft.html
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights, raft_large, raft_small

from gpu_server.engines.void.flow import clip_to_unit_range
from void_bridge.errors import UsageError

Array = NDArray[np.float32]

_MODELS = ((raft_large, Raft_Large_Weights), (raft_small, Raft_Small_Weights))
_MULTIPLE, _LEAST_SIDE = 8, 128


class Raft:
    """The large model where its weights are, else the small one. Nothing is downloaded.

    Raises:
        UsageError: no weights in torch's folder of checkpoints.
    """

    name = "raft"

    def __init__(self) -> None:
        folder = Path(torch.hub.get_dir(), "checkpoints")
        for build, choices in _MODELS:
            path = folder / choices.DEFAULT.url.rpartition("/")[2]
            if path.is_file():
                self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
                self._model = build().eval().to(self._device)
                self._model.load_state_dict(torch.load(path, map_location=self._device, weights_only=True))
                return
        raise UsageError(
            f"the raft flow found no weights in {folder}; put {Raft_Large_Weights.DEFAULT.url} there, or use --flow dis"
        )

    def between(self, here: Array, there: Array) -> Array:
        height, width = here.shape[:2]
        with torch.inference_mode():
            flow = self._model(self._prepared(here), self._prepared(there))[-1][0]
        return np.ascontiguousarray(flow[:, :height, :width].permute(1, 2, 0).cpu().numpy(), np.float32)

    def _prepared(self, picture: Array) -> torch.Tensor:
        """Shape [1, 3, H, W] in [-1, 1], its last rows and columns repeated up to the size that the model takes."""
        more = [max(-side % _MULTIPLE, _LEAST_SIDE - side) for side in picture.shape[:2]]
        padded = np.pad(clip_to_unit_range(picture), [(0, more[0]), (0, more[1]), (0, 0)], "edge")
        return torch.from_numpy(padded).permute(2, 0, 1)[None].to(self._device) * 2 - 1
