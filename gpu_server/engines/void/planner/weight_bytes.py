"""The bytes that weights take in a precision. Exact."""

from __future__ import annotations

from gpu_server.engines.void.planner.spec import TransformerSizes
from gpu_server.engines.void.precision.layers import is_float8
from void_bridge.options import Precision

ELEMENT_BYTES: dict[Precision, int] = {"float32": 4, "bf16": 2, "fp8": 2, "fp8-stored": 2}
"""Bytes of an element that is not quantised: of the other parameters, and of activations."""

_SCALE_BYTES = 4


def quantised_bytes(sizes: TransformerSizes, precision: Precision) -> int:
    """Return the bytes of the weights of attention and feed-forward, with their scales if they have any."""
    if is_float8(precision):
        return sizes.quantised + sizes.scales * _SCALE_BYTES
    return sizes.quantised * ELEMENT_BYTES[precision]


def table_bytes(sizes: TransformerSizes, steps: int, precision: Precision) -> int:
    """Return the bytes of the AdaLN table: its rows for every step of the schedule, and the selected row."""
    return (steps + 1) * sizes.outputs * ELEMENT_BYTES[precision]


def blocks_bytes(sizes: TransformerSizes, precision: Precision) -> int:
    """Return the bytes of all the transformer's blocks, without their AdaLN linears."""
    return quantised_bytes(sizes, precision) + sizes.blocks_rest * ELEMENT_BYTES[precision]


def pinned_extra_bytes(sizes: TransformerSizes, precision: Precision) -> int:
    """Return the bytes that blocks' weights take beyond their own size in pinned memory.

    torch hands out pinned memory in powers of two.
    """
    element = 1 if is_float8(precision) else ELEMENT_BYTES[precision]
    square = sizes.width**2 * element
    wide = sizes.width * sizes.feed_forward * element
    return sizes.layers * (4 * power_of_two(square) + 2 * power_of_two(wide)) - sizes.quantised * element


def power_of_two(count: int) -> int:
    """Return the smallest power of two that is not below a number.

    >>> power_of_two(5), power_of_two(8)
    (8, 8)
    """
    return 1 << (count - 1).bit_length()
