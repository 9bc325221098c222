"""EXR files that are refused before they are decoded, and attributes that OpenEXR's Python module refuses."""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from typing import List, Optional, Tuple

from void_bridge.errors import UnreadableFile
from void_bridge.pixels.exr_header import ExrInfo, ExrPartInfo, decode_rational, decode_text

MAX_PART_PIXELS = 2**28  # 16384 x 16384
MAX_FRAME_BYTES = 16 * 2**30  # and no more than half of the machine's memory
_MAX_TILE = 4096


def refuse_unreadable(info: ExrInfo, name: str) -> None:
    """Refuse files that cannot be read here, before memory is taken for them.

    Raises:
        UnreadableFile: deep or subsampled pixels, more of them than MAX_PART_PIXELS or MAX_FRAME_BYTES, or tiles larger
            than both the picture and 4096 pixels.
    """
    for part in info.parts:
        problem = _problem(part)
        if problem:
            raise UnreadableFile(f"{name} {problem}")
    total_bytes = sum(part.decoded_bytes for part in info.parts)
    most = _frame_bytes_max()
    if total_bytes > most:
        raise UnreadableFile(
            f"{name} claims {total_bytes / 2**30:.0f} GiB of pixels; expected at most {most / 2**30:.1f}:"
            " check the file"
        )


@lru_cache(maxsize=1)
def _frame_bytes_max() -> int:
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not known on Windows
        return MAX_FRAME_BYTES
    return min(MAX_FRAME_BYTES, physical // 2)


def _problem(part: ExrPartInfo) -> Optional[str]:
    if part.storage == "deep":
        return "holds deep pixels; expected flat ones: flatten them with DeepToImage"
    for name, channel in part.channels.items():
        if (channel.x_sampling, channel.y_sampling) != (1, 1):
            step = f"{channel.x_sampling}x{channel.y_sampling}"
            return f"holds channel {name!r} at {step} subsampling; expected full resolution: render it as RGB"
    height, width = part.data_window.shape
    if height * width > MAX_PART_PIXELS:
        return f"claims {width}x{height} pixels; expected at most {MAX_PART_PIXELS}: check the file"
    if part.storage == "tiled":
        tile_width, tile_height = part.tile
        if not (0 < tile_width <= max(width, _MAX_TILE) and 0 < tile_height <= max(height, _MAX_TILE)):
            return f"claims tiles of {tile_width}x{tile_height}; expected at most {_MAX_TILE}: check the file"
    return None


def refused_attributes(info: ExrInfo) -> List[Tuple[int, str]]:
    """List attributes, as (part, name), over whose values OpenEXR's Python module refuses a whole file."""
    return [
        (index, name)
        for index, part in enumerate(info.parts)
        for name, (kind, data) in part.raw.items()
        if _refused(kind, data)
    ]


def _refused(kind: str, data: bytes) -> bool:
    if kind == "string":
        return decode_text(data) != data.decode("utf-8", "replace")
    if kind == "rational":
        return decode_rational(data) is None
    return kind == "keycode" and not _sound_keycode(data)


def _sound_keycode(data: bytes) -> bool:
    """Return whether a keycode keeps to the ranges of ImfKeyCode.h."""
    if len(data) != 28:
        return False
    values = struct.unpack("<7i", data)
    limits = ((0, 99), (0, 99), (0, 999999), (0, 9999), (0, 119), (1, 15), (20, 120))
    return all(low <= value <= high for value, (low, high) in zip(values, limits))
