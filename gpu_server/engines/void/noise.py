"""The noise that denoising starts from and that the plate is conditioned with.

Each frame or latent has draws of its own, so that they are the same on every device and in every window.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gpu_server.engines.base import rng
from gpu_server.engines.void.latent_geometry import LATENT_CHANNELS


def initial_latents(seed: int, count: int, size: tuple[int, int]) -> Tensor:
    """Return standard normal draws to start pass 1 from.

    Args:
        seed: of the job.
        count: number of latents of the shot.
        size: height and width in latents.

    Returns:
        Shape [1, count, 16, h, w], float32, on the CPU.
    """
    return torch.from_numpy(_draws(seed, "latent", range(count), (LATENT_CHANNELS, *size)))[None]


def plate_noise(seed: int, start: int, stop: int, size: tuple[int, int]) -> Tensor:
    """Return standard normal draws for frames start..stop-1 of the plate.

    Args:
        seed: of the job.
        start: the first frame.
        stop: one past the last frame.
        size: height and width in pixels.

    Returns:
        Shape [1, 3, stop - start, H, W], float32, on the CPU.
    """
    draws = _draws(seed, "plate", range(start, stop), (3, *size))
    return torch.from_numpy(draws).transpose(0, 1)[None]


def _draws(seed: int, purpose: str, indices: range, shape: tuple[int, ...]) -> np.ndarray:
    drawn = np.empty((len(indices), *shape), np.float32)
    for slot, index in zip(drawn, indices, strict=True):
        rng(seed, "void", purpose, index).standard_normal(dtype=np.float32, out=slot)
    return drawn
