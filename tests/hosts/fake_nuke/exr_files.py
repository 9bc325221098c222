"""EXR files in and out, in the manner of the vendor's exrReader.cpp and exrWriter.cpp (see ../data/nuke_extra.json).

Not done: deep files, several parts a file when writing, lossy compression (refused: OpenEXR would not give back what a
test compares).
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import OpenEXR  # type: ignore[import-not-found]

from tests.hosts.fake_nuke.formats import Format
from tests.hosts.fake_nuke.image import Box, Image, Plane
from void_bridge.errors import VoidBridgeError
from void_bridge.pixels.box import Box as RowBox
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame, write_frame

COMPRESSIONS = {
    "none": OpenEXR.NO_COMPRESSION,
    "Zip (1 scanline)": OpenEXR.ZIPS_COMPRESSION,
    "Zip (16 scanlines)": OpenEXR.ZIP_COMPRESSION,
    "PIZ Wavelet (32 scanlines)": OpenEXR.PIZ_COMPRESSION,
    "RLE": OpenEXR.RLE_COMPRESSION,
}
_TO_EXR = {"rgba.red": "R", "rgba.green": "G", "rgba.blue": "B", "rgba.alpha": "A", "depth.Z": "Z"}
_COLOURS = {"r": "red", "g": "green", "b": "blue", "a": "alpha"}
_RENAMED = {"timeCode": "input/timecode", "framesPerSecond": "input/frame_rate", "expTime": "input/exposure"}
_KEPT = ("nuke/node_hash", "nuke/version", "nuke/full_layer_names")
_BITS = {np.dtype(np.float16): "16-bit half float", np.dtype(np.float32): "32-bit float"}
_NO_ATTRIBUTE = ("type", "chunkCount", "channels", "name", "view", "version", "tiles")


def nuke_channel(exr_name: str, views: Sequence[str] = ()) -> Tuple[str, str]:
    """Return Nuke's name of an EXR channel, and its view, such as ("rgba.red", "") for R."""
    parts = [re.sub(r"[^0-9A-Za-z]", "_", part.lstrip("0123456789")) for part in exr_name.split(".", 2)]
    parts = [part for part in parts if part] or ["unnamed"]
    view = next((part for part in parts[:-1] if part in views), "")
    layer = "_".join(part for part in parts[:-1] if part not in views)
    channel = parts[-1]
    if channel.lower() in (*_COLOURS, *_COLOURS.values()):
        channel = _COLOURS.get(channel.lower(), channel.lower())
        return f"{'rgba' if layer in ('', 'Ci') else layer}.{channel}", view
    if not layer and channel in ("Z", "z"):
        return "depth.Z", view
    return f"{layer or 'other'}.{channel}", view


def exr_channel(nuke_name: str) -> str:
    return _TO_EXR.get(nuke_name, nuke_name)


def read(path: str, view: str, edge_pixels: str = "plate detect", offset_display: bool = True) -> Image:
    """Read a file, pixels as they are stored.

    Raises:
        RuntimeError: it is not there or cannot be decoded.
    """
    try:
        frame = read_frame(Path(path))
    except VoidBridgeError as exc:
        raise RuntimeError(str(exc)) from exc
    part = frame.picture
    fmt, shift = _format_of(part, offset_display)
    box = _nuke_box(part.data_window, part.display_window, shift)
    image = Image(_planes(frame, view), box, fmt, metadata_of(part, path))
    exact = part.data_window == part.display_window
    if edge_pixels == "black" or (edge_pixels == "plate detect" and not exact):
        image = image.over(box.grown(1))
        image.black_outside = True
    return image


def _format_of(part: ExrPart, offset_display: bool) -> Tuple[Format, int]:
    """Return the format, which starts at 0 in Nuke, and by how much pixels move to the right for it."""
    window = part.display_window
    if not offset_display and window.x0 < 0:
        return Format(window.x1 + window.x0, window.height, part.pixel_aspect), 0
    return Format(window.width, window.height, part.pixel_aspect), -window.x0


def _nuke_box(data: RowBox, display: RowBox, shift: int) -> Box:
    return Box(data.x0 + shift, display.y1 - data.y1, data.x1 + shift, display.y1 - data.y0)


