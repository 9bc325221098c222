"""EXR frames, read and written with everything that a comp needs kept.

Every channel of every part stays at its own pixel type; windows, pixel aspect, timecode, views and custom headers come
through. Written files are lossless, also where the read file was not, and depend on the frame's content alone.

Some things change: tiles keep their size but lose their levels below the top one; rationals are reduced (48/2 becomes
24/1); text that is not UTF-8 is read as Latin-1 and written as UTF-8; the `pLinear` hint of channels, empty previews
and empty byte strings, and film keycodes out of range are dropped.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple, Union

import numpy as np
import OpenEXR  # type: ignore[import-not-found]
from numpy.typing import NDArray

from void_bridge.atomic import write_bytes
from void_bridge.errors import OutputError, UnreadableFile
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr_channels import picture_index
from void_bridge.pixels.exr_header import (
    ExrInfo,
    ExrPartInfo,
    decode_text,
    parse_info,
    read_info,
)
from void_bridge.pixels.exr_refusals import refuse_unreadable, refused_attributes

Plane = NDArray[Any]

_LOG = logging.getLogger(__name__)
_DTYPES: Dict[str, type] = {"half": np.float16, "float": np.float32, "uint": np.uint32}
_WINDOWS = ("dataWindow", "displayWindow")
_DERIVED = ("channels", "chunkCount", "name", "version", "maxSamplesPerPixel")
_LOSSY_SETTINGS = ("dwaCompressionLevel", "lossyHTJ2KQuality")
_LOSSLESS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "HTJ2K256", "HTJ2K32", "ZSTD")


@dataclass
class ExrPart:
    """One part of a frame.

    Attributes:
        channels: name -> shape [data_window.height, data_window.width]; float16, float32 or uint32.
        data_window: the pixels that are stored.
        display_window: the pixels that are shown.
        name: name of the part in the file.
        header: every other attribute by name, as OpenEXR's Python module has it (text, numbers, Fraction, TimeCode,
            arrays, ...). Text, int and float can be added; an int over 32 bits is written as text.
    """

    channels: Dict[str, Plane]
    data_window: Box
    display_window: Box
    name: str = ""
    header: Dict[str, Any] = field(default_factory=dict)

    @property
    def pixel_aspect(self) -> float:
        """The width of a pixel over its height; 1 if the header has no valid one."""
        aspect = float(self.header.get("pixelAspectRatio", 1.0))
        return aspect if 0 < aspect < float("inf") else 1.0


@dataclass
class ExrFrame:
    """A decoded frame: its parts, in the order of the file."""

    parts: Tuple[ExrPart, ...]

    @property
    def picture(self) -> ExrPart:
        """The part with the RGB, whose channels `rgb_names` names; else the first part."""
        return self.parts[picture_index(self)]

    def with_picture(self, channels: Dict[str, Plane], header: Mapping[str, Any]) -> ExrFrame:
        """Return a copy whose picture has these channels, and these attributes besides its own."""
        index = picture_index(self)
        part = self.parts[index]
        changed = replace(part, channels=channels, header={**part.header, **header})
        return ExrFrame((*self.parts[:index], changed, *self.parts[index + 1 :]))


def read_frame(path: Path) -> ExrFrame:
    """Decode a file.

    Raises:
        UnreadableFile: missing, not an EXR, cut off, damaged, deep, subsampled, or larger than the limits of
            exr_refusals; the message names the file and the reason.
    """
    info = read_info(path)
    refuse_unreadable(info, str(path))
    if refused_attributes(info):
        return decode_frame(path.read_bytes(), str(path))
    return _decoded(str(path), info, str(path))


def decode_frame(data: bytes, name: str = "EXR data") -> ExrFrame:
    """Decode the bytes of a file; see `read_frame`. `name` is for messages."""
    info = parse_info(io.BytesIO(data), name)
    refuse_unreadable(info, name)
    return _decoded(io.BytesIO(_with_refused_hidden(data, info)), info, name)


def _decoded(source: Union[str, io.BytesIO], info: ExrInfo, name: str) -> ExrFrame:
    try:
        with OpenEXR.File(source, separate_channels=True) as file:
            parts = list(file.parts)
            # OpenEXR only warns about parts and pixels that it could not decode, and leaves them out.
            if len(parts) != len(info.parts):
                raise ValueError(f"{len(parts)} of its {len(info.parts)} parts can be decoded")
            return ExrFrame(tuple(_part(part, header) for part, header in zip(parts, info.parts)))
    except (RuntimeError, ValueError, TypeError, ArithmeticError, OSError, MemoryError) as exc:
        reason = str(exc) or type(exc).__name__
        raise UnreadableFile(f"cannot decode {name}: {reason}; render or copy that file again") from exc


def _part(part: OpenEXR.Part, info: ExrPartInfo) -> ExrPart:
    channels = {name: channel.pixels for name, channel in part.channels.items()}
    for name, spec in info.channels.items():
        plane = channels.get(name)
        if plane is None or plane.shape != info.data_window.shape or plane.dtype != _DTYPES[spec.type]:
            raise ValueError(f"its channel {name!r} cannot be decoded")
    header = {name: value for name, value in part.header.items() if name not in (*_WINDOWS, *_DERIVED)}
    for name, (kind, data) in info.raw.items():
        if kind in ("floatvector", "stringvector") and not data:
            header[name] = OpenEXR.OpaqueAttribute(data, kind)
    _restore_refused(header, info)
    return ExrPart(channels, info.data_window, info.display_window, info.name, header)


def _with_refused_hidden(data: bytes, info: ExrInfo) -> bytes:
    """Return the file with the type names of refused attributes in capitals, so that OpenEXR treats them as unknown."""
    for index, name in refused_attributes(info):
        kind, value = info.parts[index].raw[name]
        plain = name.encode("utf-8", "surrogateescape") + b"\0"
        tail = b"\0" + len(value).to_bytes(4, "little") + value
        data = data.replace(plain + kind.encode() + tail, plain + kind.upper().encode() + tail)
    return data


def _restore_refused(header: Dict[str, Any], info: ExrPartInfo) -> None:
    for _, name in refused_attributes(ExrInfo((info,))):
        kind, value = info.raw[name]
        if kind == "string":
            header[name] = decode_text(value)
        elif kind == "rational":
            header[name] = OpenEXR.OpaqueAttribute(value, kind)
        else:
            _LOG.warning("dropped attribute %r: its keycode is out of range", name)
            header.pop(name, None)


def encode_frame(frame: ExrFrame) -> bytes:
    """Return the bytes of a frame as an EXR file, the same for the same content.

    Raises:
        OutputError: attributes that OpenEXR cannot write, or parts that contradict each other.
    """
    stream = io.BytesIO()
    try:
        OpenEXR.File([OpenEXR.Part(_header(part), _planes(part), part.name) for part in frame.parts]).write(stream)
    except (RuntimeError, ValueError, TypeError) as exc:
        raise OutputError(f"cannot encode the frame as EXR: {exc}; check the headers of the plate") from exc
    return stream.getvalue()


def write_frame(frame: ExrFrame, path: Path, durable: bool = False) -> None:
    """Write a frame, whole or not at all.

    Raises:
        OutputError, DiskFull: naming `path`, which stays as it was.
    """
    write_bytes(path, encode_frame(frame), durable)


def write_simple(
    path: Path,
    channels: Mapping[str, Plane],
    display_window: Optional[Box] = None,
    data_window: Optional[Box] = None,
    header: Optional[Mapping[str, Any]] = None,
    compression: str = "zip",
) -> None:
    """Write a file of one part.

    Args:
        path: the file.
        channels: name -> plane; all have the same shape.
        display_window: by default the data window.
        data_window: by default it starts at (0, 0).
        header: further attributes.
        compression: name of a compression in lower case, or "none".

    Raises:
        OutputError, DiskFull: see `write_frame`.
    """
    height, width = next(iter(channels.values())).shape
    data_window = data_window or Box(0, 0, height, width)
    member = "NO" if compression == "none" else compression.upper()
    settings = {**(header or {}), "compression": getattr(OpenEXR, f"{member}_COMPRESSION")}
    part = ExrPart(dict(channels), data_window, display_window or data_window, header=settings)
    write_frame(ExrFrame((part,)), path)


def _planes(part: ExrPart) -> Dict[str, Plane]:
    for name, plane in part.channels.items():
        assert plane.shape == part.data_window.shape, f"{name} {plane.shape} in window {part.data_window}"
        assert plane.dtype.type in _DTYPES.values(), f"{name} is {plane.dtype}"
    # OpenEXR takes the memory of any other layout for C order, without an error (openexr#1929).
    return {n: np.ascontiguousarray(p, p.dtype.newbyteorder("=")) for n, p in part.channels.items()}


def _header(part: ExrPart) -> Dict[str, Any]:
    dropped = (*_DERIVED, *_LOSSY_SETTINGS, "tiles")
    header = {
        name: _writable(value)
        for name, value in part.header.items()
        if name not in dropped and not isinstance(value, OpenEXR.TileDescription)
    }
    header["compression"] = _lossless(part)
    header["dataWindow"] = _window(part.data_window)
    header["displayWindow"] = _window(part.display_window)
    header["type"] = OpenEXR.scanlineimage
    if part.header.get("type") == OpenEXR.tiledimage:
        header["type"] = OpenEXR.tiledimage
        header["tiles"] = _one_level(part.header["tiles"])
    return header


def _writable(value: Any) -> Any:
    """Return a value that OpenEXR writes faithfully: it writes 0 for a whole number that does not fit 32 bits."""
    return str(value) if isinstance(value, int) and not -(2**31) <= value < 2**31 else value


def _lossless(part: ExrPart) -> OpenEXR.Compression:
    """Return the compression that the part came with if it is lossless for these channels, else ZIP."""
    lossless = [getattr(OpenEXR, f"{name}_COMPRESSION", None) for name in _LOSSLESS]
    if all(plane.dtype.type is not np.float32 for plane in part.channels.values()):
        lossless.append(OpenEXR.PXR24_COMPRESSION)
    compression = part.header.get("compression")
    return compression if compression in lossless else OpenEXR.ZIP_COMPRESSION


def _window(box: Box) -> Tuple[NDArray[np.int32], NDArray[np.int32]]:
    return np.array([box.x0, box.y0], np.int32), np.array([box.x1 - 1, box.y1 - 1], np.int32)


def _one_level(tiles: OpenEXR.TileDescription) -> OpenEXR.TileDescription:
    single = OpenEXR.TileDescription()
    single.xSize, single.ySize = tiles.xSize, tiles.ySize
    single.mode, single.roundingMode = OpenEXR.ONE_LEVEL, OpenEXR.ROUND_DOWN
    return single
