"""A check that a T5 tokenizer is whole, by the framing of its sentencepiece model.

Format: a protocol buffer whose field 1, repeated, is a piece (sentencepiece_model.proto).
"""

from __future__ import annotations

from pathlib import Path

from gpu_server.engines.void.checkpoint.layout import read_json
from void_bridge.errors import UnreadableFile

_LIMIT = 1 << 26
_USUAL_EXTRA = 100
_LENGTH_DELIMITED, _VARINT, _FIXED64, _FIXED32 = 2, 0, 1, 5


def read_tokenizer(folder: Path) -> tuple[int, int]:
    """Return the number of pieces of `spiece.model`, and of the extra ones that T5 puts behind them.

    Args:
        folder: the tokenizer's folder.

    Raises:
        UnreadableFile: a file is missing, damaged or cut short.
    """
    extra = read_json(folder / "tokenizer_config.json").get("extra_ids", _USUAL_EXTRA)
    path = folder / "spiece.model"
    try:
        data = path.read_bytes() if path.stat().st_size < _LIMIT else b""
    except FileNotFoundError as exc:
        raise UnreadableFile("tokenizer/spiece.model is not there") from exc
    except OSError as exc:
        raise UnreadableFile(f"cannot read {path}: {exc.strerror or exc}") from exc
    if data.startswith(b"version https://git-lfs"):
        raise UnreadableFile("spiece.model is a git-lfs pointer, not the file; run git lfs pull, or download it")
    return _count_pieces(data), extra if isinstance(extra, int) else _USUAL_EXTRA


def _count_pieces(data: bytes) -> int:
    """Return the number of pieces. Raise UnreadableFile if the data is damaged."""
    at, pieces = 0, 0
    try:
        while at < len(data):
            key, at = _varint(data, at)
            pieces += key == 1 << 3 | _LENGTH_DELIMITED
            at = _skip_field(data, at, key & 7)
    except (IndexError, ValueError) as exc:
        raise UnreadableFile("spiece.model is damaged or cut short; download it again") from exc
    if at != len(data) or not pieces:
        raise UnreadableFile("spiece.model is empty, damaged or cut short; download it again")
    return pieces


def _skip_field(data: bytes, at: int, wire_type: int) -> int:
    """Return the offset of the next field."""
    if wire_type == _VARINT:
        return _varint(data, at)[1]
    if wire_type == _LENGTH_DELIMITED:
        length, at = _varint(data, at)
        return at + length
    if wire_type in (_FIXED64, _FIXED32):
        return at + (8 if wire_type == _FIXED64 else 4)
    raise ValueError(wire_type)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the variable-length integer at an offset, and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
