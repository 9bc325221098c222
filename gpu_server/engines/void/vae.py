"""Encoding and decoding with diffusers' CogVideoX autoencoder, a few frames at a time.

The autoencoder is causal in time. Its convolutions cache the last frames of a chunk; the cache is carried from chunk to
chunk here, so that a shot of any length needs the memory of one chunk. Its group norms take in a whole chunk: other
chunks than the reference's would give other values.

A model must be used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Optional

import torch
from diffusers import AutoencoderKLCogVideoX
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXSpatialNorm3D
from diffusers.models.upsampling import CogVideoXUpsample3D
from torch import Tensor, nn

from gpu_server.engines.void.async_copy import send_to_device, stream_to_host
from gpu_server.engines.void.bands import in_bands
from gpu_server.engines.void.latent_geometry import FRAMES_A_LATENT

Frames = Callable[[int, int], Tensor]
"""Frames start..stop-1: shape [1, 3, stop - start, H, W], float32."""
Cache = Optional[dict[str, Any]]
Stage = Callable[[AutoencoderKLCogVideoX, Tensor, Cache], tuple[Tensor, Cache]]
Hook = Callable[..., Any]


@dataclass(frozen=True)
class MemorySaving:
    """The ways in which the autoencoder saves memory. The default saves none.

    Attributes:
        rows: layers run over bands of so many rows of their own resolution, and frame by frame. This takes less than
            half of the memory and gives the same values; see `bands`. None means whole frames.
        parked: with `rows`, the cached frames of the convolutions wait in host memory.
        latents_at_once: 2 as in the reference; 1 takes about half of the memory and gives other values, because the
            group norms take in less.
    """

    rows: int | None = None
    parked: bool = False
    latents_at_once: int = 2


NO_SAVING = MemorySaving()


def encode(vae: AutoencoderKLCogVideoX, frames: Frames, count: int, saving: MemorySaving = NO_SAVING) -> Tensor:
    """Encode a shot to the mode of its latent distribution, scaled.

    Args:
        vae: the autoencoder, on any device.
        frames: called for one chunk after the other, for each frame once; in [-1, 1], values beyond are not clipped.
        count: number of frames of the shot, 1 + 4 n.
        saving: how memory is saved.

    Returns:
        Shape [1, 1 + n, 16, H/8, W/8], float32, on the CPU.
    """
    chunks = (frames(start, stop) for start, stop in encode_chunks(count, saving.latents_at_once))
    parts = list(stream_to_host(_through(vae, _encoded, chunks, saving)))
    return (torch.cat(parts, dim=2) * vae.config.scaling_factor).transpose(1, 2).contiguous()


def decode(vae: AutoencoderKLCogVideoX, latents: Tensor, saving: MemorySaving = NO_SAVING) -> Iterator[Tensor]:
    """Decode a shot in chunks: the first latent alone, which is one frame, then two latents at a time.

    diffusers' own `decode` takes latents in pairs from the first on, which gives 4 t frames of other values.

    Args:
        vae: the autoencoder, on any device.
        latents: shape [1, t, 16, h, w], scaled.
        saving: how memory is saved.

    Yields:
        Frames in order, shape [1, 3, n, 8 h, 8 w], float32, on the CPU, black -1, white 1, unclipped; 1 + 4 (t - 1)
        frames in all.
    """
    whole = latents.transpose(1, 2).float() / vae.config.scaling_factor
    chunks = (whole[:, :, start:stop] for start, stop in decode_chunks(latents.shape[1], saving.latents_at_once))
    return stream_to_host(_through(vae, _decoded, chunks, saving))


def encode_chunks(count: int, latents_at_once: int = 2) -> list[tuple[int, int]]:
    """Return the first and last-plus-one frames of each chunk; the first chunk takes the remainder, as in diffusers.

    >>> encode_chunks(21), encode_chunks(5), encode_chunks(9, 1)
    ([(0, 13), (13, 21)], [(0, 5)], [(0, 5), (5, 9)])
    """
    size = FRAMES_A_LATENT * latents_at_once
    first = count if count < size else size + count % size
    return [(0, first), *((start, start + size) for start in range(first, count, size))]


def decode_chunks(latents: int, latents_at_once: int = 2) -> list[tuple[int, int]]:
    """Return the first and last-plus-one latents of each chunk.

    >>> decode_chunks(6)
    [(0, 1), (1, 3), (3, 5), (5, 6)]
    """
    return [(0, 1), *((i, min(i + latents_at_once, latents)) for i in range(1, latents, latents_at_once))]


def _through(
    vae: AutoencoderKLCogVideoX, stage: Stage, chunks: Iterable[Tensor], saving: MemorySaving
) -> Iterator[Tensor]:
    """Run one chunk after the other through the encoder or the decoder; yield float32 on the model's device."""
    cache: Cache = None
    for index, chunk in enumerate(chunks):
        with adapted(vae, saving, first=index == 0), torch.no_grad():
            result, cache = stage(vae, send_to_device(chunk, vae.device, vae.dtype), cache)
        yield result.float()


def _encoded(vae: AutoencoderKLCogVideoX, chunk: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
    """Return the mean of the distribution, which is its mode. Shape [1, 16, t, h, w]."""
    moments, cache = vae.encoder(chunk, conv_cache=cache)
    if vae.quant_conv is not None:
        moments = vae.quant_conv(moments)
    return moments.chunk(2, dim=1)[0], cache


def _decoded(vae: AutoencoderKLCogVideoX, chunk: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
    if vae.post_quant_conv is not None:
        chunk = vae.post_quant_conv(chunk)
    return vae.decoder(chunk, conv_cache=cache)


@contextmanager
def adapted(vae: AutoencoderKLCogVideoX, saving: MemorySaving, first: bool) -> Iterator[None]:
    """Adapt diffusers' layers to the first chunk of a shot or to a later one, while the context lasts."""
    hooks = _FIRST if first else _LATER
    handles = [
        module.register_forward_hook(hook)
        for module in vae.modules()
        for kind, hook in hooks.items()
        if isinstance(module, kind)
    ]
    try:
        with in_bands(vae, saving.rows, saving.parked) if saving.rows else nullcontext():
            yield
    finally:
        for handle in handles:
            handle.remove()


def _drop_cache(module: nn.Module, inputs: tuple[Tensor, ...], output: tuple[Tensor, Any]) -> tuple[Tensor, Cache]:
    """Drop the frames that diffusers caches for 1x1 convolutions, which use no frame but their own."""
    return output[0], {}


def _double_in_time(module: CogVideoXUpsample3D, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Double a single latent in time; diffusers takes it for the first of a shot and makes one frame of it."""
    alone = module.compress_time and inputs[0].shape[2] == 1
    return output.repeat_interleave(2, dim=2) if alone else output


_FIRST: dict[type[nn.Module], Hook] = {CogVideoXSpatialNorm3D: _drop_cache}
_LATER: dict[type[nn.Module], Hook] = {**_FIRST, CogVideoXUpsample3D: _double_in_time}
"""Forward hooks on diffusers' layers, for the first chunk of a shot and for all others."""