def _planes(frame: ExrFrame, view: str) -> Dict[str, Plane]:
    views = [str(each) for each in frame.picture.header.get("multiView", ())]
    found: Dict[str, Plane] = {}
    for part in frame.parts:
        for exr_name, plane in part.channels.items():
            name, its_view = nuke_channel(exr_name, views)
            hero = not its_view or its_view == (views[0] if views else "")
            if part.data_window == frame.picture.data_window and (its_view == view or (hero and name not in found)):
                found[name] = np.ascontiguousarray(plane, np.float32)
    return found


def metadata_of(part: ExrPart, path: str) -> Dict[str, Any]:
    first = next(iter(part.channels.values()))
    metadata: Dict[str, Any] = {
        "input/filename": path,
        "input/filereader": "exr",
        "input/width": part.display_window.width,
        "input/height": part.display_window.height,
        "input/bitsperchannel": _BITS.get(first.dtype, "32-bit integer"),
        "exr/dataWindow": _corners(part.data_window),
        "exr/displayWindow": _corners(part.display_window),
    }
    for name, value in part.header.items():
        plain = _plain(value)
        if plain is not None and name not in _NO_ATTRIBUTE:
            metadata[_RENAMED.get(name, name if name in _KEPT else f"exr/{name}")] = plain
    return metadata


def _corners(box: RowBox) -> List[int]:
    return [box.x0, box.y0, box.x1 - 1, box.y1 - 1]


def _plain(value: Any) -> Any:
    """Return a header attribute as `metadata()` shows it; None for one that it leaves out."""
    if isinstance(value, OpenEXR.TimeCode):
        return f"{value.hours:02d}:{value.minutes:02d}:{value.seconds:02d}:{value.frame:02d}"
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, np.ndarray):
        return [float(number) for number in value.ravel()]
    return value if isinstance(value, (str, int, float)) else None


def write(
    path: str,
    image: Image,
    names: Sequence[str],
    float32: bool,
    compression: str,
    header: Mapping[str, Any],
    views: Optional[Mapping[str, Image]] = None,
) -> None:
    """Write channels of an image, whole or not at all: under a temporary name first.

    names: Nuke's channel names. views: further views of the same file, by name.

    Raises:
        RuntimeError: nothing to write, or the file cannot be written.
    """
    if compression not in COMPRESSIONS:
        raise RuntimeError(f"the fake writes no {compression}, which loses what tests compare")
    dtype = np.float32 if float32 else np.float16
    box = _written_box(image)
    with np.errstate(over="ignore"):
        planes = {exr_channel(n): image.plane(n, box).astype(dtype) for n in names if n in image.channels}
        for view, other in (views or {}).items():
            planes.update({f"{view}.{exr_channel(n)}": other.plane(n, box).astype(dtype) for n in names})
    if not planes:
        raise RuntimeError("exrWriter: No channels selected (or available) for write")
    fmt = image.format
    data = RowBox(fmt._height - box.t, box.x, fmt._height - box.y, box.r)
    attributes = {**header, "compression": COMPRESSIONS[compression], "pixelAspectRatio": float(fmt._aspect)}
    part = ExrPart(planes, data, RowBox(0, 0, fmt._height, fmt._width), header=attributes)
    try:
        write_frame(ExrFrame((part,)), Path(path))
    except VoidBridgeError as exc:
        raise RuntimeError(str(exc)) from exc


def _written_box(image: Image) -> Box:
    """Return the box without the black pixels around it that only mark its end."""
    box = image.box
    if image.black_outside:
        across = 1 if box.x + 2 < box.r else 0
        down = 1 if box.y + 2 < box.t else 0
        box = Box(box.x + across, box.y + down, box.r - across, box.t - down)
    return box


def header_of(metadata: Mapping[str, Any], node_hash: str, version: str) -> Dict[str, Any]:
    """Return the attributes that the writer makes of metadata, at its default setting."""
    header: Dict[str, Any] = {"nuke/node_hash": node_hash, "nuke/version": version, "nuke/full_layer_names": 0}
    found = re.fullmatch(r"(\d\d):(\d\d):(\d\d):(\d\d)", str(metadata.get("input/timecode", "")))
    if found:
        header["timeCode"] = OpenEXR.TimeCode(*(int(number) for number in found.groups()), *[0] * 14)
    if metadata.get("input/frame_rate"):
        header["framesPerSecond"] = Fraction(metadata["input/frame_rate"]).limit_denominator(1001)
    return header
