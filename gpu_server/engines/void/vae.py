"""Frames to latents and back, through diffusers' CogVideoX autoencoder, a few frames at a time.

The autoencoder is causal in time: what it keeps of the frames before lies in a cache of its convolutions, which is
carried from chunk to chunk here, so that a shot of any length needs the memory of one chunk. Its group norms look at
all of a chunk; the chunks are therefore those of the reference, and any others give other numbers.

One thread at a time may use a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Optional

import torch
from diffusers import AutoencoderKLCogVideoX
from diffusers.models.upsampling import CogVideoXUpsample3D
from torch import Tensor, nn

from gpu_server.engines.void.bands import in_bands
from gpu_server.engines.void.lengths import FRAMES_A_LATENT

Frames = Callable[[int, int], Tensor]
"""Frames start..stop-1: shape [1, 3, stop - start, H, W]."""
Cache = Optional[dict[str, Any]]
Stage = Callable[[AutoencoderKLCogVideoX, Tensor, Cache], tuple[Tensor, Cache]]


@dataclass(frozen=True)
class Saving:
    """What is done for memory. The default does nothing.

    rows: a layer runs over bands of so many rows of its own resolution, and frame by frame, which takes less than half
        of the memory and gives the same numbers; see `bands`. None: whole.
    parked: with `rows`, what the convolutions keep of the chunk before waits in the machine's memory.
    latents_at_once: 2; or 1, which takes about half of the memory and gives other numbers: the group norms see less.
    """

    rows: int | None = None
    parked: bool = False
    latents_at_once: int = 2


WHOLE = Saving()


def encode(vae: AutoencoderKLCogVideoX, frames: Frames, count: int, saving: Saving = WHOLE) -> Tensor:
    """Latents of a shot: the mode of the distribution, scaled.

    Args:
        frames: asked for one chunk after the other, each frame once; in [-1, 1], values beyond are not clipped.
        count: frames of the shot, 1 + 4 n.

    Returns:
        Shape [1, 1 + n, 16, H/8, W/8], float32, on the CPU.
    """
    cache: Cache = None
    parts = []
    for start, stop in encode_chunks(count, saving.latents_at_once):
        part, cache = _run(vae, _encoded, frames(start, stop), cache, saving)
        parts.append(part * vae.config.scaling_factor)
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous()


def decode(vae: AutoencoderKLCogVideoX, latents: Tensor, saving: Saving = WHOLE) -> Iterator[Tensor]:
    """Frames of a shot, in order and in chunks: one frame of the first latent, then those of two latents at a time.

    diffusers' own `decode` pairs from the first latent on, which gives 4 t frames of other values.

    Args:
        latents: shape [1, t, 16, h, w], scaled.

    Yields:
        Shape [1, 3, n, 8 h, 8 w], float32, on the CPU, unclipped; 1 + 4 (t - 1) frames in all.
    """
    cache: Cache = None
    for start, stop in decode_chunks(latents.shape[1], saving.latents_at_once):
        chunk = latents[:, start:stop].transpose(1, 2).float() / vae.config.scaling_factor
        with _one_latent_is_four_frames(vae.decoder) if start else nullcontext():
            frames, cache = _run(vae, _decoded, chunk, cache, saving)
        yield frames


def encode_chunks(count: int, latents_at_once: int = 2) -> list[tuple[int, int]]:
    """The first chunk also takes what does not divide by eight, as in diffusers.

    >>> encode_chunks(21), encode_chunks(5), encode_chunks(9, 1)
    ([(0, 13), (13, 21)], [(0, 5)], [(0, 5), (5, 9)])
    """
    size = FRAMES_A_LATENT * latents_at_once
    first = count if count < size else size + count % size
    return [(0, first), *((start, start + size) for start in range(first, count, size))]


def decode_chunks(latents: int, latents_at_once: int = 2) -> list[tuple[int, int]]:
    """
    >>> decode_chunks(6)
    [(0, 1), (1, 3), (3, 5), (5, 6)]
    """
    return [(0, 1), *((i, min(i + latents_at_once, latents)) for i in range(1, latents, latents_at_once))]


@torch.no_grad()
def _run(
    vae: AutoencoderKLCogVideoX, stage: Stage, chunk: Tensor, cache: Cache, saving: Saving
) -> tuple[Tensor, Cache]:
    with in_bands(vae, saving.rows, saving.parked) if saving.rows else nullcontext():
        made, cache = stage(vae, chunk.to(vae.device, vae.dtype), cache)
    return made.float().cpu(), cache


def _encoded(vae: AutoencoderKLCogVideoX, chunk: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
    """Mean of the distribution, which is its mode. Shape [1, 16, t, h, w]."""
    moments, cache = vae.encoder(chunk, conv_cache=cache)
    if vae.quant_conv is not None:
        moments = vae.quant_conv(moments)
    return moments.chunk(2, dim=1)[0], cache


def _decoded(vae: AutoencoderKLCogVideoX, chunk: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
    if vae.post_quant_conv is not None:
        chunk = vae.post_quant_conv(chunk)
    return vae.decoder(chunk, conv_cache=cache)


@contextmanager
def _one_latent_is_four_frames(decoder: nn.Module) -> Iterator[None]:
    """diffusers takes a latent that comes alone for the first one, and makes one frame of it."""
    hooks = [
        module.register_forward_hook(_doubled)
        for module in decoder.modules()
        if isinstance(module, CogVideoXUpsample3D) and module.compress_time
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _doubled(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output.repeat_interleave(2, dim=2) if inputs[0].shape[2] == 1 else output
