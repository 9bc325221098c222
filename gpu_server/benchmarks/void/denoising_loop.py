"""The cost of the denoising loop over that of the model's own calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from gpu_server.engines.void.checkpoint.loading import load_scheduler, load_transformer
from gpu_server.engines.void.denoise import DenoiseSettings, Guidance, PlainDenoiser, denoise, rotary
from gpu_server.engines.void.latent_geometry import LATENT_CHANNELS
from gpu_server.engines.void.latent_windows import equal_windows
from gpu_server.engines.void.planner.spec import read_spec

LATENTS = (22, 48, 84)


def loop_ratios(models: Path, pairs: int, steps: int = 2, shape: tuple[int, int, int] = LATENTS) -> list[float]:
    """Return the seconds of the loop over those of its model calls alone, on the CPU in float32, for each pair.

    The two run in alternating order; a pair before the first is not counted.

    Args:
        models: the models folder.
        pairs: number of pairs.
        steps: denoising steps of the loop.
        shape: count, height and width of the latents.
    """
    whole, bare = _loop_and_calls(models, steps, shape)
    ratios = []
    for pair in range(pairs + 1):
        ordered = (whole, bare) if pair % 2 else (bare, whole)
        seconds = {work: _timed(work) for work in ordered}
        ratios.append(seconds[whole] / seconds[bare])
    return ratios[1:]


def _loop_and_calls(
    models: Path, steps: int, shape: tuple[int, int, int]
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return functions that run the loop, and the same calls of the model."""
    count, height, width = shape
    sizes, scheduler = read_spec(models).transformer, load_scheduler(models)
    model = PlainDenoiser(load_transformer(models, 1, lambda _, tensor: tensor.float()))
    draw = torch.Generator().manual_seed(1)
    latents = torch.randn(1, count, LATENT_CHANNELS, height, width, generator=draw)
    conditioning = torch.randn(1, count, 2 * LATENT_CHANNELS, height, width, generator=draw)
    embeds = torch.randn(1, sizes.text_tokens, sizes.text_width, generator=draw)
    loop = DenoiseSettings(1, steps, equal_windows(count), sizes.head_size)
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps.tolist()
    hidden = torch.cat([latents, conditioning], dim=2)
    positions = rotary(sizes.head_size, count // 2, height // 2, width // 2, hidden.device)
    return (
        lambda: denoise(model, scheduler, latents, conditioning, Guidance(embeds), loop),
        lambda: [model(hidden, embeds, timestep, positions) for timestep in timesteps],
    )


def _timed(work: Callable[[], object]) -> float:
    """Return the seconds that a function takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
