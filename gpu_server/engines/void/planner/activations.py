"""What is alive besides the weights at the worst moment of each phase, in bytes. Estimates.

The transformer's and the text encoder's are counted from their widest moments as diffusers and transformers compute
them, one operation after the other; a compiled block needs less. Attention is taken to materialise no scores.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_server.engines.void.checkpoint.layout import VOID_CHANNELS
from gpu_server.engines.void.latent_geometry import CELL, FRAMES_A_LATENT
from gpu_server.engines.void.planner.banded_vae_memory import decode_elements, encode_elements
from gpu_server.engines.void.planner.spec import TextSizes, TransformerSizes, VaeSizes
from gpu_server.engines.void.planner.vae_memory import PeakElements
from gpu_server.engines.void.planner.weight_bytes import ELEMENT_BYTES, Precision

_FLOAT = 4


def transformer_bytes(sizes: TransformerSizes, latents: tuple[int, int, int], batch: int, precision: Precision) -> int:
    """One call of the transformer over a window. `latents`: count, height, width. `batch`: 2 under guidance."""
    element = ELEMENT_BYTES[precision]
    tokens = sizes.tokens(latents)
    states = tokens * sizes.width * element
    widest = max(_rotation(sizes, tokens, element), _feed_forward(sizes, states, precision, batch))
    return batch * (widest + _inputs(sizes, latents, element))


def _rotation(sizes: TransformerSizes, tokens: int, element: int) -> int:
    """The rotary embedding of the keys, in float32.

    Alive: the stream, its norm, prompt and pictures together, query before and after, key, value; of the key its turned
    copy, two float32 products and their sum.
    """
    seen = (tokens - sizes.text_tokens) * sizes.width
    return (7 * tokens * sizes.width + seen) * element + 3 * seen * _FLOAT


def _feed_forward(sizes: TransformerSizes, states: int, precision: Precision, batch: int) -> int:
    """Alive: the stream before and after attention, what attention gave, the norm; the wide states twice.

    A stored 8-bit weight is widened at its use. A computed one has the wide states narrowed, through float32.
    """
    wide = states * sizes.feed_forward // sizes.width
    if precision == "fp8":
        in_float = wide * _FLOAT // ELEMENT_BYTES[precision]
        return 4 * states + wide + in_float + wide // ELEMENT_BYTES[precision]
    widened = 2 * sizes.feed_forward * sizes.width * ELEMENT_BYTES[precision] if precision == "fp8-stored" else 0
    return max(4 * states + 2 * wide, 5 * states + wide + widened // batch)


def _inputs(sizes: TransformerSizes, latents: tuple[int, int, int], element: int) -> int:
    """Latents, prompt, and the tables of the rotary embedding."""
    count, height, width = latents
    tables = 2 * (sizes.tokens(latents) - sizes.text_tokens) * sizes.head_size * _FLOAT
    return (VOID_CHANNELS * count * height * width + sizes.text_tokens * sizes.text_width) * element + tables


def latents_bytes(sizes: TransformerSizes, latents: tuple[int, int, int]) -> int:
    """A whole shot between the phases: latents before and after a step, conditioning; float32."""
    count, height, width = latents
    return count * height * width * (VOID_CHANNELS + sizes.out_channels) * _FLOAT


def text_bytes(sizes: TextSizes, tokens: int, precision: Precision) -> int:
    """The encoder over one prompt: attention with its scores, position bias and softmax in float32."""
    scores = 5 * sizes.heads * tokens * tokens * _FLOAT
    return scores + 4 * tokens * sizes.width * ELEMENT_BYTES[precision]


@dataclass(frozen=True)
class VaeWork:
    """How the VAE is fed. canvas: height, width in pixels. frames: of the padded shot. The rest: see `MemoryPlan`."""

    canvas: tuple[int, int]
    frames: int
    latents_at_once: int
    rows: int | None
    parked: bool


@dataclass(frozen=True)
class VaeBytes:
    """alive: at the worst moment, where the VAE computes. waiting: what is parked in the machine's memory."""

    alive: int
    waiting: int


def decode_bytes(sizes: VaeSizes, work: VaeWork, precision: Precision) -> VaeBytes:
    """Latents to frames: the first latent alone; from the third batch on nothing changes."""
    return _decode_bytes(sizes, work, (1, work.latents_at_once, work.latents_at_once), precision)


def preview_bytes(sizes: VaeSizes, work: VaeWork, precision: Precision) -> VaeBytes:
    """One latent to one frame, between two steps."""
    return _decode_bytes(sizes, work, (1,), precision)


def _decode_bytes(sizes: VaeSizes, work: VaeWork, batches: tuple[int, ...], precision: Precision) -> VaeBytes:
    latents = (work.canvas[0] // CELL, work.canvas[1] // CELL)
    return _vae_bytes(decode_elements(sizes, latents, batches, work.rows, work.parked), precision)


def encode_bytes(sizes: VaeSizes, work: VaeWork, precision: Precision) -> VaeBytes:
    """Frames to latents: the first batch also takes what does not divide by the others."""
    full = FRAMES_A_LATENT * work.latents_at_once
    first = min(full + work.frames % full, work.frames)
    return _vae_bytes(encode_elements(sizes, work.canvas, (first, full), work.rows, work.parked), precision)


def _vae_bytes(alive: PeakElements, precision: Precision) -> VaeBytes:
    """What is parked counts twice: one batch's may still be read while the next one's is written."""
    element = ELEMENT_BYTES[precision]
    return VaeBytes(alive.peak * element, 2 * alive.parked * element)
