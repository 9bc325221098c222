"""The header of an EXR file, read without decoding a pixel.

The layout is that of "OpenEXR File Layout" (openexr.com): a magic number, a version field with flags, then for each
part its attributes (name, type, size, value), each list closed by a zero byte. Since headers are read and checked here
first, a file with an absurd header is never decoded, and no memory is taken for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Callable, Dict, Literal, Optional, Tuple

from void_bridge.errors import UnreadableFile
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr_channels import picture_index

_MAX_HEADER_BYTES = 64 * 2**20
_BLOCK_BYTES = 1 << 16
_MAX_WINDOW = 2**30
# Of all parts together. OpenEXR takes time in the square of them: 20 s for 100 000 channels, minutes for attributes.
_MAX_PARTS, _MAX_ATTRIBUTES, _MAX_CHANNELS = 1024, 16_384, 8192

_MAGIC = 20000630
_TILED, _DEEP, _MULTIPART = 0x200, 0x800, 0x1000
_VERSION_FLAGS = _TILED | 0x400 | _DEEP | _MULTIPART

PixelType = Literal["uint", "half", "float"]
Storage = Literal["scanline", "tiled", "deep"]
_PIXEL_TYPES: Tuple[PixelType, ...] = ("uint", "half", "float")
BYTES_PER_PIXEL: Dict[str, int] = {"uint": 4, "half": 2, "float": 4}

COMPRESSIONS = (
    *("none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab"),
    *("htj2k256", "htj2k32", "lj2k", "zstd"),
)


@dataclass(frozen=True)
class ChannelInfo:
    """One channel: its pixel type, and the distance of its samples in pixels."""

    type: PixelType
    x_sampling: int = 1
    y_sampling: int = 1


@dataclass(frozen=True)
class ExrPartInfo:
    """One part, as described by its header.

    Attributes:
        name: name of the part.
        data_window: the pixels that are stored.
        display_window: the pixels that are shown.
        channels: name -> ChannelInfo, sorted as in the file.
        compression: one of COMPRESSIONS.
        storage: "scanline", "tiled" or "deep".
        tile: width and height of tiles, in pixels; (0, 0) in scanlines.
        pixel_aspect: width of a pixel over its height.
        frames_per_second: None if the header has none.
        attributes: those whose values are text, whole numbers, numbers, rationals or tuples of floats.
        raw: every attribute, as (type, value in bytes).
    """

    name: str
    data_window: Box
    display_window: Box
    channels: Dict[str, ChannelInfo]
    compression: str
    storage: Storage
    tile: Tuple[int, int]
    pixel_aspect: float
    frames_per_second: Optional[Fraction]
    attributes: Dict[str, object]
    raw: Dict[str, Tuple[str, bytes]]

    @property
    def decoded_bytes(self) -> int:
        """The bytes of all its pixels."""
        return self.data_window.height * self.data_window.width * self.bytes_per_pixel

    @property
    def bytes_per_pixel(self) -> int:
        """The bytes of one pixel of every channel."""
        return sum(BYTES_PER_PIXEL[channel.type] for channel in self.channels.values())


@dataclass(frozen=True)
class ExrInfo:
    """The header of a file: its parts, in their order."""

    parts: Tuple[ExrPartInfo, ...]

    @property
    def picture(self) -> ExrPartInfo:
        """The part with the RGB, else the first part."""
        return self.parts[picture_index(self)]


def read_info(path: Path) -> ExrInfo:
    """Read windows, channels, compression and attributes of a file; no pixel is decoded.

    Raises:
        UnreadableFile: missing, not an EXR, cut off, or with an invalid header.
    """
    try:
        with open(path, "rb") as handle:
            return parse_info(handle, str(path))
    except OSError as exc:
        raise UnreadableFile(f"cannot read {path}: {exc.strerror or exc}; expected an EXR file") from exc


def parse_info(stream: BinaryIO, name: str) -> ExrInfo:
    """Read the header from the start of a stream; see `read_info`. `name` is for messages."""
    data = b""
    while True:
        block = stream.read(max(_BLOCK_BYTES, len(data)))
        data += block
        try:
            return _parsed(data)
        except _Incomplete:
            if not block or len(data) > _MAX_HEADER_BYTES:
                reason = "it is empty" if not data else "its header is cut off"
                raise UnreadableFile(f"cannot read {name}: {reason}; render or copy that file again") from None
        except (ValueError, LookupError, struct.error) as exc:
            raise UnreadableFile(f"cannot read {name}: {exc}; expected an intact EXR file") from exc


class _Incomplete(Exception):
    """The header goes on behind the bytes read so far."""


class _Cursor:
    """A reader that moves forward through bytes."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def take(self, count: int) -> bytes:
        if count < 0:
            raise ValueError("its header holds a negative size")
        end = self.position + count
        if end > len(self.data):
            raise _Incomplete
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def text(self) -> str:
        """Read a zero-terminated name of at most 255 bytes."""
        end = self.data.find(b"\0", self.position, self.position + 256)
        if end < 0:
            if self.position + 256 > len(self.data):
                raise _Incomplete
            raise ValueError("its header holds a name of more than 255 bytes")
        name = self.take(end - self.position).decode("utf-8", "surrogateescape")
        self.position += 1
        return name

    def int32(self) -> int:
        return int(struct.unpack("<i", self.take(4))[0])


