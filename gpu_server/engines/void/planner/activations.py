"""Bytes of working memory beside the weights, at the peak of each phase. Estimates.

The transformer's and the text encoder's bytes are counted at their widest moments, as diffusers and transformers
compute them, one operation after the other; a compiled block needs less. Attention is taken to materialise no scores.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_server.engines.void.checkpoint.layout import VOID_CHANNELS
from gpu_server.engines.void.latent_geometry import CELL, FRAMES_A_LATENT
from gpu_server.engines.void.planner.banded_vae_memory import decode_elements, encode_elements
from gpu_server.engines.void.planner.spec import TextSizes, TransformerSizes, VaeSizes
from gpu_server.engines.void.planner.vae_memory import PeakElements
from gpu_server.engines.void.planner.weight_bytes import ELEMENT_BYTES
from void_bridge.options import Precision

_FLOAT_BYTES = 4


def transformer_bytes(sizes: TransformerSizes, latents: tuple[int, int, int], batch: int, precision: Precision) -> int:
    """Return the bytes of one call of the transformer over a window.

    Args:
        sizes: the transformer.
        latents: count, height and width of the window.
        batch: 2 if both halves of a guided step run together, else 1.
        precision: how weights are stored and multiplied.
    """
    element = ELEMENT_BYTES[precision]
    tokens = sizes.tokens(latents)
    states = tokens * sizes.width * element
    widest = max(_rotation(sizes, tokens, element), _feed_forward(sizes, states, precision, batch))
    return batch * (widest + _inputs(sizes, latents, element))


def _rotation(sizes: TransformerSizes, tokens: int, element: int) -> int:
    """Return the bytes while the keys' rotary embedding is computed, in float32.

    Held: the stream, its norm, prompt and frames together, query before and after, key, value; of the key its rotated
    copy, two float32 products and their sum.
    """
    video = (tokens - sizes.text_tokens) * sizes.width
    return (7 * tokens * sizes.width + video) * element + 3 * video * _FLOAT_BYTES


def _feed_forward(sizes: TransformerSizes, states: int, precision: Precision, batch: int) -> int:
    """Return the bytes in the feed-forward layers; `states` are the bytes of one stream.

    Held: the stream before and after attention, attention's result, the norm; the hidden states twice. A stored 8-bit
    weight is widened where it is used. A computed one has the hidden states quantised, through float32.
    """
    hidden = states * sizes.feed_forward // sizes.width
    if precision == "fp8":
        in_float = hidden * _FLOAT_BYTES // ELEMENT_BYTES[precision]
        return 4 * states + hidden + in_float + hidden // ELEMENT_BYTES[precision]
    widened = 2 * sizes.feed_forward * sizes.width * ELEMENT_BYTES[precision] if precision == "fp8-stored" else 0
    return max(4 * states + 2 * hidden, 5 * states + hidden + widened // batch)


def _inputs(sizes: TransformerSizes, latents: tuple[int, int, int], element: int) -> int:
    """Return the bytes of latents, prompt and rotary tables."""
    count, height, width = latents
    tables = 2 * (sizes.tokens(latents) - sizes.text_tokens) * sizes.head_size * _FLOAT_BYTES
    return (VOID_CHANNELS * count * height * width + sizes.text_tokens * sizes.text_width) * element + tables


def latents_bytes(sizes: TransformerSizes, latents: tuple[int, int, int]) -> int:
    """Return the bytes of a shot between the phases: latents before and after a step and conditioning, in float32.

    Args:
        sizes: the transformer.
        latents: count, height and width of the padded shot.
    """
    count, height, width = latents
    return count * height * width * (VOID_CHANNELS + sizes.out_channels) * _FLOAT_BYTES


def text_bytes(sizes: TextSizes, tokens: int, precision: Precision) -> int:
    """Return the bytes of the text encoder over one prompt.

    Attention holds its scores, position bias and softmax in float32.

    Args:
        sizes: the text encoder.
        tokens: tokens of the padded prompt.
        precision: of the activations.
    """
    scores = 5 * sizes.heads * tokens * tokens * _FLOAT_BYTES
    return scores + 4 * tokens * sizes.width * ELEMENT_BYTES[precision]


@dataclass(frozen=True)
class VaeWork:
    """Sizes of the batches and bands that the VAE computes.

    Attributes:
        canvas: height and width of a frame in pixels.
        frames: frames of the padded shot.
        latents_at_once: see `MemoryPlan.vae_latents_at_once`.
        rows: see `MemoryPlan.vae_rows`.
        parked: see `MemoryPlan.vae_parked`.
    """

    canvas: tuple[int, int]
    frames: int
    latents_at_once: int
    rows: int | None
    parked: bool


@dataclass(frozen=True)
class VaeBytes:
    """Working memory of the VAE.

    Attributes:
        peak: bytes at the peak, where the VAE computes.
        parked: bytes parked in host memory.
    """

    peak: int
    parked: int


def decode_bytes(sizes: VaeSizes, work: VaeWork, precision: Precision) -> VaeBytes:
    """Return the bytes of decoding latents to frames.

    The first latent is decoded alone; from the third batch on, nothing changes.

    Args:
        sizes: the VAE.
        work: how it is fed.
        precision: of its weights and activations.
    """
    return _decode_bytes(sizes, work, (1, work.latents_at_once, work.latents_at_once), precision)


def preview_bytes(sizes: VaeSizes, work: VaeWork, precision: Precision) -> VaeBytes:
    """Return the bytes of decoding one latent to one frame, as a preview between two steps. See `decode_bytes`."""
    return _decode_bytes(sizes, work, (1,), precision)


def _decode_bytes(sizes: VaeSizes, work: VaeWork, batches: tuple[int, ...], precision: Precision) -> VaeBytes:
    """Return the bytes of decoding `batches` of latents one after the other."""
    latents = (work.canvas[0] // CELL, work.canvas[1] // CELL)
    return _vae_bytes(decode_elements(sizes, latents, batches, work.rows, work.parked), precision)


def encode_bytes(sizes: VaeSizes, work: VaeWork, precision: Precision) -> VaeBytes:
    """Return the bytes of encoding frames to latents. See `decode_bytes`.

    The first batch also takes the frames that do not divide by the others.
    """
    full = FRAMES_A_LATENT * work.latents_at_once
    first = min(full + work.frames % full, work.frames)
    return _vae_bytes(encode_elements(sizes, work.canvas, (first, full), work.rows, work.parked), precision)


def _vae_bytes(elements: PeakElements, precision: Precision) -> VaeBytes:
    """Return elements as bytes; parked ones twice, as one batch's may be read while the next one's are written."""
    element = ELEMENT_BYTES[precision]
    return VaeBytes(elements.peak * element, 2 * elements.parked * element)
