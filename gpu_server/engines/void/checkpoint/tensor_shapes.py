"""The published configurations, and the names and shapes of the tensors that a configuration asks for.

No model is built. Source: diffusers' CogVideoXTransformer3DModel and AutoencoderKLCogVideoX, transformers'
T5EncoderModel; the tests compare the shapes with those of these classes on the meta device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from void_bridge.errors import InputError

Shapes = dict[str, tuple[int, ...]]
Named = Iterator[tuple[str, tuple[int, ...]]]
Config = dict[str, Any]

_MOST_TENSORS = 20_000
FULL_TENSORS = 1024
FULL_PARAMETERS = 5_571_462_784
FULL_CONFIG: Config = {
    "_class_name": "CogVideoXTransformer3DModel",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 64,
    "dropout": 0.0,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 33,
    "max_text_seq_length": 226,
    "norm_elementwise_affine": True,
    "norm_eps": 1e-05,
    "num_attention_heads": 48,
    "num_layers": 42,
    "ofs_embed_dim": None,
    "out_channels": 16,
    "patch_bias": False,
    "patch_size": 2,
    "patch_size_t": 2,
    "sample_frames": 85,
    "sample_height": 300,
    "sample_width": 300,
    "spatial_interpolation_scale": 1.875,
    "temporal_compression_ratio": 4,
    "temporal_interpolation_scale": 1.0,
    "text_embed_dim": 4096,
    "time_embed_dim": 512,
    "timestep_activation_fn": "silu",
    "use_learned_positional_embeddings": False,
    "use_rotary_positional_embeddings": True,
}
"""The published transformer: 48 heads of 64, 42 layers; with 48 channels it has `FULL_PARAMETERS`."""

FULL_VAE_CONFIG: Config = {
    "_class_name": "AutoencoderKLCogVideoX",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 256, 512],
    "down_block_types": ["CogVideoXDownBlock3D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": 16,
    "layers_per_block": 3,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_height": 480,
    "sample_width": 720,
    "scaling_factor": 0.7,
    "temporal_compression_ratio": 4,
    "up_block_types": ["CogVideoXUpBlock3D"] * 4,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}

FULL_TEXT_CONFIG: Config = {
    "architectures": ["T5EncoderModel"],
    "d_ff": 10240,
    "d_kv": 64,
    "d_model": 4096,
    "dropout_rate": 0.1,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": False,
    "layer_norm_epsilon": 1e-06,
    "model_type": "t5",
    "num_heads": 64,
    "num_layers": 24,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32,
    "tie_word_embeddings": False,
    "use_cache": False,
    "vocab_size": 32128,
}

SCHEDULER_CONFIG: Config = {
    "_class_name": "CogVideoXDDIMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "snr_shift_scale": 1.0,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
    "trained_betas": None,
}


def transformer_shapes(config: Config, in_channels: int) -> Shapes:
    """Return the shapes of the transformer's tensors.

    Args:
        config: the transformer's config.json.
        in_channels: channels of its input, in place of those of the configuration.

    Raises:
        InputError: the configuration lacks a value, or is of another kind of transformer.
    """
    return _shapes("transformer", lambda: _transformer(config, in_channels))


def vae_shapes(config: Config) -> Shapes:
    """Return the shapes of the VAE's tensors. See `transformer_shapes`."""
    return _shapes("vae", lambda: _vae(config))


def text_encoder_shapes(config: Config) -> Shapes:
    """Return the shapes of the T5 encoder's tensors; its embedding is stored once, as `shared.weight`.

    Raises:
        InputError: the configuration lacks a value.
    """
    return _shapes("text_encoder", lambda: _text_encoder(config))


def parameters(shapes: Shapes) -> int:
    """Return the number of values of all tensors."""
    return sum(math.prod(shape) for shape in shapes.values())


def _shapes(part: str, make: Callable[[], Named]) -> Shapes:
    """Collect the tensors of a part; a configuration that does not give them is an InputError."""
    try:
        found = dict(islice(make(), _MOST_TENSORS + 1))
        if len(found) > _MOST_TENSORS:
            raise ValueError(f"over {_MOST_TENSORS} tensors")
        return found
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as exc:
        raise InputError(f"{part}/config.json is not of the published kind: {exc}; download that file again") from exc


def _transformer(config: Config, in_channels: int) -> Named:
    """Yield the tensors of the transformer."""
    if not config.get("use_rotary_positional_embeddings") or not config.get("patch_size_t"):
        raise ValueError("patch_size_t and rotary positions are expected")
    heads, head_size = config["num_attention_heads"], config["attention_head_dim"]
    width, time = heads * head_size, config["time_embed_dim"]
    patch = config["patch_size"] ** 2 * config["patch_size_t"]
    yield from _linear("patch_embed.proj", in_channels * patch, width)
    yield from _linear("patch_embed.text_proj", config["text_embed_dim"], width)
    yield from _linear("time_embedding.linear_1", width, time)
    yield from _linear("time_embedding.linear_2", time, time)
    if config.get("ofs_embed_dim"):
        yield from _linear("ofs_embedding.linear_1", config["ofs_embed_dim"], config["ofs_embed_dim"])
        yield from _linear("ofs_embedding.linear_2", config["ofs_embed_dim"], config["ofs_embed_dim"])
    affine = config.get("norm_elementwise_affine", True)
    for layer in range(config["num_layers"]):
        yield from _block(f"transformer_blocks.{layer}", width, time, head_size, config["attention_bias"], affine)
    yield from _norm("norm_final", width, affine)
    yield from _linear("norm_out.linear", time, 2 * width)
    yield from _norm("norm_out.norm", width, affine)
    yield from _linear("proj_out", width, config["out_channels"] * patch)


