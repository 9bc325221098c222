"""A tiny random checkpoint in the published layout: the same seed gives the same bytes.

The weights are drawn so that every layer keeps about the variance of its input and the VAE's pictures are about
[-1, 1]. The result of a job is noise: the checkpoint is for tests and for trying a job without the published weights.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import rng
from gpu_server.engines.void.checkpoint.layout import VOID_CHANNELS, WEIGHT_STEMS, pass_name
from gpu_server.engines.void.checkpoint.tensor_shapes import (
    SCHEDULER_CONFIG,
    Shapes,
    text_encoder_shapes,
    transformer_shapes,
    vae_shapes,
)
from gpu_server.engines.void.random_checkpoints.configs import (
    TEXT_ENCODER,
    TRANSFORMER,
    VAE,
    as_json,
    is_scale,
)
from gpu_server.engines.void.random_checkpoints.safetensors_writer import Stored, encoded, write_tensors
from gpu_server.engines.void.random_checkpoints.tokenizer import write_tokenizer
from void_bridge.atomic import write_bytes
from void_bridge.errors import OutputError, map_write_errors

_BASE_CHANNELS = 33
_SMALL_GAIN = ("conv_y", "conv_b", ".linear.", "relative_attention_bias", "decoder.conv_out")
"""Matrices that keep modulations small against what they modulate, and the VAE's pictures within their range."""


def write_tiny(folder: Path, seed: int = 0) -> None:
    """Write the base (33 channels) with its neighbours, and pass 1 and 2 (48 channels), about 6 MB.

    Args:
        folder: a new or empty folder.
        seed: the same seed gives the same bytes.

    Raises:
        OutputError: the folder holds something, or cannot be written.
        UsageError: sentencepiece is not installed.
    """
    with map_write_errors(folder):
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty; name a new or empty folder for the tiny checkpoint")
    parts = {
        "transformer": (TRANSFORMER, transformer_shapes(TRANSFORMER, _BASE_CHANNELS)),
        "vae": (VAE, vae_shapes(VAE)),
        "text_encoder": (TEXT_ENCODER, text_encoder_shapes(TEXT_ENCODER)),
    }
    for part, (config, shapes) in parts.items():
        write_bytes(folder / part / "config.json", as_json(config))
        _write_weights(folder / part / f"{WEIGHT_STEMS[part]}.safetensors", shapes, "F32", seed, part)
    write_bytes(folder / "scheduler" / "scheduler_config.json", as_json(SCHEDULER_CONFIG))
    write_tokenizer(folder / "tokenizer")
    shapes = transformer_shapes(TRANSFORMER, VOID_CHANNELS)
    for number in (1, 2):
        _write_weights(folder / pass_name(number), shapes, "BF16", seed, f"pass {number}")


def draw_tensor(name: str, shape: tuple[int, ...], seed: int, part: str) -> NDArray[np.float32]:
    """Draw the values of one tensor.

    Args:
        name: the tensor's published name, which decides the range of its values.
        shape: its shape.
        seed: the checkpoint's seed.
        part: the part that holds it; equal names in two parts get different values.

    Returns:
        Shape `shape`, float32.
    """
    noise = rng(seed, "tiny checkpoint", part, name).standard_normal(shape, np.float32)
    if len(shape) == 1:
        return np.float32(0.02) * noise + np.float32(is_scale(name))
    if name == "shared.weight":
        return noise
    gain = 0.3 if any(small in name for small in _SMALL_GAIN) else 1.0
    return noise * np.float32(gain / math.sqrt(math.prod(shape[1:])))


def _write_weights(path: Path, shapes: Shapes, dtype: Stored, seed: int, part: str) -> None:
    """Write a weight file of one part."""
    write_tensors(path, shapes, dtype, lambda name: [encoded(draw_tensor(name, shapes[name], seed, part), dtype)])
