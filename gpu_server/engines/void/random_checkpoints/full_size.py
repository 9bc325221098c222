"""Random weights for measuring the model, of the published size or tiny, in BF16.

One block of noise is drawn and copied to every matrix, starting at a different offset each time, so that 5.6 billion
weights are written in seconds. Norm weights are near 1, and matrices keep about the variance of their input: the
values stay finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpu_server.engines.void.checkpoint.layout import BASE_NAME, VOID_CHANNELS, WEIGHT_STEMS, pass_name
from gpu_server.engines.void.checkpoint.tensor_shapes import (
    FULL_CONFIG,
    FULL_TEXT_CONFIG,
    FULL_VAE_CONFIG,
    SCHEDULER_CONFIG,
    Config,
    Shapes,
    text_encoder_shapes,
    transformer_shapes,
    vae_shapes,
)
from gpu_server.engines.void.random_checkpoints.configs import TRANSFORMER, VAE, as_json, is_scale
from gpu_server.engines.void.random_checkpoints.safetensors_writer import Bytes, encoded, file_bytes, write_tensors
from gpu_server.engines.void.random_checkpoints.tokenizer import write_tokenizer
from void_bridge.atomic import write_bytes

_BLOCK_VALUES = 1 << 24
_STRIDE = 7_368_787  # prime: two tensors of a shape start at different offsets
_STD = 0.02


@dataclass(frozen=True)
class RandomModel:
    """A transformer of pass 1 and a VAE with random weights: all that a denoising step and the VAE need.

    Attributes:
        name: how the benchmark page names it.
        transformer: the transformer's config.json.
        vae: the VAE's config.json.
    """

    name: str
    transformer: Config
    vae: Config

    @property
    def files(self) -> dict[str, Shapes]:
        """The tensors of each weight file, by the file's path in the models folder."""
        vae_file = f"{BASE_NAME}/vae/{WEIGHT_STEMS['vae']}.safetensors"
        return {vae_file: vae_shapes(self.vae), pass_name(1): transformer_shapes(self.transformer, VOID_CHANNELS)}

    @property
    def bytes(self) -> int:
        """The size of the weight files, in bytes."""
        return sum(file_bytes(shapes, "BF16") for shapes in self.files.values())

    def write(self, folder: Path, seed: int = 0) -> None:
        """Write the weights and the configurations of all parts into a models folder.

        Args:
            folder: the models folder.
            seed: the same seed gives the same bytes.

        Raises:
            DiskFull: the disk has no room for the named file.
            OutputError: the named file cannot be written.
        """
        base = folder / BASE_NAME
        configs = {"transformer": self.transformer, "vae": self.vae, "text_encoder": FULL_TEXT_CONFIG}
        for part, config in configs.items():
            write_bytes(base / part / "config.json", as_json(config))
        write_bytes(base / "scheduler" / "scheduler_config.json", as_json(SCHEDULER_CONFIG))
        for name, shapes in self.files.items():
            write_random(folder / name, shapes, seed)


FULL = RandomModel("random weights of the published size", FULL_CONFIG, FULL_VAE_CONFIG)
TINY = RandomModel("tiny random weights (2 layers of 2 heads)", TRANSFORMER, VAE)


def write_prompt_encoder(folder: Path, seed: int = 0) -> None:
    """Write a text encoder of the published size, 9.5 GB, and a tokenizer: what a job needs beside `FULL`.

    Args:
        folder: the models folder.
        seed: the same seed gives the same bytes.

    Raises:
        UsageError: sentencepiece is not installed.
        DiskFull: the disk has no room for the named file.
        OutputError: the named file cannot be written.
    """
    base = folder / BASE_NAME
    weights = base / "text_encoder" / f"{WEIGHT_STEMS['text_encoder']}.safetensors"
    write_random(weights, text_encoder_shapes(FULL_TEXT_CONFIG), seed)
    write_tokenizer(base / "tokenizer")


def write_random(path: Path, shapes: Shapes, seed: int) -> None:
    """Write a BF16 safetensors file of random tensors.

    Args:
        path: the file.
        shapes: the shape of each tensor, by its name.
        seed: the same seed gives the same bytes.

    Raises:
        DiskFull: the disk has no room for `path`.
        OutputError: `path` cannot be written.
    """
    noise = np.float32(_STD) * np.random.default_rng(seed).standard_normal(_BLOCK_VALUES, np.float32)
    block = np.frombuffer(encoded(noise, "BF16"), np.uint16)
    order = {name: i for i, name in enumerate(shapes)}

    def blocks(name: str) -> Iterator[Bytes]:
        shape = shapes[name]
        start, left = order[name] * _STRIDE % _BLOCK_VALUES, math.prod(shape)
        if len(shape) == 1:
            start %= _BLOCK_VALUES - left
            yield encoded(noise[start : start + left] + np.float32(is_scale(name)), "BF16")
            return
        while left:
            run = block[start : start + left]
            yield run.data
            start, left = 0, left - len(run)

    write_tensors(path, shapes, "BF16", blocks)