def _parsed(data: bytes) -> ExrInfo:
    cursor = _Cursor(data)
    if data and not struct.pack("<I", _MAGIC).startswith(data[:4]):
        raise ValueError("it is not an EXR file")
    _, version = struct.unpack("<II", cursor.take(8))
    if version & 0xFF != 2 or version & ~0xFF & ~_VERSION_FLAGS:
        raise ValueError(f"its EXR version {version:#x} is unknown")
    parts = [_part(_attributes(cursor), version)]
    while version & _MULTIPART:
        raw = _attributes(cursor)
        if not raw:
            break
        parts.append(_part(raw, version))
        _check_count("parts", len(parts), _MAX_PARTS)
        _check_count("attributes", sum(len(part.raw) for part in parts), _MAX_ATTRIBUTES)
    _check_count("channels", sum(len(part.channels) for part in parts), _MAX_CHANNELS)
    return ExrInfo(tuple(parts))


def _attributes(cursor: _Cursor) -> Dict[str, Tuple[str, bytes]]:
    raw: Dict[str, Tuple[str, bytes]] = {}
    while True:
        name = cursor.text()
        if not name:
            return raw
        kind = cursor.text()
        raw[name] = (kind, cursor.take(cursor.int32()))
        _check_count("attributes", len(raw), _MAX_ATTRIBUTES)


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise ValueError(f"it has {count} {what} or more, expected at most {most}")


def _part(raw: Dict[str, Tuple[str, bytes]], version: int) -> ExrPartInfo:
    for name in ("channels", "compression", "dataWindow", "displayWindow"):
        if name not in raw:
            raise ValueError(f"its header lacks {name!r}")
    attributes = {name: value for name, (kind, data) in raw.items() if (value := _value(kind, data)) is not None}
    compression = raw["compression"][1][0]
    if compression >= len(COMPRESSIONS):
        raise ValueError(f"its compression {compression} is unknown")
    fps = attributes.get("framesPerSecond")
    aspect = attributes.get("pixelAspectRatio")
    return ExrPartInfo(
        name=str(attributes.get("name", "")),
        data_window=_window("dataWindow", raw["dataWindow"][1]),
        display_window=_window("displayWindow", raw["displayWindow"][1]),
        channels=_channels(raw["channels"][1]),
        compression=COMPRESSIONS[compression],
        storage=_storage(str(attributes.get("type", "")), version),
        tile=struct.unpack("<IIB", raw["tiles"][1])[:2] if "tiles" in raw else (0, 0),
        pixel_aspect=aspect if isinstance(aspect, float) and 0 < aspect < float("inf") else 1.0,
        frames_per_second=fps if isinstance(fps, Fraction) else None,
        attributes=attributes,
        raw=raw,
    )


def _storage(declared: str, version: int) -> Storage:
    if version & _DEEP or declared.startswith("deep"):
        return "deep"
    return "tiled" if version & _TILED or declared == "tiledimage" else "scanline"


def _window(name: str, data: bytes) -> Box:
    x0, y0, x1, y1 = struct.unpack("<4i", data)
    if x1 < x0 or y1 < y0 or max(abs(value) for value in (x0, y0, x1, y1)) > _MAX_WINDOW:
        raise ValueError(f"its {name} ({x0}, {y0})-({x1}, {y1}) is not valid")
    return Box(y0, x0, y1 + 1, x1 + 1)


def _channels(data: bytes) -> Dict[str, ChannelInfo]:
    cursor = _Cursor(data)
    channels: Dict[str, ChannelInfo] = {}
    try:
        while name := cursor.text():
            kind, _, x_sampling, y_sampling = struct.unpack("<iB3xii", cursor.take(16))
            if not 0 <= kind < len(_PIXEL_TYPES) or x_sampling < 1 or y_sampling < 1:
                raise ValueError(f"its channel {name!r} is not valid")
            channels[name] = ChannelInfo(_PIXEL_TYPES[kind], x_sampling, y_sampling)
    except _Incomplete:
        raise ValueError("its channel list is cut off") from None
    if not channels:
        raise ValueError("it has no channels")
    return channels


def decode_text(data: bytes) -> str:
    """Decode the text of an attribute: UTF-8, or Latin-1 in files that are older than that rule."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


_FLOATS = {"float": "<f", "v2f": "<2f", "v3f": "<3f", "chromaticities": "<8f", "double": "<d"}


def _value(kind: str, data: bytes) -> Optional[object]:
    readers: Dict[str, Callable[[bytes], object]] = {
        "string": decode_text,
        "int": lambda d: struct.unpack("<i", d)[0],
        "rational": decode_rational,
    }
    if kind in readers:
        return readers[kind](data)
    if kind in _FLOATS:
        values = struct.unpack(_FLOATS[kind], data)
        return values if len(values) > 1 else values[0]
    return None


def decode_rational(data: bytes) -> Optional[Fraction]:
    """Decode a rational; None if its denominator is 0."""
    numerator, denominator = struct.unpack("<iI", data)
    return Fraction(numerator, denominator) if denominator else None
