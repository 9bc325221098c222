"""Configurations of random checkpoints: the published ones, made small."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gpu_server.engines.void.checkpoint.tensor_shapes import FULL_CONFIG, FULL_TEXT_CONFIG, FULL_VAE_CONFIG, Config

VOCABULARY = 256
"""Pieces of the tokenizer."""
TRANSFORMER: Config = {
    **FULL_CONFIG,
    "num_attention_heads": 2,
    "num_layers": 2,
    "text_embed_dim": 24,
    "time_embed_dim": 32,
}
VAE: Config = {
    **FULL_VAE_CONFIG,
    "block_out_channels": [8, 8, 16, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
TEXT_ENCODER: Config = {
    **FULL_TEXT_CONFIG,
    "d_ff": 48,
    "d_kv": 8,
    "d_model": 24,
    "num_heads": 3,
    "num_layers": 1,
    "vocab_size": VOCABULARY,
}


def as_json(values: Mapping[str, Any]) -> bytes:
    """Return a configuration as its file holds it."""
    return (json.dumps(values, indent=2) + "\n").encode()


def is_scale(name: str) -> bool:
    """Return whether a vector scales its input: a norm's weight, or the bias of a scale that the latents steer."""
    return name.endswith(("weight", "conv_y.conv.bias"))
