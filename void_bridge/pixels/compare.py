"""Comparison movies and contact sheets for a review.

A movie shows the clip once with both pictures at half size, before on the left; then once at full size, with a line
that moves across and back: before on its left, after on its right. A short clip is repeated.
"""

from __future__ import annotations

import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Callable, Iterator, List, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.atomic import write_bytes
from void_bridge.job import Colour, Job
from void_bridge.pixels.arrays import Picture, spread_indices
from void_bridge.pixels.box import Box
from void_bridge.pixels.colour import to_display
from void_bridge.pixels.contact_sheet import contact_sheet
from void_bridge.pixels.exr import ExrFrame, read_frame
from void_bridge.pixels.exr_channels import rgb_names
from void_bridge.pixels.exr_header import read_info
from void_bridge.pixels.movie import write_movie
from void_bridge.processes import available_cores
from void_bridge.sequence import Sequence

_LARGEST_HALF = 65504.0
_SHORTEST_PART_S = 3
_BACKDROP = 18
_LINE = 200
_SHEET_COLUMNS = 5
_SHEET_TILE = 360


@dataclass(frozen=True)
class ReviewView:
    """The rendering of linear pixels for a review.

    Attributes:
        display: a display of the config; empty for its default.
        view: a view of the display; empty for its default.
        exposure_stops: stops that are added.
        width: largest width of the movie, in pixels.
    """

    display: str = ""
    view: str = ""
    exposure_stops: float = 0.0
    width: int = 1920


