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
    """The outputs of the AdaLN linears at every step of the schedule, and at the current one."""
    return (steps + 1) * sizes.outputs * ELEMENT_BYTES[precision]


def blocks_bytes(sizes: TransformerSizes, precision: Precision) -> int:
    """The transformer's blocks, all of them, without their AdaLN linears."""
    return narrow_bytes(sizes, precision) + sizes.blocks_rest * ELEMENT_BYTES[precision]


def pinned_bytes(sizes: TransformerSizes, precision: Precision) -> int:
    """What the narrow weights take beyond their own bytes in pinned memory, which torch hands out in powers of two."""
    element = 1 if is_narrow(precision) else ELEMENT_BYTES[precision]
    square = sizes.width**2 * element
    wide = sizes.width * sizes.feed_forward * element
    return sizes.layers * (4 * power_of_two(square) + 2 * power_of_two(wide)) - sizes.narrow * element


def power_of_two(count: int) -> int:
    """The least one that is not below.

    >>> power_of_two(5), power_of_two(8)
    (8, 8)
    """
    return 1 << (count - 1).bit_length()
