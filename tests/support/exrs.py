"""EXR files as other software writes them, and awkward ones."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import OpenEXR

from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart

HALF, FLOAT, UINT = np.float16, np.float32, np.uint32
PIXEL_TYPE_CODES = {UINT: 0, HALF: 1, FLOAT: 2}


def plane(shape, dtype=HALF, seed=0):
    """Return any values that the type can hold: HDR, negatives, infinities and NaN among them."""
    rng = np.random.default_rng([seed, *shape, np.dtype(dtype).itemsize])
    if dtype == UINT:
        return rng.integers(0, 2**32, shape, dtype=UINT)
    values = (rng.normal(0, 4, shape) ** 3).astype(dtype)
    values.flat[:4] = [np.inf, -np.inf, np.nan, -0.0]
    return values


def planes(shape, **dtypes):
    """Return channels by name: planes((4, 5), R=HALF, Z=FLOAT)."""
    return {name: plane(shape, dtype, seed) for seed, (name, dtype) in enumerate(dtypes.items())}


def rgba(shape):
    return planes(shape, R=HALF, G=HALF, B=HALF, A=HALF)


def part(channels, name="", data_window=None, display_window=None, **header):
    """Return an ExrPart; both windows start at (0, 0) unless given."""
    height, width = next(iter(channels.values())).shape
    data_window = data_window or Box(0, 0, height, width)
    return ExrPart(channels, data_window, display_window or data_window, name, dict(header))


def frame(*parts):
    return ExrFrame(tuple(parts))


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_same_pixels(got: ExrFrame, expected: ExrFrame):
    assert [p.name for p in got.parts] == [p.name for p in expected.parts]
    for one, other in zip(got.parts, expected.parts):
        assert (one.data_window, one.display_window) == (other.data_window, other.display_window)
        assert sorted(one.channels) == sorted(other.channels)
        assert [n for n in one.channels if not same_bits(one.channels[n], other.channels[n])] == []


def openexr_bytes(channels, **header) -> bytes:
    """Return a file as OpenEXR writes it, with its defaults where `header` has none."""
    stream = io.BytesIO()
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, **header}, dict(channels)).write(stream)
    return stream.getvalue()


def window(x0, y0, x1, y1):
    """Return an EXR window attribute, corners inclusive."""
    return np.array([x0, y0], np.int32), np.array([x1, y1], np.int32)


def tiles(x_size, y_size):
    description = OpenEXR.TileDescription()
    description.xSize, description.ySize, description.mode = x_size, y_size, OpenEXR.ONE_LEVEL
    return description


def attributes(data: bytes):
    """Return each part's attributes as name -> (type, bytes), and where the header ends."""
    multipart, position, parts = struct.unpack_from("<I", data, 4)[0] & 0x1000, 8, []
    while True:
        found = {}
        while data[position]:
            name, kind, rest = data[position:].split(b"\0", 2)
            position += len(name) + len(kind) + 2
            size = struct.unpack_from("<i", rest)[0]
            found[name.decode()] = (kind.decode(), data[position + 4 : position + 4 + size])
            position += 4 + size
        position += 1
        if found:
            parts.append(found)
        if not multipart or not found:
            return parts, position


def header_bytes(parts, version=2) -> bytes:
    """Return a header alone, from the attributes of its parts."""
    data = struct.pack("<II", 20000630, version)
    for found in parts:
        for name, (kind, value) in found.items():
            data += name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
        data += b"\0"
    return data + (b"\0" if version & 0x1000 else b"")


def with_attribute(data: bytes, name: str, kind: str, value: bytes) -> bytes:
    """Return a one-part file with an attribute of any type and content in its header."""
    (found,), end = attributes(data)
    header = header_bytes([dict(sorted({**found, name: (kind, value)}.items()))], struct.unpack_from("<I", data, 4)[0])
    first_chunk = struct.unpack_from("<Q", data, end)[0]
    count = (first_chunk - end) // 8
    offsets = np.frombuffer(data, "<i8", count, end) + (len(header) - end)
    return header + offsets.tobytes() + data[end + 8 * count :]


def bare_header(width, height, channels=(("R", HALF, 1),), version=2) -> bytes:
    """Return the header of a file of one part, with nothing behind it. Channels are (name, dtype, sampling)."""
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iB3xii", PIXEL_TYPE_CODES[dtype], 0, step, step)
        for name, dtype, step in channels
    )
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    found = {
        "channels": ("chlist", listed + b"\0"),
        "compression": ("compression", b"\3"),
        "dataWindow": ("box2i", box),
        "displayWindow": ("box2i", box),
        "lineOrder": ("lineOrder", b"\0"),
        "pixelAspectRatio": ("float", struct.pack("<f", 1)),
        "screenWindowCenter": ("v2f", struct.pack("<2f", 0, 0)),
        "screenWindowWidth": ("float", struct.pack("<f", 1)),
    }
    return header_bytes([found], version)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
