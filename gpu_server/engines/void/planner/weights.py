"""The bytes that weights take in a precision. Exact."""

from __future__ import annotations

from typing import Literal

from gpu_server.engines.void.planner.spec import TransformerSizes

Precision = Literal["float32", "bf16", "fp8", "fp8-stored"]
"""`fp8`: 8-bit weights, multiplied as such. `fp8-stored`: 8-bit weights, widened where they are used."""

ELEMENT_BYTES: dict[Precision, int] = {"float32": 4, "bf16": 2, "fp8": 2, "fp8-stored": 2}
"""What an element takes that is no narrow weight: the other parameters, and the activations."""

_SCALE_BYTES = 4


def is_narrow(precision: Precision) -> bool:
    return precision in ("fp8", "fp8-stored")


def narrow_bytes(sizes: TransformerSizes, precision: Precision) -> int:
    """The weights of attention and feed-forward, with their scales where they have any."""
    if is_narrow(precision):
        return sizes.narrow + sizes.scales * _SCALE_BYTES
    return sizes.narrow * ELEMENT_BYTES[precision]


def rest_bytes(sizes: TransformerSizes, precision: Precision) -> int:
    """Everything else that stays: embeddings, norms, biases, the projection to latents."""
    return sizes.rest * ELEMENT_BYTES[precision]


def table_bytes(sizes: TransformerSizes, steps: int, precision: Precision) -> int:
    """The outputs of the AdaLN linears at every step of the schedule."""
    return steps * sizes.outputs * ELEMENT_BYTES[precision]


def blocks_bytes(sizes: TransformerSizes, precision: Precision) -> int:
    """The transformer's blocks, all of them, without their AdaLN linears."""
    return narrow_bytes(sizes, precision) + sizes.blocks_rest * ELEMENT_BYTES[precision]
