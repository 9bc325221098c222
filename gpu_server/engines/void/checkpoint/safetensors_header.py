"""The header of a safetensors file: names, types, shapes and offsets of its tensors, without reading a tensor.

Format: 8 bytes little-endian length, that many bytes of JSON, then the tensors, one after the other without gaps.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from void_bridge.errors import UnreadableFile

_LENGTH_BYTES = 8
_HEADER_LIMIT = 8_000_000  # 40 times the longest; the library takes 100 MB, which would be 2 GB of empty lists
_LFS = b"version https://git-lfs"
_ITEM_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file.

    Attributes:
        dtype: the type as the format names it, such as BF16.
        shape: the shape.
        begin: offset of its first byte in the file.
        end: offset behind its last byte.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class SafetensorsHeader:
    """The header of a file.

    Attributes:
        tensors: the tensors by name.
        data_begin: offset of the first tensor.
        size: bytes of the file.
    """

    tensors: dict[str, TensorEntry]
    data_begin: int
    size: int


def read_header(path: Path) -> SafetensorsHeader:
    """Read and check a file's header against its size.

    Raises:
        UnreadableFile: the file is missing, cut short, grown, a pointer instead of the file, or of another format.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            start = handle.read(max(_LENGTH_BYTES, len(_LFS)))
            length = _length(path, start, size)
            handle.seek(_LENGTH_BYTES)
            text = handle.read(length)
    except OSError as exc:
        raise UnreadableFile(f"cannot read {path}: {exc.strerror or exc}") from exc
    data_begin = _LENGTH_BYTES + length
    tensors = _tensors(path, text, data_begin)
    _check_offsets(path, tensors.values(), data_begin, size)
    return SafetensorsHeader(tensors, data_begin, size)


def _length(path: Path, start: bytes, size: int) -> int:
    """Return the length of the JSON text. Raise UnreadableFile if the file does not begin as the format asks."""
    if start[_LENGTH_BYTES:][:1] != b"{":
        raise UnreadableFile(f"{path.name} {_foreign_kind(start, size)}")
    (length,) = struct.unpack("<Q", start[:_LENGTH_BYTES])
    if not 2 <= length <= _HEADER_LIMIT:
        raise UnreadableFile(f"{path.name} is damaged: a header of {length:,} bytes; download it again")
    if length > size - _LENGTH_BYTES:
        raise UnreadableFile(f"{path.name} is cut short at {size:,} bytes, within its header; download it again")
    return int(length)


def _foreign_kind(start: bytes, size: int) -> str:
    """Return the likely format of a non-safetensors file, and the fix."""
    if not size:
        return "is empty: its download did not start; download it again"
    if size <= _LENGTH_BYTES:
        return f"is cut short at {size} bytes; download it again"
    if start.startswith(_LFS):
        return "is a git-lfs pointer, not the file; run git lfs pull, or download it"
    if start.lstrip().startswith(b"<"):
        return "is a web page, not the file; download it from its Files tab, signed in"
    if start.startswith((b"PK", b"\x80")):
        return "is a pickle, not safetensors; download the published safetensors file"
    return "is not a safetensors file, or damaged; download the published one again"


def _tensors(path: Path, text: bytes, data_begin: int) -> dict[str, TensorEntry]:
    """Return the tensors that the JSON text lists."""
    try:
        entries = json.loads(text, object_pairs_hook=_unique)
        entries.pop("__metadata__", None)
        return {name: _tensor(name, entry, data_begin) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise UnreadableFile(f"{path.name} has a damaged header ({str(exc)[:120]}); download it again") from exc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raise ValueError if it holds a name twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def _tensor(name: str, entry: dict[str, Any], data_begin: int) -> TensorEntry:
    """Return one entry. Raise ValueError, KeyError or TypeError if it does not hold together."""
    shape = entry["shape"]
    begin, end = entry["data_offsets"]
    if not all(type(value) is int and value >= 0 for value in (*shape, begin, end)):
        raise ValueError(f"{name}: an offset or a size is not a whole number of 0 or more")
    bits = math.prod(shape) * _ITEM_BITS[entry["dtype"]]
    if bits != 8 * (end - begin):
        raise ValueError(f"{name}: {end - begin} bytes for shape {shape} of {entry['dtype']}")
    return TensorEntry(entry["dtype"], tuple(shape), data_begin + begin, data_begin + end)


def _check_offsets(path: Path, tensors: Iterable[TensorEntry], data_begin: int, size: int) -> None:
    """Raise UnreadableFile if tensors overlap, leave gaps, or do not end with the file."""
    at = data_begin
    for tensor in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != at:
            raise UnreadableFile(f"{path.name} has a damaged header: tensors overlap or leave gaps; download it again")
        at = tensor.end
    if size < at:
        share = math.floor(1000 * size / at) / 10
        raise UnreadableFile(
            f"{path.name} holds {size:,} of {at:,} bytes ({share} %): the download stopped; download it again"
        )
    if size > at:
        raise UnreadableFile(f"{path.name} holds {size - at:,} bytes more than its header says; download it again")
