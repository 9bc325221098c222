"""Floating-point operations of the VOID model's parts, counted by torch over shapes alone: nothing is computed."""

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
    """Of one step over a whole shot without guidance.

    products: of the linear layers. attention: of its two products.
    """

    products: float
    attention: float

    @property
    def total(self) -> float:
        return self.products + self.attention


@dataclass(frozen=True)
class CodingFlop:
    """Of the autoencoder over a whole shot."""

    encode: float
    decode: float


def step_flop(config: Config, canvas: Size, frames: int) -> StepFlop:
    """config: of the transformer. canvas: height and width in pixels. frames: of the shot, before it is padded."""
    windows = equal_windows(latent_count(padded_length(frames)))
    model = empty_transformer(config)
    model.set_attn_processor(VoidAttention(attention_kernel("sdpa").product))
    count, (height, width) = windows[0].count, latent_shape(canvas)
    hidden = torch.empty(1, count, 3 * LATENT_CHANNELS, height, width, device=_META)
    embeds = torch.empty(1, config["max_text_seq_length"], config["text_embed_dim"], device=_META)
    place = rotary(config["attention_head_dim"], count // 2, height // 2, width // 2, _META)
    with FlopCounterMode(display=False) as counter:
        PlainDenoiser(model)(hidden, embeds, _TIMESTEP, place)
    counts = counter.get_flop_counts()["Global"]
    products = sum(counts.get(operation, 0) for operation in _PRODUCTS)
    return StepFlop(len(windows) * products, len(windows) * (counter.get_total_flops() - products))


def encode_flop(config: Config, canvas: Size, frames: int) -> float:
    """Of the autoencoder over a whole shot. config: its own. Other arguments as for `step_flop`."""
    count = padded_length(frames)
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        clip = torch.empty(1, 3, count, *canvas)
        encode(_shapes_alone(config), lambda start, stop: clip[:, :, start:stop], count)
    return counter.get_total_flops()


def decode_flop(config: Config, canvas: Size, frames: int) -> float:
    """As `encode_flop`."""
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        latents = torch.empty(1, latent_count(padded_length(frames)), LATENT_CHANNELS, *latent_shape(canvas))
        for _ in decode(_shapes_alone(config), latents):
            pass
    return counter.get_total_flops()


def _shapes_alone(config: Config) -> AutoencoderKLCogVideoX:
    return AutoencoderKLCogVideoX.from_config(config).requires_grad_(False).eval()


def flop_of(models: Path, canvas: Size, frames: int) -> tuple[StepFlop, CodingFlop]:
    """Of the models in a folder. Raises UnreadableFile."""
    layout = resolve(models)
    return (
        step_flop(layout.config("transformer"), canvas, frames),
        CodingFlop(*(count(layout.config("vae"), canvas, frames) for count in (encode_flop, decode_flop))),
    )
