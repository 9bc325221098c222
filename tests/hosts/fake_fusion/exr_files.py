"""The EXR files of Savers and Loaders. A Loader reads R, G, B and A, and no other channel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Tuple

import numpy as np

from tests.hosts.fake_fusion.picture import Picture
from tests.hosts.fake_fusion.registry import COMPRESSIONS
from void_bridge.errors import VoidBridgeError
from void_bridge.pixels.exr import read_frame, write_simple

_NUMBER = re.compile(r"(.*?)(-?\d+)(\.[^.]+)$")


def split_clip(path: str) -> Tuple[str, int, str]:
    """Return the base, the digits and the extension of a Clip; without a number Fusion takes four digits.

    >>> split_clip("/p/plate.0000.exr")
    ('/p/plate.', 4, '.exr')
    """
    found = _NUMBER.match(path)
    if found:
        return found[1], len(found[2]), found[3]
    stem, dot, extension = path.rpartition(".")
    return stem, 4, dot + extension


def frame_path(clip: str, frame: int) -> Path:
    """Return the file of a frame."""
    base, digits, extension = split_clip(clip)
    return Path(f"{base}{frame:0{digits}d}{extension}")


def sequence_of(clip: str) -> Dict[int, Path]:
    """Return the files of the sequence that a path belongs to, by frame number."""
    base, _, extension = split_clip(clip)
    folder, stem = Path(base + "x").parent, Path(base + "x").name[:-1]
    number = re.compile(re.escape(stem) + r"(-?\d+)" + re.escape(extension))
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return {int(match[1]): folder / match[0] for match in map(number.fullmatch, names) if match}


def save(picture: Picture, path: Path, depth: float, compression: float, clipping: str) -> None:
    """Write a file as a Saver does, which makes no folders. Raise RuntimeError if it cannot be written."""
    if not path.parent.is_dir():
        raise RuntimeError(f"cannot write {path}: no such folder")
    shown = picture.over(picture.frame) if clipping == "Frame" else picture
    dtype = {0: np.float32 if picture.depth == "float32" else np.float16, 1: np.float16, 2: np.float32}[int(depth)]
    with np.errstate(over="ignore"):
        planes = {name: np.ascontiguousarray(shown.rgba[..., i], dtype) for i, name in enumerate("RGBA")}
    try:
        write_simple(path, planes, picture.frame, shown.domain, compression=COMPRESSIONS[int(compression)].lower())
    except VoidBridgeError as exc:
        raise RuntimeError(str(exc)) from exc


def load(path: Path) -> Picture:
    """Read a file as a Loader does. Raise RuntimeError if it is missing or cannot be decoded."""
    try:
        part = read_frame(path).picture
    except VoidBridgeError as exc:
        raise RuntimeError(str(exc)) from exc
    window, frame = part.data_window, part.display_window
    planes = [part.channels.get(name) for name in "RGBA"]
    blank = (0.0, 0.0, 0.0, 1.0)
    rgba = [np.full(window.shape, blank[i]) if plane is None else plane for i, plane in enumerate(planes)]
    depth = "float32" if any(plane is not None and plane.dtype == np.float32 for plane in planes) else "float16"
    return Picture(np.ascontiguousarray(np.stack(rgba, axis=-1), np.float32), window, frame, depth)
