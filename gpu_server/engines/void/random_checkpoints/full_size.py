"""Models of the published size and random weights, for measuring: from files, or straight on a device.

One block of noise is drawn and laid over every tensor, each from another place of it, so that 5.6 billion weights take
seconds. Vectors that scale are near 1, and matrices keep about the variance that they are given: values stay finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpu_server.engines.base import rng
from gpu_server.engines.void.checkpoint.layout import BASE_NAME, VOID_CHANNELS, WEIGHT_STEMS, pass_name
from gpu_server.engines.void.checkpoint.tensor_shapes import (
    FULL_CONFIG,
    FULL_TEXT_CONFIG,
    FULL_VAE_CONFIG,
    Config,
    Shapes,
    text_encoder_shapes,
    transformer_shapes,
    vae_shapes,
)
from gpu_server.engines.void.random_checkpoints.safetensors_writer import Bytes, encoded, write_tensors
from gpu_server.engines.void.random_checkpoints.tiny import SCHEDULER, as_json, drawn
from gpu_server.engines.void.random_checkpoints.tokenizer import write_tokenizer
from void_bridge.atomic import write_bytes

if TYPE_CHECKING:
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
    from torch import Tensor

    from gpu_server.engines.void.checkpoint.loading import Module, Place

_BLOCK_VALUES = 1 << 24
_STRIDE = 7_368_787  # prime: two tensors of a shape start at different places
_STD = 0.02


def write_random_pass(folder: Path, number: int, seed: int = 0) -> Path:
    """Write `void_pass1.safetensors` or 2 at full size, 11.14 GB of BF16, in about as long as the disk takes.

    Raises:
        DiskFull, OutputError: naming the file.
    """
    path = folder / pass_name(number)
    write_random(path, transformer_shapes(FULL_CONFIG, VOID_CHANNELS), seed + number)
    return path


def write_random(path: Path, shapes: Shapes, seed: int) -> None:
    """Write a BF16 file of random tensors. Raises DiskFull, OutputError."""
    block = np.frombuffer(encoded(_block(seed), "BF16"), np.uint16)
    order = {name: i for i, name in enumerate(shapes)}

    def blocks(name: str) -> Iterator[Bytes]:
        shape = shapes[name]
        if len(shape) == 1:
            yield encoded(drawn(name, shape, seed, "random"), "BF16")
            return
        for _, start, count in _runs(math.prod(shape), order[name]):
            yield block[start : start + count].data

    write_tensors(path, shapes, "BF16", blocks)


def write_random_base(folder: Path, seed: int = 0) -> None:
    """Write what a pass needs beside it, at full size, 9.96 GB: all of the base but the transformer's own weights.

    Raises:
        UsageError: sentencepiece is not installed.
        DiskFull, OutputError: naming the file.
    """
    base = folder / BASE_NAME
    write_bytes(base / "transformer" / "config.json", as_json(FULL_CONFIG))
    for part, config, shapes in (
        ("vae", FULL_VAE_CONFIG, vae_shapes(FULL_VAE_CONFIG)),
        ("text_encoder", FULL_TEXT_CONFIG, text_encoder_shapes(FULL_TEXT_CONFIG)),
    ):
        write_bytes(base / part / "config.json", as_json(config))
        write_random(base / part / f"{WEIGHT_STEMS[part]}.safetensors", shapes, seed)
    write_bytes(base / "scheduler" / "scheduler_config.json", as_json(SCHEDULER))
    write_tokenizer(base / "tokenizer")


def random_transformer(
    place: Place, device: str = "cpu", seed: int = 0, config: Config = FULL_CONFIG
) -> CogVideoXTransformer3DModel:
    """A transformer of 48 channels with random weights, without a file.

    Args:
        place: gets each tensor's name and the tensor, BF16 on `device`, and returns what the model shall hold, as for
            `loading.load_transformer`.
    """
    from gpu_server.engines.void.checkpoint.loading import empty_transformer

    return _random(empty_transformer(config), transformer_shapes(config, VOID_CHANNELS), place, device, seed)


def random_vae(
    place: Place, device: str = "cpu", seed: int = 0, config: Config = FULL_VAE_CONFIG
) -> AutoencoderKLCogVideoX:
    """A video autoencoder with random weights. Arguments as for `random_transformer`."""
    from gpu_server.engines.void.checkpoint.loading import empty_vae

    return _random(empty_vae(config), vae_shapes(config), place, device, seed)


def _random(model: Module, shapes: Shapes, place: Place, device: str, seed: int) -> Module:
    import torch

    from gpu_server.engines.void.checkpoint.loading import filled

    block = torch.from_numpy(_block(seed)).to(device, torch.bfloat16)

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for order, (name, shape) in enumerate(shapes.items()):
            if len(shape) == 1:
                values = torch.from_numpy(drawn(name, shape, seed, "random")).to(device, torch.bfloat16)
            else:
                values = torch.empty(math.prod(shape), dtype=torch.bfloat16, device=device)
                for begin, start, count in _runs(len(values), order):
                    values[begin : begin + count] = block[start : start + count]
            yield name, place(name, values.view(shape))

    return filled(model, tensors(), Path("random weights"))


def _block(seed: int) -> np.ndarray:
    return np.float32(_STD) * rng(seed, "random weights").standard_normal(_BLOCK_VALUES, np.float32)


def _runs(count: int, order: int) -> Iterator[tuple[int, int, int]]:
    """Pieces of a tensor: where each begins, where it starts in the block, and how many values it has."""
    start, done = order * _STRIDE % _BLOCK_VALUES, 0
    while done < count:
        run = min(count - done, _BLOCK_VALUES - start)
        yield done, start, run
        done, start = done + run, 0
