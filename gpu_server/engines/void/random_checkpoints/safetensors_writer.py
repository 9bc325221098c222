"""Safetensors files written tensor by tensor, without torch and without holding them whole."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.void.checkpoint.tensor_shapes import Shapes, parameters
from void_bridge.atomic import replacing

Stored = Literal["F32", "BF16"]
Bytes = bytes | memoryview
ITEM_BYTES = {"F32": 4, "BF16": 2}


def write_tensors(path: Path, shapes: Shapes, dtype: Stored, blocks: Callable[[str], Iterable[Bytes]]) -> None:
    """Write a file of tensors of one type, whole or not at all.

    Args:
        path: the file.
        shapes: the shape of each tensor, by its name.
        dtype: the type that all tensors are stored in.
        blocks: returns the bytes of the tensor of a name in pieces, in row-major order, little-endian.

    Raises:
        DiskFull: the disk has no room for `path`.
        OutputError: `path` cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as out:
        out.write(_header(shapes, dtype))
        for name in sorted(shapes):
            for block in blocks(name):
                out.write(block)


def file_bytes(shapes: Shapes, dtype: Stored) -> int:
    """Return the size in bytes of the file that `write_tensors` writes."""
    return len(_header(shapes, dtype)) + parameters(shapes) * ITEM_BYTES[dtype]


def encoded(values: NDArray[np.float32], dtype: Stored) -> memoryview:
    """Return values as a file stores them.

    Args:
        values: any shape, float32.
        dtype: F32, or BF16, which is the upper half of a float32, rounded to nearest even.
    """
    if dtype == "F32":
        return np.ascontiguousarray(values, "<f4").data
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded >> 16).astype("<u2").data


def _header(shapes: Shapes, dtype: Stored) -> bytes:
    """Return the length field and the JSON header of a file."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name in sorted(shapes):
        end = begin + math.prod(shapes[name]) * ITEM_BYTES[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shapes[name]), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8 bytes
    return struct.pack("<Q", len(text)) + text
