"""Where each tensor of a checkpoint goes, and how wide, while the checkpoint is read.

One tensor at a time: the transformer never lies in memory at its published width unless that is the width asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import CogVideoXTransformer3DModel
from torch import Tensor

from gpu_server.engines.void.checkpoint.loading import load_transformer
from gpu_server.engines.void.precision.adaln import AdaLNTable
from gpu_server.engines.void.precision.float8 import check_float8_device, float8_linear, narrow_weight
from gpu_server.engines.void.precision.layers import OFFLOADS, check_name, role_of, split_name
from void_bridge.options import PRECISIONS


@dataclass
class Placement:
    """What `load_transformer` hands every tensor to.

    The AdaLN linears stay where they are, in the mapped file; narrow weights are narrowed on the device.
    """

    precision: str
    device: torch.device
    offload: str = "none"
    mapped: dict[str, Tensor] = field(default_factory=dict)
    scales: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name("precision", self.precision, PRECISIONS)
        check_name("offload", self.offload, OFFLOADS)
        if self.precision == "fp8":
            check_float8_device(self.device)
        self.dtype = torch.float32 if self.precision == "float32" else torch.bfloat16

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor as the transformer shall hold it, of the same shape.

        Raises:
            EngineError: no layer of this name is known.
        """
        module, parameter = split_name(name)
        role = role_of(module)
        if role == "table":
            self.mapped[name] = tensor
            return torch.empty_like(tensor, device="meta")
        offloaded = self.offload == "blocks" and name.startswith("transformer_blocks.")
        home = self._in_host_memory if offloaded else self._on_device
        if role == "narrow" and parameter == "weight" and self.precision.startswith("fp8"):
            weight, scale = narrow_weight(tensor.to(self.device))
            self.scales[module] = home(scale)
            return home(weight)
        return home(tensor.to(self.dtype))

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device)

    def _in_host_memory(self, tensor: Tensor) -> Tensor:
        """Pinned where a GPU fetches it, or it would be copied there once more."""
        here = tensor.cpu()
        return here.pin_memory() if self.device.type == "cuda" else here

    def install(self, transformer: CogVideoXTransformer3DModel) -> None:
        """Put the eight-bit layers where the linears stood whose weights were narrowed."""
        for name, scale in self.scales.items():
            linear = transformer.get_submodule(name)
            narrow = float8_linear(linear.weight, scale, linear.bias, computed=self.precision == "fp8")
            transformer.set_submodule(name, narrow)


def place_transformer(
    folder: Path, pass_number: int, precision: str, device: torch.device, offload: str = "none"
) -> tuple[CogVideoXTransformer3DModel, AdaLNTable]:
    """A transformer at a precision, without its AdaLN linears, and their table.

    Raises:
        UsageError: no precision or offload has this name.
        EngineError: the device has no arithmetic for it, or the checkpoint holds an unknown layer.
        UnreadableFile: as `load_transformer`.
    """
    placement = Placement(precision, device, offload)
    transformer = load_transformer(folder, pass_number, placement)
    placement.install(transformer)
    return transformer, AdaLNTable(transformer, placement.mapped.__getitem__, device, placement.dtype)