def _block(name: str, width: int, time: int, head_size: int, bias: bool, affine: bool) -> Named:
    """Yield the tensors of one transformer block."""
    for norm in ("norm1", "norm2"):
        yield from _linear(f"{name}.{norm}.linear", time, 6 * width)
        yield from _norm(f"{name}.{norm}.norm", width, affine)
    for norm in ("norm_q", "norm_k"):
        yield from _norm(f"{name}.attn1.{norm}", head_size)
    for projection in ("to_q", "to_k", "to_v"):
        yield from _linear(f"{name}.attn1.{projection}", width, width, bias)
    yield from _linear(f"{name}.attn1.to_out.0", width, width)
    yield from _linear(f"{name}.ff.net.0.proj", width, 4 * width)
    yield from _linear(f"{name}.ff.net.2", 4 * width, width)


def _vae(config: Config) -> Named:
    """Yield the tensors of the VAE."""
    channels, latent = list(config["block_out_channels"]), config["latent_channels"]
    layers = config["layers_per_block"]
    if config.get("use_quant_conv") or config.get("use_post_quant_conv"):
        raise ValueError("no quant_conv is expected")
    yield from _conv3d("encoder.conv_in.conv", config["in_channels"], channels[0])
    yield from _stack("encoder.down_blocks", channels, channels[0], layers, "downsamplers", latent=0)
    yield from _mid("encoder", channels[-1], latent=0)
    yield from _norm("encoder.norm_out", channels[-1])
    yield from _conv3d("encoder.conv_out.conv", channels[-1], 2 * latent)
    channels.reverse()
    yield from _conv3d("decoder.conv_in.conv", latent, channels[0])
    yield from _mid("decoder", channels[0], latent)
    yield from _stack("decoder.up_blocks", channels, channels[0], layers + 1, "upsamplers", latent)
    yield from _latent_norm("decoder.norm_out", channels[-1], latent)
    yield from _conv3d("decoder.conv_out.conv", channels[-1], config["out_channels"])


def _stack(name: str, channels: list[int], given: int, layers: int, sampler: str, latent: int) -> Named:
    """Yield the tensors of all levels of the encoder or, with latent channels, of the decoder."""
    for block, width in enumerate(channels):
        for layer in range(layers):
            yield from _resnet(f"{name}.{block}.resnets.{layer}", given, width, latent)
            given = width
        if block < len(channels) - 1:
            yield f"{name}.{block}.{sampler}.0.conv.weight", (width, width, 3, 3)
            yield f"{name}.{block}.{sampler}.0.conv.bias", (width,)


def _mid(half: str, width: int, latent: int) -> Named:
    """Yield the tensors of the middle block of a half of the VAE."""
    for layer in range(2):
        yield from _resnet(f"{half}.mid_block.resnets.{layer}", width, width, latent)


def _resnet(name: str, given: int, width: int, latent: int) -> Named:
    """Yield the tensors of a residual block from `given` to `width` channels."""
    for number, size in ((1, given), (2, width)):
        if latent:
            yield from _latent_norm(f"{name}.norm{number}", size, latent)
        else:
            yield from _norm(f"{name}.norm{number}", size)
        yield from _conv3d(f"{name}.conv{number}.conv", size, width)
    if given != width:
        yield from _conv3d(f"{name}.conv_shortcut", given, width, 1)


def _latent_norm(name: str, width: int, latent: int) -> Named:
    """Yield the tensors of a norm that is scaled and shifted by the latents."""
    yield from _norm(f"{name}.norm_layer", width)
    yield from _conv3d(f"{name}.conv_y.conv", latent, width, 1)
    yield from _conv3d(f"{name}.conv_b.conv", latent, width, 1)


def _text_encoder(config: Config) -> Named:
    """Yield the tensors of the T5 encoder."""
    width, hidden = config["d_model"], config["d_ff"]
    inner = config["num_heads"] * config["d_kv"]
    gated = str(config.get("feed_forward_proj", "relu")).startswith("gated-")
    yield "shared.weight", (config["vocab_size"], width)
    for layer in range(config["num_layers"]):
        attention = f"encoder.block.{layer}.layer.0"
        for projection in ("q", "k", "v"):
            yield f"{attention}.SelfAttention.{projection}.weight", (inner, width)
        yield f"{attention}.SelfAttention.o.weight", (width, inner)
        if layer == 0:
            buckets = config["relative_attention_num_buckets"]
            yield f"{attention}.SelfAttention.relative_attention_bias.weight", (buckets, config["num_heads"])
        yield f"{attention}.layer_norm.weight", (width,)
        feed = f"encoder.block.{layer}.layer.1"
        for projection in ("wi_0", "wi_1") if gated else ("wi",):
            yield f"{feed}.DenseReluDense.{projection}.weight", (hidden, width)
        yield f"{feed}.DenseReluDense.wo.weight", (width, hidden)
        yield f"{feed}.layer_norm.weight", (width,)
    yield "encoder.final_layer_norm.weight", (width,)


def _linear(name: str, given: int, width: int, bias: bool = True) -> Named:
    """Yield the tensors of a linear layer from `given` to `width` channels."""
    yield f"{name}.weight", (width, given)
    if bias:
        yield f"{name}.bias", (width,)


def _norm(name: str, width: int, affine: bool = True) -> Named:
    """Yield the tensors of a norm."""
    if affine:
        yield f"{name}.weight", (width,)
        yield f"{name}.bias", (width,)


def _conv3d(name: str, given: int, width: int, kernel: int = 3) -> Named:
    """Yield the tensors of a convolution in three dimensions."""
    yield f"{name}.weight", (width, given, kernel, kernel, kernel)
    yield f"{name}.bias", (width,)
