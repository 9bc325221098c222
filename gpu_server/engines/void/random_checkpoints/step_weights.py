"""Random weights in the published layout for measuring the model alone, of the published size or a tiny one.

Torch draws them, on the GPU where there is one. There is no text encoder: a job needs one, a step does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from gpu_server.engines.void.checkpoint.layout import BASE_NAME, VOID_CHANNELS, WEIGHT_STEMS, pass_name
from gpu_server.engines.void.checkpoint.tensor_shapes import (
    FULL_CONFIG,
    FULL_TEXT_CONFIG,
    FULL_VAE_CONFIG,
    Config,
    Shapes,
    transformer_shapes,
    vae_shapes,
)
from gpu_server.engines.void.random_checkpoints.safetensors_writer import Bytes, file_bytes, write_tensors
from void_bridge.atomic import write_bytes


@dataclass(frozen=True)
class ModelSize:
    """name: as the page says it. transformer, vae: as in their config.json."""

    name: str
    transformer: Config
    vae: Config

    @property
    def bytes(self) -> int:
        """Of the files that `write_step_weights` makes."""
        return sum(file_bytes(shapes, "BF16") for shapes in (self.pass_shapes, self.vae_shapes))

    @property
    def pass_shapes(self) -> Shapes:
        return transformer_shapes(self.transformer, VOID_CHANNELS)

    @property
    def vae_shapes(self) -> Shapes:
        return vae_shapes(self.vae)


FULL = ModelSize("random weights of the published size", FULL_CONFIG, FULL_VAE_CONFIG)
TINY = ModelSize(
    "tiny random weights (2 layers of 2 heads)",
    {**FULL_CONFIG, "num_attention_heads": 2, "num_layers": 2, "text_embed_dim": 24, "time_embed_dim": 32},
    {**FULL_VAE_CONFIG, "block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4},
)
_SCHEDULER = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}


def write_step_weights(folder: Path, size: ModelSize, device: torch.device, seed: int = 0) -> None:
    """Write pass 1, the autoencoder and the configurations beside them.

    Raises:
        DiskFull, OutputError: naming the file.
    """
    base = folder / BASE_NAME
    configs = {"transformer": size.transformer, "vae": size.vae, "text_encoder": FULL_TEXT_CONFIG}
    for part, config in configs.items():
        write_bytes(base / part / "config.json", json.dumps(config).encode())
    write_bytes(base / "scheduler" / "scheduler_config.json", json.dumps(_SCHEDULER).encode())
    generator = torch.Generator(device).manual_seed(seed)
    _write(base / "vae" / f"{WEIGHT_STEMS['vae']}.safetensors", size.vae_shapes, generator)
    _write(folder / pass_name(1), size.pass_shapes, generator)


def _write(path: Path, shapes: Shapes, generator: torch.Generator) -> None:
    def blocks(name: str) -> Iterator[Bytes]:
        drawn = _drawn(name, shapes[name], generator).to(torch.bfloat16)
        yield drawn.flatten().cpu().view(torch.int16).numpy().data

    write_tensors(path, shapes, "BF16", blocks)


def _drawn(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Vectors that scale lie near 1, and matrices give about half of the deviation that they are given."""
    noise = torch.randn(shape, generator=generator, device=generator.device)
    if len(shape) == 1:
        return 0.02 * noise + float(name.endswith(("weight", "conv_y.conv.bias")))
    return noise * (0.5 / math.sqrt(math.prod(shape[1:])))
