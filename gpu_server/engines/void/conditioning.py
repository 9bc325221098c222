"""Conditioning of the model: the quadmask and the whole plate as latents.

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
    """Encode the quadmask.

    Args:
        vae: the autoencoder.
        quadmasks: called for one chunk of frames after the other.
        count: number of frames of the shot, 1 + 4 n.
        levels: see `mask_frames`.
        saving: how the autoencoder saves memory.

    Returns:
        Shape [1, 1 + n, 16, h, w], float32, on the CPU.
    """
    return encode(vae, lambda start, stop: mask_frames(quadmasks(start, stop), levels), count, saving)


def encode_plate(
    vae: AutoencoderKLCogVideoX,
    frames: Frames,
    noise: Frames,
    count: int,
    sigma: float = NOISE_SIGMA,
    saving: MemorySaving = NO_SAVING,
) -> Tensor:
    """Encode the whole plate with a little noise; the object is not blanked.

    Args:
        vae: the autoencoder.
        frames: called for one chunk of frames after the other; in [-1, 1], values beyond are not clipped.
        noise: standard normal draws of the same shape as the frames; see `noise.plate_noise`.
        count: number of frames of the shot, 1 + 4 n.
        sigma: standard deviation of the noise that is added.
        saving: how the autoencoder saves memory.

    Returns:
        Shape [1, 1 + n, 16, h, w], float32, on the CPU.
    """
    return encode(vae, lambda a, b: add_noise(frames(a, b), noise(a, b), sigma), count, saving)


def conditioning_latents(mask: Tensor, plate: Tensor) -> Tensor:
    """Return the model's input channels after the 16 of noise: mask, then plate. Shape [1, t, 32, h, w]."""
    return torch.cat([mask, plate], dim=2)


def mask_frames(quadmasks: NDArray[np.uint8], levels: MaskLevels) -> Tensor:
    """Convert quadmasks to the frames that the autoencoder is given.

    Args:
        quadmasks: shape [n, H, W]; 0 object, 63 overlap, 127 affected, 255 keep.
        levels: "three" gives 0 for object and overlap, 0.502 for affected, 1 for keep; with "two" affected counts as
            object.

    Returns:
        Shape [1, 3, n, H, W], float32, in [0, 1] and not in [-1, 1]: so does the reference.
    """
    table = np.ones(256, np.float32)
    table[: _AFFECTED_UP_TO + 1] = _AFFECTED if levels == "three" else 0
    table[: _OVERLAP_UP_TO + 1] = 0
    frames = torch.from_numpy(table[quadmasks])
    return frames.expand(1, 3, *frames.shape)


def add_noise(frames: Tensor, noise: Tensor, sigma: float = NOISE_SIGMA) -> Tensor:
    """Add noise wherever a value is not exactly -1; the reference takes that value for blanked pixels.

    Args:
        frames: shape [1, 3, n, H, W], in [-1, 1] and beyond.
        noise: standard normal draws of the same shape.
        sigma: standard deviation of the noise that is added.

    Returns:
        Shape of `frames`.
    """
    return torch.where(frames == -1, frames, frames + noise * sigma)
