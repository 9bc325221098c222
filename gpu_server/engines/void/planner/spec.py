"""The sizes of a model that its memory depends on: the published ones, or those of a models folder."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gpu_server.engines.void.checkpoint.layout import VOID_CHANNELS, resolve
from gpu_server.engines.void.checkpoint.tensor_shapes import (
    FULL_CONFIG,
    FULL_TEXT_CONFIG,
    FULL_VAE_CONFIG,
    Config,
    Shapes,
    parameters,
    text_encoder_shapes,
    transformer_shapes,
    vae_shapes,
)
from gpu_server.engines.void.precision.layers import role_of, split_name


@dataclass(frozen=True)
class TransformerSizes:
    """The transformer of one pass.

    Attributes:
        width: channels of the token stream.
        head_size: channels of an attention head.
        layers: number of blocks.
        patch: height and width of a token in latents.
        patch_frames: length of a token in latents.
        out_channels: channels of the predicted latents.
        text_width: channels of the prompt's embedding.
        text_tokens: tokens of the padded prompt.
        quantised: parameters that 8-bit precisions quantise: the weights of attention and feed-forward.
        scales: rows of these weights, which have a scale each.
        table: parameters of the AdaLN linears, whose outputs depend on the timestep alone.
        outputs: outputs of all AdaLN linears for one timestep.
        rest: all other parameters.
        blocks_rest: those of `rest` that are in the blocks.
    """

    width: int
    head_size: int
    layers: int
    patch: int
    patch_frames: int
    out_channels: int
    text_width: int
    text_tokens: int
    quantised: int
    scales: int
    table: int
    outputs: int
    rest: int
    blocks_rest: int

    @property
    def feed_forward(self) -> int:
        """Channels inside a feed-forward layer."""
        return 4 * self.width

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.quantised + self.table + self.rest

    def tokens(self, latents: tuple[int, int, int]) -> int:
        """Return the tokens of a window, the prompt's included.

        Args:
            latents: count, height and width of the window.
        """
        count, height, width = latents
        return self.text_tokens + (count // self.patch_frames) * (height // self.patch) * (width // self.patch)


@dataclass(frozen=True)
class VaeSizes:
    """The video autoencoder.

    Attributes:
        channels: channels of each level, the finest first.
        layers: residual blocks of a level.
        latent_channels: channels of the latents.
        frame_channels: channels of a frame.
        time_halvings: levels of the encoder that halve the number of frames.
        parameters: all parameters.
    """

    channels: tuple[int, ...]
    layers: int
    latent_channels: int
    frame_channels: int
    time_halvings: int
    parameters: int


@dataclass(frozen=True)
class TextSizes:
    """The text encoder.

    Attributes:
        width: channels of the token stream.
        heads: attention heads.
        parameters: all parameters.
    """

    width: int
    heads: int
    parameters: int


@dataclass(frozen=True)
class ModelSpec:
    """The sizes of all networks of the model."""

    transformer: TransformerSizes
    vae: VaeSizes
    text: TextSizes


@cache
def full_size() -> ModelSpec:
    """Return the sizes of the published model.

    >>> full_size().transformer.parameters, full_size().vae.parameters, full_size().text.parameters
    (5571462784, 215583907, 4762310656)
    """
    return _spec(FULL_CONFIG, FULL_VAE_CONFIG, FULL_TEXT_CONFIG)


def read_spec(folder: Path) -> ModelSpec:
    """Return the sizes that the config.json files of a models folder describe.

    Raises:
        UnreadableFile: a config.json is missing or is not JSON.
        InputError: a config.json lacks a size.
    """
    layout = resolve(folder)
    return _spec(layout.config("transformer"), layout.config("vae"), layout.config("text_encoder"))


def _spec(transformer: Config, vae: Config, text: Config) -> ModelSpec:
    """Return the sizes that three configurations describe."""
    return ModelSpec(
        _transformer(transformer, transformer_shapes(transformer, VOID_CHANNELS)),
        _vae(vae, parameters(vae_shapes(vae))),
        TextSizes(text["d_model"], text["num_heads"], parameters(text_encoder_shapes(text))),
    )


def _transformer(config: Config, shapes: Shapes) -> TransformerSizes:
    """Return the sizes of a transformer from its configuration and the shapes of its tensors."""
    by_role: dict[str, Shapes] = {"quantised": {}, "table": {}, "full": {}}
    for name, shape in shapes.items():
        module, kind = split_name(name)
        role = role_of(module)
        by_role["full" if role == "quantised" and kind == "bias" else role][name] = shape
    rest = by_role["full"]
    return TransformerSizes(
        width=config["num_attention_heads"] * config["attention_head_dim"],
        head_size=config["attention_head_dim"],
        layers=config["num_layers"],
        patch=config["patch_size"],
        patch_frames=config["patch_size_t"],
        out_channels=config["out_channels"],
        text_width=config["text_embed_dim"],
        text_tokens=config["max_text_seq_length"],
        quantised=parameters(by_role["quantised"]),
        scales=_rows(by_role["quantised"].values()),
        table=parameters(by_role["table"]),
        outputs=_rows(shape for shape in by_role["table"].values() if len(shape) == 2),
        rest=parameters(rest),
        blocks_rest=parameters({name: shape for name, shape in rest.items() if name.startswith("transformer_blocks.")}),
    )


def _rows(shapes: Iterable[tuple[int, ...]]) -> int:
    """Return the rows of all matrices together."""
    return sum(shape[0] for shape in shapes)


def _vae(config: Config, count: int) -> VaeSizes:
    """Return the sizes of a VAE of `count` parameters."""
    return VaeSizes(
        channels=tuple(config["block_out_channels"]),
        layers=config["layers_per_block"],
        latent_channels=config["latent_channels"],
        frame_channels=config["in_channels"],
        time_halvings=int(math.log2(config["temporal_compression_ratio"])),
        parameters=count,
    )
