"""Previews of a job's mattes before it runs: the quadmask that the model would get, and overlays on the plate."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.atomic import write_bytes
from void_bridge.pixels.arrays import Picture
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import write_simple
from void_bridge.pixels.mattes import PRESENT, MattePlanes, Plane, matte_box
from void_bridge.pixels.model_domain import to_model
from void_bridge.pixels.movie import write_movie
from void_bridge.pixels.shot import Shot
from void_bridge.processes import available_cores
from void_bridge.sequence import Sequence

OnFrame = Callable[[int, int], None]

_THREADS = min(4, available_cores())


class MattePreview:
    """The mattes of a shot. Methods that decode frames raise as `Shot.load` does."""

    def __init__(self, shot: Shot) -> None:
        self._shot, self._job = shot, shot.job
        self._delivered = [index for index, frame in enumerate(shot.frames) if frame in shot.job.frames]

    def write_quadmasks(self, on_frame: OnFrame = lambda done, total: None) -> None:
        """Write the quadmasks of delivered frames as EXRs of canvas size: half Y, the value / 255.

        Args:
            on_frame: called with the frames done and their count.

        Raises:
            OutputError, DiskFull: and the errors of `Shot.load`.
        """
        output, framings = Sequence.parse(self._job.output), self._shot.framings

        def write(index: int) -> None:
            crop = framings[index].crop
            header = {"void_bridge/crop": f"{crop.x0} {crop.y0} {crop.x1 - 1} {crop.y1 - 1}"}
            plane = (self._shot.quadmask(index, self._shot.planes(index)) / np.float32(255)).astype(np.float16)
            write_simple(output.path(self._shot.frames[index]), {"Y": plane}, header=header)

        with ThreadPoolExecutor(_THREADS) as pool:
            for done, _ in enumerate(pool.map(write, self._delivered), 1):
                on_frame(done, len(self._delivered))

    def write_movie(self, path: Path, on_frame: OnFrame = lambda done, total: None) -> None:
        """Write overlays of the delivered frames as a movie, at the plate's size.

        Args:
            path: the movie.
            on_frame: called with the frames done and their count.

        Raises:
            OutputError, DiskFull: and the errors of `Shot.load`.
        """

        def pictures() -> Iterator[Picture]:
            for done, index in enumerate(self._delivered, 1):
                yield self.overlay(index)
                on_frame(done, len(self._delivered))

        write_movie(path, pictures(), self._shot.rate)

    def write_still(self, path: Path, frame: int) -> None:
        """Write one overlay as PNG.

        Raises:
            OutputError, DiskFull: and the errors of `Shot.load`.
        """
        _, data = cv2.imencode(".png", self.overlay(self._shot.frames.index(frame))[..., ::-1])
        write_bytes(path, data.tobytes())

    def overlay(self, index: int) -> Picture:
        """Return the overlay of a frame in the plate's pixels: shape [H, W, 3] of the raster, display-encoded RGB."""
        frame = self._shot.load(index)
        encoded = to_model(frame.rgb(), self._job.colour)
        picture = np.asarray(np.rint(encoded.clip(0, 1) * 255), np.uint8)
        seen = self._shot.framings[index].crop.relative_to(self._shot.raster)
        return overlay(picture, frame.planes, frame.paste, seen)


Colour = Tuple[int, int, int]

_TINT = 0.5
_WHITE = (255, 255, 255)
_GREY = (170, 170, 170)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LEGEND_HEIGHT = 1 / 28  # height of a line, as a share of the picture's


class OverlayLayer(NamedTuple):
    """A matte of an overlay with its colour and its label in the legend."""

    label: str
    colour: Colour
    plane: Plane


def overlay(
    picture: Picture, planes: MattePlanes, paste: Optional[Plane] = None, seen: Optional[Box] = None
) -> Picture:
    """Lay the mattes over a picture as tints with outlines, and add a legend.

    Args:
        picture: shape [H, W, 3], display-encoded RGB. It is not changed.
        planes: mattes over the same raster.
        paste: shape [H, W]; its outline is drawn in white: nothing changes outside.
        seen: the part that a model sees, counted from the raster's corner; drawn as a thin frame unless it is
            everything.
    """
    assert picture.shape[:2] == planes.shape, f"a picture of {picture.shape} for mattes of {planes.shape}"
    result: Picture = picture.copy()
    layers = _layers(planes)
    for layer in layers:
        _tint(result, layer)
    entries = [(layer.label, layer.colour) for layer in layers]
    if paste is not None and paste.any():
        _outline(result, paste > 0, _WHITE)
        entries.append(("may change", _WHITE))
    if seen is not None and seen & _whole(picture) != _whole(picture):
        cv2.rectangle(result, (seen.x0, seen.y0), (seen.x1 - 1, seen.y1 - 1), _GREY, 1)
        entries.append(("model's frame", _GREY))
    _legend(result, entries)
    return result


def _whole(picture: Picture) -> Box:
    return Box(0, 0, *picture.shape[:2])


def _layers(planes: MattePlanes) -> List[OverlayLayer]:
    """Return the layers that have anything, a later one on top of those before it."""
    remove, affected = planes.plane("remove"), planes.plane("affected")
    overlap = np.minimum(remove, affected)
    layers = (
        OverlayLayer("affected", (255, 214, 0), affected - overlap),
        OverlayLayer("remove", (235, 30, 45), remove - overlap),
        OverlayLayer("remove + affected", (255, 120, 0), overlap),
        OverlayLayer("exclude", (60, 130, 255), planes.plane("exclude")),
        OverlayLayer("keep", (40, 200, 80), planes.plane("keep")),
    )
    return [layer for layer in layers if np.any(layer.plane > PRESENT)]


def _tint(picture: Picture, layer: OverlayLayer) -> None:
    cut = matte_box(layer.plane).slices
    share = (_TINT * layer.plane[cut])[..., np.newaxis]
    picture[cut] = np.rint(picture[cut] * (1 - share) + np.array(layer.colour, np.float32) * share)
    _outline(picture, layer.plane >= 0.5, layer.colour)


def _outline(picture: Picture, area: NDArray[np.bool_], colour: Colour) -> None:
    """Draw along the inner side of the area's edge, thicker on larger pictures."""
    width = 2 * max(1, round(min(area.shape) / 1080)) + 1
    inner = cv2.erode(area.view(np.uint8), np.ones((width, width), np.uint8), borderValue=1)
    picture[area & (inner == 0)] = colour


def _legend(picture: Picture, entries: List[Tuple[str, Colour]]) -> None:
    line = max(14, round(picture.shape[0] * _LEGEND_HEIGHT))
    size, stroke = line / 40, max(1, line // 24)
    lefts = [line // 2]
    for label, _ in entries:
        (width, _), _ = cv2.getTextSize(label, _FONT, size, stroke)
        lefts.append(lefts[-1] + width + 5 * line // 2)
    top = picture.shape[0] - 3 * line // 2
    if entries:
        picture[top - line // 2 :, : lefts[-1]] //= 3
    for left, (label, colour) in zip(lefts, entries):
        cv2.rectangle(picture, (left, top), (left + line, top + line), colour, cv2.FILLED)
        origin = (left + 3 * line // 2, top + 3 * line // 4)
        cv2.putText(picture, label, origin, _FONT, size, _WHITE, stroke, cv2.LINE_AA)
