"""What the model is told about the shot: the quadmask and the whole plate, both as latents.

Both are encoded over the whole shot and then cut into windows. Source: the reference (Netflix/void-model), its pipeline
with the options `use_vae_mask` and `use_trimask`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from numpy.typing import NDArray
from torch import Tensor

from gpu_server.engines.void.vae import NO_SAVING, Frames, MemorySaving, encode

MaskLevels = Literal["three", "two"]
Quadmasks = Callable[[int, int], NDArray[np.uint8]]
"""Quadmasks of frames start..stop-1: shape [stop - start, H, W]; 0 object, 63 overlap, 127 affected, 255 keep."""

NOISE_SIGMA = 0.0563
_OVERLAP_UP_TO, _AFFECTED_UP_TO = 95, 191
_AFFECTED = 128 / 255


def encode_mask(
    vae: AutoencoderKLCogVideoX, quadmasks: Quadmasks, count: int, levels: MaskLevels, saving: MemorySaving = NO_SAVING
) -> Tensor:
    """Latents of the quadmask over `count` frames. Shape [1, t, 16, h, w], float32, on the CPU."""
    return encode(vae, lambda start, stop: mask_frames(quadmasks(start, stop), levels), count, saving)


def encode_plate(
    vae: AutoencoderKLCogVideoX,
    frames: Frames,
    noise: Frames,
    count: int,
    sigma: float = NOISE_SIGMA,
    saving: MemorySaving = NO_SAVING,
) -> Tensor:
    """Latents of the plate, nothing blanked, after a little noise.

    Args:
        frames: in [-1, 1] and beyond. noise: standard normal draws of the same shape; see `noise.plate_noise`.

    Returns:
        Shape [1, t, 16, h, w], float32, on the CPU.
    """
    return encode(vae, lambda a, b: add_noise(frames(a, b), noise(a, b), sigma), count, saving)


def conditioning(mask: Tensor, plate: Tensor) -> Tensor:
    """What follows the 16 channels of noise: mask, then plate. Shape [1, t, 32, h, w]."""
    return torch.cat([mask, plate], dim=2)


def mask_frames(quadmasks: NDArray[np.uint8], levels: MaskLevels) -> Tensor:
    """What the autoencoder sees of quadmasks, shape [n, H, W]: shape [1, 3, n, H, W], in [0, 1] and not in [-1, 1].

    Three levels: 0 object and overlap, 0.502 affected, 1 keep. Two levels: affected counts as object.
    """
    seen = torch.from_numpy(_table(levels)[quadmasks])
    return seen.expand(1, 3, *seen.shape)


def add_noise(frames: Tensor, noise: Tensor, sigma: float = NOISE_SIGMA) -> Tensor:
    """Frames with noise wherever a value is not exactly -1, which stands for black that was put there."""
    return torch.where(frames == -1, frames, frames + noise * sigma)


def _table(levels: MaskLevels) -> NDArray[np.float32]:
    table = np.ones(256, np.float32)
    table[: _AFFECTED_UP_TO + 1] = _AFFECTED if levels == "three" else 0
    table[: _OVERLAP_UP_TO + 1] = 0
    return table
