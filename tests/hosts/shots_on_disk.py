"""A shot on disk for tests of hosts, and a real server with the real propagate engine."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Tuple

import numpy as np

from gpu_server.footage import Scene
from gpu_server.private_server import PrivateServer, private_server
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, write_frame
from void_bridge.sequence import Sequence

HEIGHT, WIDTH = 48, 80  # small, since most tests wait for the engine
FRAMES = range(1001, 1009)


@dataclass(frozen=True)
class Footage:
    """plate: R, G, B, A and depth.Z; roto, shadow: A. boxes: x, y, r, t of the object, from the top."""

    plate: Sequence
    roto: Sequence
    shadow: Sequence
    boxes: Tuple[Tuple[int, int, int, int], ...]


def make_footage(folder: Path, pixel_aspect: float = 1.0, overscan: int = 0, dtype: type = np.float16) -> Footage:
    """Write a moving camera over texture, with an object that has a shadow.

    Args:
        overscan: pixels of the data window beyond the display window, on each side.
    """
    scene = Scene("pan", HEIGHT, WIDTH, len(FRAMES), seed=5)
    names = ("plate", "roto", "shadow")
    plate, roto, shadow = (Sequence.parse(str(folder / f"{name}.####.exr")) for name in names)
    data = Box(0, 0, HEIGHT, WIDTH)
    display = Box(overscan, overscan, HEIGHT - overscan, WIDTH - overscan)
    shift = Box(-overscan, -overscan, HEIGHT - overscan, WIDTH - overscan) if overscan else data
    size = Box(0, 0, display.height, display.width)
    boxes = []
    for index, frame in enumerate(FRAMES):
        made = scene.frame(index)
        picture = {name: _plane(made.plate[..., axis], dtype) for axis, name in enumerate("RGB")}
        picture["A"] = np.full(data.shape, 0.75, dtype)
        picture["depth.Z"] = np.full(data.shape, index + 1, np.float32)
        header = {"studio/shot": "sh010", "pixelAspectRatio": pixel_aspect}
        write_frame(ExrFrame((ExrPart(picture, shift, size, header=header),)), plate.path(frame))
        for sequence, matte in ((roto, made.remove), (shadow, made.affected)):
            part = ExrPart({"A": _plane(matte, np.float16)}, shift, size, header={"pixelAspectRatio": pixel_aspect})
            write_frame(ExrFrame((part,)), sequence.path(frame))
        rows, columns = np.nonzero(made.remove > 0)
        boxes.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
    return Footage(plate, roto, shadow, tuple(boxes))


def _plane(values: np.ndarray, dtype: type) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=dtype)


@contextmanager
def propagate_server(folder: Path) -> Iterator[PrivateServer]:
    """Start a real server; a host finds it through the variables of `point_hosts_at`."""
    with private_server(folder) as server:
        yield server


def point_hosts_at(server: PrivateServer, monkeypatch) -> None:
    """Set the variables of the plug-in's configuration, as a site would."""
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(server.config.runtime_dir))
    monkeypatch.setenv("VOID_BRIDGE_SPOOL", str(server.config.spool))
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "false")
