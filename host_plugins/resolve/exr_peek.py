"""A look into an EXR file without OpenEXR, which hosts do not have: enough of the format for the self-test.

Single part scan line files, uncompressed or ZIP. OpenEXR's own page "OpenEXR File Layout" has the format.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, Dict, List


def exr_header(path: Path) -> Dict[str, Any]:
    """channels (name -> half, float, uint), compression (a number) and dataWindow of a file, read without OpenEXR."""
    data, position, found = path.read_bytes()[:65536], 8, {}
    while data[position]:
        name, kind, rest = data[position:].split(b"\0", 2)
        position += len(name) + len(kind) + 2
        size = struct.unpack_from("<i", rest)[0]
        found[name.decode()] = data[position + 4 : position + 4 + size]
        position += 4 + size
    header: Dict[str, Any] = {"compression": found["compression"][0], "end": position + 1}
    header["dataWindow"] = struct.unpack("<4i", found["dataWindow"])
    header["channels"] = _channels(found["channels"])
    return header


def _channels(data: bytes) -> Dict[str, str]:
    channels, position = {}, 0
    while data[position]:
        name = data[position:].split(b"\0", 1)[0]
        position += len(name) + 1
        channels[name.decode()] = ("uint", "half", "float")[struct.unpack_from("<i", data, position)[0]]
        position += 16
    return channels


def exr_row(path: Path, channel: str, line: int) -> List[float]:
    """One line of one channel of a ZIP or uncompressed scan line file. Raises AssertionError: another kind of file."""
    header, data = exr_header(path), path.read_bytes()
    assert header["compression"] in (0, 2, 3), f"compression {header['compression']}, expected none, ZIPS or ZIP"
    lines = 16 if header["compression"] == 3 else 1
    x0, y0, x1, y1 = header["dataWindow"]
    block = line // lines
    offset = struct.unpack_from("<Q", data, header["end"] + 8 * block)[0]
    first, size = struct.unpack_from("<ii", data, offset)
    raw = data[offset + 8 : offset + 8 + size]
    width, sizes = x1 - x0 + 1, {"half": 2, "float": 4, "uint": 4}
    line_size = width * sum(sizes[kind] for kind in header["channels"].values())
    expected = line_size * (min(lines, y1 - first + 1))
    if header["compression"] and size < expected:
        raw = _unfiltered(zlib.decompress(raw))
    position = (line + y0 - first) * line_size
    for name, kind in header["channels"].items():
        if name == channel:
            code = {"half": "e", "float": "f", "uint": "I"}[kind]
            return [float(value) for value in struct.unpack_from(f"<{width}{code}", raw, position)]
        position += width * sizes[kind]
    raise AssertionError(f"no channel {channel} in {path.name}; it has {', '.join(header['channels'])}")


def _unfiltered(data: bytes) -> bytes:
    """OpenEXR's predictor and interleaving, undone."""
    out = bytearray(data)
    for i in range(1, len(out)):
        out[i] = (out[i - 1] + out[i] - 128) & 255
    half = (len(out) + 1) // 2
    whole = bytearray(len(out))
    whole[0::2], whole[1::2] = out[:half], out[half:]
    return bytes(whole)
