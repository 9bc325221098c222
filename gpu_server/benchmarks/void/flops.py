"""Floating-point operations of the model's parts, counted by torch from shapes alone: nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from gpu_server.benchmarks.void.options import Size
from gpu_server.engines.void.checkpoint.layout import resolve
from gpu_server.engines.void.checkpoint.loading import empty_transformer
from gpu_server.engines.void.checkpoint.tensor_shapes import Config
from gpu_server.engines.void.denoise import PlainDenoiser, rotary
from gpu_server.engines.void.latent_geometry import LATENT_CHANNELS, latent_count, latent_shape, padded_length
from gpu_server.engines.void.latent_windows import equal_windows
from gpu_server.engines.void.precision.attention import VoidAttention, attention_kernel
from gpu_server.engines.void.vae import decode, encode

_META = torch.device("meta")
_PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.addmm)
_TIMESTEP = 500


@dataclass(frozen=True)
class StepFlop:
    """Operations of one step over a whole shot without guidance.

    Attributes:
        products: operations of the linear layers.
        attention: operations of the two products of attention.
    """

    products: float
    attention: float

    @property
    def total(self) -> float:
        """All operations."""
        return self.products + self.attention


@dataclass(frozen=True)
class VaeFlop:
    """Operations of the VAE over a whole shot."""

    encode: float
    decode: float


def step_flop(config: Config, canvas: Size, frames: int) -> StepFlop:
    """Count the operations of one step.

    Args:
        config: the transformer's config.json.
        canvas: height and width in pixels.
        frames: frames of the shot, before it is padded.
    """
    windows = equal_windows(latent_count(padded_length(frames)))
    model = empty_transformer(config)
    model.set_attn_processor(VoidAttention(attention_kernel("sdpa").product))
    count, (height, width) = windows[0].count, latent_shape(canvas)
    hidden = torch.empty(1, count, 3 * LATENT_CHANNELS, height, width, device=_META)
    embeds = torch.empty(1, config["max_text_seq_length"], config["text_embed_dim"], device=_META)
    positions = rotary(config["attention_head_dim"], count // 2, height // 2, width // 2, _META)
    with FlopCounterMode(display=False) as counter:
        PlainDenoiser(model)(hidden, embeds, _TIMESTEP, positions)
    counts = counter.get_flop_counts()["Global"]
    products = sum(counts.get(operation, 0) for operation in _PRODUCTS)
    return StepFlop(len(windows) * products, len(windows) * (counter.get_total_flops() - products))


def encode_flop(config: Config, canvas: Size, frames: int) -> float:
    """Count the operations of encoding a shot.

    Args:
        config: the VAE's config.json.
        canvas: height and width in pixels.
        frames: frames of the shot, before it is padded.
    """
    count = padded_length(frames)
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        clip = torch.empty(1, 3, count, *canvas)
        encode(_vae(config), lambda start, stop: clip[:, :, start:stop], count)
    return counter.get_total_flops()


def decode_flop(config: Config, canvas: Size, frames: int) -> float:
    """Count the operations of decoding a shot. Arguments are those of `encode_flop`."""
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        latents = torch.empty(1, latent_count(padded_length(frames)), LATENT_CHANNELS, *latent_shape(canvas))
        for _ in decode(_vae(config), latents):
            pass
    return counter.get_total_flops()


def _vae(config: Config) -> AutoencoderKLCogVideoX:
    """Return a VAE for counting; within `FakeTensorMode` it takes no memory."""
    return AutoencoderKLCogVideoX.from_config(config).requires_grad_(False).eval()


def flop_of(models: Path, canvas: Size, frames: int) -> tuple[StepFlop, VaeFlop]:
    """Count the operations of the models in a folder.

    Args:
        models: the models folder.
        canvas: height and width in pixels.
        frames: frames of the shot, before it is padded.

    Raises:
        UnreadableFile: a configuration is missing or damaged.
    """
    layout = resolve(models)
    return (
        step_flop(layout.config("transformer"), canvas, frames),
        VaeFlop(*(count(layout.config("vae"), canvas, frames) for count in (encode_flop, decode_flop))),
    )
