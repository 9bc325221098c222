"""Placement of the transformer's tensors while its checkpoint is read: on which device, and in which type.

Tensors are placed one at a time: the transformer is never in memory at its published width unless that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.hooks import apply_group_offloading
from torch import Tensor

from gpu_server.engines.void.checkpoint.loading import load_transformer
from gpu_server.engines.void.precision.adaln import AdaLNTable
from gpu_server.engines.void.precision.float8 import check_float8_device, float8_linear, quantise_weight
from gpu_server.engines.void.precision.layers import check_name, is_float8, role_of, split_name
from void_bridge.options import PRECISIONS

OFFLOADS = ("none", "blocks")


@dataclass
class TensorPlacement:
    """A function that `load_transformer` calls with every tensor; see `PlaceTensor`.

    The AdaLN linears stay in the mapped file; 8-bit weights are quantised on the device.

    Attributes:
        precision: float32, bf16, fp8-stored or fp8.
        device: where the transformer computes.
        offload: none, or blocks: the blocks are in host memory.
        mapped: the tensors of the AdaLN linears by name, as they are in the file.
        scales: the scales of quantised weights by module, shape [N, 1], float32.

    Raises:
        UsageError: no precision or offload has this name.
        EngineError: the device does not compute the precision.
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
        """Return a tensor as the transformer shall hold it.

        Args:
            name: the tensor's published name.
            tensor: any shape, any float type.

        Returns:
            The same shape: e4m3 if quantised, else in the placement's type; empty, on the meta device, if it is of an
            AdaLN linear.

        Raises:
            EngineError: the layer is not known.
        """
        module, parameter = split_name(name)
        role = role_of(module)
        if role == "table":
            self.mapped[name] = tensor
            return torch.empty_like(tensor, device="meta")
        offloaded = self.offload == "blocks" and name.startswith("transformer_blocks.")
        home = self._in_host_memory if offloaded else self._on_device
        if role == "quantised" and parameter == "weight" and is_float8(self.precision):
            weight, scale = quantise_weight(tensor.to(self.device))
            self.scales[module] = home(scale)
            return home(weight)
        return home(tensor.to(self.dtype))

    def _on_device(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device."""
        return tensor.to(self.device)

    def _in_host_memory(self, tensor: Tensor) -> Tensor:
        """Return a tensor in host memory, pinned if a GPU fetches it; otherwise it would be copied once more."""
        here = tensor.cpu()
        return here.pin_memory() if self.device.type == "cuda" else here

    def install(self, transformer: CogVideoXTransformer3DModel) -> None:
        """Replace the linears whose weights were quantised by 8-bit layers."""
        for name, scale in self.scales.items():
            linear = transformer.get_submodule(name)
            quantised = float8_linear(linear.weight, scale, linear.bias, computed=self.precision == "fp8")
            transformer.set_submodule(name, quantised)


def place_transformer(
    folder: Path, pass_number: int, precision: str, device: torch.device, offload: str = "none"
) -> tuple[CogVideoXTransformer3DModel, AdaLNTable]:
    """Load a transformer at a precision, without its AdaLN linears, and return it with their table.

    Args:
        folder: the models folder.
        pass_number: 1 or 2.
        precision: float32, bf16, fp8-stored or fp8.
        device: where it computes.
        offload: none, or blocks: the blocks are in host memory.

    Raises:
        UsageError: no precision or offload has this name.
        EngineError: the device does not compute the precision, or the checkpoint holds an unknown layer.
        UnreadableFile: a file is missing, damaged, or does not fit the base's `config.json`.
    """
    placement = TensorPlacement(precision, device, offload)
    transformer = load_transformer(folder, pass_number, placement)
    placement.install(transformer)
    return transformer, AdaLNTable(transformer, placement.mapped.__getitem__, device, placement.dtype)


def offload_blocks(transformer: CogVideoXTransformer3DModel, device: torch.device) -> None:
    """Keep the transformer's blocks in host memory; the device holds two of them at a time.

    On CUDA the host's copies are pinned and the next block is copied on a stream of its own while one computes;
    elsewhere each block is copied before it is used. The few layers outside the blocks are moved once for each call.
    AdaLN tables stay on the device. The host waits for each block, because copies are faster than blocks: without a
    wait (`record_stream`) they would run ahead until all blocks are on the device.
    """
    streamed = device.type == "cuda"
    apply_group_offloading(
        transformer,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        non_blocking=streamed,
        use_stream=streamed,
        record_stream=False,
    )