def write_comparison(
    job: Job, path: Path, view: ReviewView, on_frame: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Write the comparison movie of a job whose frames are all delivered.

    Args:
        job: the job.
        path: the movie.
        view: how the pixels are rendered.
        on_frame: called with the frames rendered and their count.

    Raises:
        MissingFrames, UnreadableFile, NoSuchChannel, ColourError, OutputError, DiskFull.
    """
    plates, results = Sequence.parse(job.plate), Sequence.parse(job.output)
    plates.require(job.frames)
    results.require(job.frames)
    first = read_info(plates.path(job.frames.first)).picture
    size = _movie_size(first.display_window, first.pixel_aspect, view.width)
    rate = first.frames_per_second or Fraction(24)
    paths = [files.path(frame) for frame in job.frames for files in (plates, results)]
    # Rendered pictures wait in a file, so that a long shot needs no memory and is rendered once.
    with tempfile.TemporaryFile(prefix="void-bridge-") as store:
        with ThreadPoolExecutor(min(4, available_cores())) as pool:
            rendered = pool.map(lambda file: _picture(file, job.colour, view, size), paths)
            for index, picture in enumerate(rendered):
                store.write(picture.tobytes())
                on_frame(index // 2 + 1, len(job.frames))
        write_movie(path, _movie(store, size, list(job.frames), rate), rate)


def write_contact_sheet(job: Job, path: Path, view: ReviewView) -> None:
    """Write a PNG with a few frames, spread over the shot, before and after.

    Raises:
        MissingFrames, UnreadableFile, NoSuchChannel, ColourError, OutputError, DiskFull.
    """
    plates, results = Sequence.parse(job.plate), Sequence.parse(job.output)
    shown = [job.frames.frames[index] for index in spread_indices(len(job.frames), _SHEET_COLUMNS)]
    info = read_info(plates.path(shown[0])).picture
    size = _movie_size(info.display_window, info.pixel_aspect, _SHEET_TILE)
    rows = {
        label: [_picture(files.path(frame), job.colour, view, size) for frame in shown]
        for label, files in (("before", plates), ("after", results))
    }
    sheet = contact_sheet(rows, [str(frame) for frame in shown], size[0])
    encoded = cv2.imencode(".png", sheet[:, :, ::-1])[1]
    write_bytes(path, encoded.tobytes())


def _movie_size(window: Box, pixel_aspect: float, most: int) -> Tuple[int, int]:
    """Return width and height in square pixels, both even."""
    wide = window.width * pixel_aspect
    scale = min(1.0, most / wide)
    return max(2, round(wide * scale / 2) * 2), max(2, round(window.height * scale / 2) * 2)


def _picture(path: Path, colour: Colour, view: ReviewView, size: Tuple[int, int]) -> Picture:
    linear = cv2.resize(_displayed_rgb(read_frame(path), path), size, interpolation=cv2.INTER_AREA)
    exposed = np.asarray(linear * math.pow(2.0, view.exposure_stops), np.float32)
    shown = to_display(exposed, colour, view.display, view.view)
    return np.asarray(np.rint(shown.clip(0, 1) * 255), np.uint8)


def _displayed_rgb(frame: ExrFrame, path: Path) -> NDArray[np.float32]:
    """Return the display window's pixels, shape [H, W, 3], black where there is no data."""
    part, names = frame.picture, rgb_names(frame, str(path))
    window = part.display_window
    seen = window & part.data_window
    rgb = np.zeros((*window.shape, 3), np.float32)
    if not seen.empty:
        source, target = seen.relative_to(part.data_window).slices, seen.relative_to(window).slices
        for index, name in enumerate(names):
            rgb[..., index][target] = part.channels[name][source]
    return np.nan_to_num(rgb, copy=False, nan=0.0, posinf=_LARGEST_HALF, neginf=-_LARGEST_HALF)


def _movie(store: BinaryIO, size: Tuple[int, int], frames: List[int], rate: Fraction) -> Iterator[Picture]:
    repeats = max(1, math.ceil(_SHORTEST_PART_S * rate / len(frames)))
    order = list(range(len(frames))) * repeats
    for index in order:
        yield _side_by_side(*_stored_pair(store, size, index), frames[index])
    for step, index in enumerate(order):
        phase = (step + 0.5) / len(order)
        share = 0.5 + 0.5 * math.cos(2 * math.pi * phase)
        yield _wiped(*_stored_pair(store, size, index), frames[index], share)


def _stored_pair(store: BinaryIO, size: Tuple[int, int], index: int) -> Tuple[Picture, Picture]:
    """Read the pictures before and after of a frame."""
    width, height = size
    pair_bytes = 2 * height * width * 3
    store.seek(index * pair_bytes)
    before, after = np.frombuffer(store.read(pair_bytes), np.uint8).reshape(2, height, width, 3)
    return before, after


def _side_by_side(before: Picture, after: Picture, frame: int) -> Picture:
    height, width = before.shape[:2]
    half = (width // 2, height // 2)
    canvas = np.full_like(before, _BACKDROP)
    top = (height - half[1]) // 2
    for column, (picture, label) in enumerate(((before, "before"), (after, "after"))):
        panel = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
        canvas[top : top + half[1], column * half[0] : (column + 1) * half[0]] = panel
        _write(canvas, label, column * half[0], top + half[1])
    _write(canvas, str(frame), 0, height)
    return canvas


def _wiped(before: Picture, after: Picture, frame: int, share: float) -> Picture:
    """Show the picture before on `share` of the width, and the picture after on the rest."""
    height, width = before.shape[:2]
    edge = round(share * width)
    canvas = np.concatenate([before[:, :edge], after[:, edge:]], axis=1)
    canvas[:, max(0, edge - 1) : edge + 1] = _LINE
    _write(canvas, str(frame), 0, height)
    gap = height // 60
    if edge > width // 8:
        _write(canvas, "before", edge - gap - _text_width("before", height), height)
    if edge < width - width // 8:
        _write(canvas, "after", edge, height)
    return canvas


def _write(canvas: Picture, text: str, left: int, bottom: int) -> None:
    """Write small light text with a dark edge, in the corner above `left`, `bottom`."""
    height = canvas.shape[0]
    gap, scale = max(4, height // 60), _text_scale(height)
    origin = (left + gap, bottom - gap)
    for shade, weight in ((0, 3), (225, 1)):
        cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (shade,) * 3, weight, cv2.LINE_AA)


def _text_scale(height: int) -> float:
    return max(0.35, height / 1500)


def _text_width(text: str, height: int) -> int:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _text_scale(height), 1)
    return int(width) + max(4, height // 60)
