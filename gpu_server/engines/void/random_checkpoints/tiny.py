"""A tiny random checkpoint in the published layout: the same seed gives the same bytes.

The weights are drawn so that the models stay tame: every layer keeps about the variance that it is given, and the
autoencoder's pictures lie about [-1, 1]. What it draws is noise; it is for tests and for trying the way of a job.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import rng
from gpu_server.engines.void.checkpoint.layout import VOID_CHANNELS, WEIGHT_STEMS, pass_name
from gpu_server.engines.void.checkpoint.tensor_shapes import (
    FULL_CONFIG,
    FULL_TEXT_CONFIG,
    FULL_VAE_CONFIG,
    Shapes,
    text_encoder_shapes,
    transformer_shapes,
    vae_shapes,
)
from gpu_server.engines.void.random_checkpoints.safetensors_writer import Stored, encoded, write_tensors
from gpu_server.engines.void.random_checkpoints.tokenizer import VOCABULARY, write_tokenizer
from void_bridge.atomic import write_bytes
from void_bridge.errors import OutputError, map_write_errors

_BASE_CHANNELS = 33

TRANSFORMER: dict[str, Any] = {
    **FULL_CONFIG,
    "num_attention_heads": 2,
    "num_layers": 2,
    "text_embed_dim": 24,
    "time_embed_dim": 32,
}
VAE: dict[str, Any] = {
    **FULL_VAE_CONFIG,
    "block_out_channels": [8, 8, 16, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
TEXT_ENCODER: dict[str, Any] = {
    **FULL_TEXT_CONFIG,
    "d_ff": 48,
    "d_kv": 8,
    "d_model": 24,
    "num_heads": 3,
    "num_layers": 1,
    "vocab_size": VOCABULARY,
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "CogVideoXDDIMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "snr_shift_scale": 1.0,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
    "trained_betas": None,
}


def write_tiny(folder: Path, seed: int = 0) -> None:
    """Write the base (33 channels) with its neighbours, and pass 1 and 2 (48 channels), about 6 MB.

    Raises:
        OutputError: the folder holds something, or cannot be written.
    """
    with map_write_errors(folder):
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty; name a new or empty folder for the tiny checkpoint")
    _write_part(folder, "transformer", TRANSFORMER, transformer_shapes(TRANSFORMER, _BASE_CHANNELS), seed)
    _write_part(folder, "vae", VAE, vae_shapes(VAE), seed)
    _write_part(folder, "text_encoder", TEXT_ENCODER, text_encoder_shapes(TEXT_ENCODER), seed)
    write_bytes(folder / "scheduler" / "scheduler_config.json", as_json(SCHEDULER))
    write_tokenizer(folder / "tokenizer")
    shapes = transformer_shapes(TRANSFORMER, VOID_CHANNELS)
    for number in (1, 2):
        _write_random(folder / pass_name(number), shapes, "BF16", seed, f"pass {number}")


def as_json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()


def drawn(name: str, shape: tuple[int, ...], seed: int, part: str) -> NDArray[np.float32]:
    """The values of one tensor. Shape `shape`."""
    noise = rng(seed, "tiny checkpoint", part, name).standard_normal(shape, np.float32)
    if len(shape) == 1:
        return np.float32(0.02) * noise + np.float32(_is_scale(name))
    if name == "shared.weight":
        return noise
    return noise * np.float32(_gain(name) / math.sqrt(math.prod(shape[1:])))


def _write_part(folder: Path, part: str, config: dict[str, Any], shapes: Shapes, seed: int) -> None:
    write_bytes(folder / part / "config.json", as_json(config))
    _write_random(folder / part / f"{WEIGHT_STEMS[part]}.safetensors", shapes, "F32", seed, part)


def _write_random(path: Path, shapes: Shapes, dtype: Stored, seed: int, part: str) -> None:
    write_tensors(path, shapes, dtype, lambda name: [encoded(drawn(name, shapes[name], seed, part), dtype)])


def _is_scale(name: str) -> bool:
    """Whether a vector multiplies what passes: the weight of a norm, or the bias of one that the latents steer."""
    return name.endswith(("weight", "conv_y.conv.bias"))


def _gain(name: str) -> float:
    """Modulations stay small against what they modulate; pictures within their range."""
    small = ("conv_y", "conv_b", ".linear.", "relative_attention_bias", "decoder.conv_out")
    return 0.3 if any(part in name for part in small) else 1.0
