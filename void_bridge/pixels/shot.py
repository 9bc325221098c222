"""A job's files as decoded frames: the plate as stored, its mattes over one raster."""

from __future__ import annotations

import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

from void_bridge.errors import SizeMismatch
from void_bridge.frames import FrameRange
from void_bridge.job import Job, MatteSource
from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame
from void_bridge.pixels.exr_channels import find_in_frame, picture_index, rgb_names
from void_bridge.pixels.exr_header import ExrInfo, read_info
from void_bridge.pixels.exr_refusals import MAX_PART_PIXELS, refuse_unreadable
from void_bridge.pixels.framing import Framing, hold_framing
from void_bridge.pixels.framing_path import move_framing
from void_bridge.pixels.heal import heal
from void_bridge.pixels.mattes import (
    MattePlanes,
    PlaneRole,
    Quadmask,
    check_same_format,
    matte_box,
    paste_area,
    paste_matte,
    plane_over,
    planes_from_quadmask,
)
from void_bridge.pixels.quadmask import make_quadmask, snapped_area
from void_bridge.sequence import Sequence

Locate = Callable[[Sequence, int], Path]

_READERS = 2


def named_path(sequence: Sequence, frame: int) -> Path:
    """Return the path of a frame as the job names it."""
    return sequence.path(frame)


@dataclass
class ShotFrame:
    """One frame in memory.

    Attributes:
        frame: its number.
        exr: the decoded file.
        rgb_channels: names of red, green and blue in the part that is the picture.
        raster: the shot's raster.
        planes: the mattes over the raster.
        paste: the paste matte over the raster, shape [H, W], in [0, 1].
    """

    frame: int
    exr: ExrFrame
    rgb_channels: Tuple[str, str, str]
    raster: Box
    planes: MattePlanes
    paste: Array

    @property
    def part(self) -> ExrPart:
        """The part that is the picture."""
        return self.exr.picture

    @property
    def window(self) -> Box:
        """The picture's data window, counted from the raster's corner."""
        return self.part.data_window.relative_to(self.raster)

    def rgb(self, box: Optional[Box] = None) -> Array:
        """Return RGB of `box` (default: the raster), shape [H, W, 3], linear, healed; black outside the data window."""
        box = box or Box(0, 0, *self.raster.shape)
        shared = box & self.window
        result = np.zeros((*box.shape, 3), np.float32)
        if not shared.empty:
            there = shared.relative_to(self.window).slices
            view = result[shared.relative_to(box).slices]
            for axis, name in enumerate(self.rgb_channels):
                view[..., axis] = self.part.channels[name][there]
        return heal(result)

    def matte(self, role: PlaneRole) -> Array:
        """Return the matte of a role, shape [H, W] of the raster."""
        return self.paste if role == "paste" else self.planes.plane(role)

    def matte_box(self, role: PlaneRole) -> Box:
        """Return the box around everything above 0 in a matte."""
        return self._paste_box if role == "paste" else matte_box(self.matte(role))

    @cached_property
    def _paste_box(self) -> Box:
        return matte_box(self.paste)


@dataclass(frozen=True)
class MatteReader:
    """A reader of a job's mattes, which it lays over the plate's raster.

    Attributes:
        job: names the mattes.
        raster: of the plate, in EXR pixel coordinates.
        display_window: of the plate, in EXR pixel coordinates.
        locate: returns where a frame's file is on this machine.
    """

    job: Job
    raster: Box
    display_window: Box
    locate: Callable[[Sequence, int], Path]

    def planes(self, frame: int, decoded: Optional[Dict[Path, ExrFrame]] = None) -> MattePlanes:
        """Return the mattes of a frame. A file that holds several, or is among `decoded`, is decoded once.

        Raises:
            UnreadableFile, NoSuchChannel, SizeMismatch: naming the file.
        """
        frames = {} if decoded is None else decoded
        planes = MattePlanes(self.raster.shape)
        for role, source in self.job.mattes.items():
            path = self.locate(Sequence.parse(source.sequence), frame)
            if path not in frames:
                frames[path] = read_frame(path)
            planes = self._with(planes, role, source, frames[path], f"{role} matte {path}")
        return planes

    def _with(self, planes: MattePlanes, role: str, source: MatteSource, matte: ExrFrame, name: str) -> MattePlanes:
        index, channel = find_in_frame(matte, source.channel, name)
        part = matte.parts[index]
        check_same_format(self.job.plate, self.display_window, name, part.display_window)
        laid = (part.channels[channel], part.data_window, self.raster, source.invert)
        if role != "quadmask":
            given: Dict[str, Any] = {role: plane_over(*laid)}
            return dataclasses.replace(planes, **given)
        made = planes_from_quadmask(*laid)
        return dataclasses.replace(planes, remove=made.remove, affected=made.affected)


class Shot:
    """The frames of a job.

    Args:
        job: the job.
        frames: the frames to read, handles included.
        locate: returns where a frame's file is on this machine.

    Attributes:
        job: the job.
        frames: the frames, handles included.
        raster: the union of the plate's data windows, in EXR pixel coordinates.
        pixel_aspect: width of a pixel over its height.
        rate: frames a second.
        half: whether half precision holds every value of the plate's RGB.

    Raises:
        UnreadableFile, NoSuchChannel, MissingFrames: from the constructor, which reads every header.
        SizeMismatch: data windows so far apart that no raster can hold them.
    """

    def __init__(self, job: Job, frames: FrameRange, locate: Locate = named_path) -> None:
        self.job, self.frames = job, frames.frames
        self._plate, self._locate = Sequence.parse(job.plate), locate
        infos = [_readable_info(locate(self._plate, frame)) for frame in frames]
        pictures = [(info.parts[picture_index(info)], rgb_names(info, str(self._plate))) for info in infos]
        first = pictures[0][0]
        self.pixel_aspect = first.pixel_aspect
        self.rate = first.frames_per_second or Fraction(24)
        self.raster = Box.around(part.data_window for part, _ in pictures)
        _check_raster(self.raster, str(self._plate))
        self.half = all(part.channels[name].type == "half" for part, names in pictures for name in names)
        self._mattes = MatteReader(job, self.raster, first.display_window, locate)

    def with_job(self, job: Job) -> Shot:
        """Return the same shot with open options of its job filled in; plate, mattes and frames stay."""
        shot = copy.copy(self)
        shot.job = job
        return shot

    def load(self, index: int) -> ShotFrame:
        """Decode a frame and its mattes; a file that holds several of them is decoded once.

        Raises:
            UnreadableFile, NoSuchChannel, SizeMismatch, MissingFrames.
        """
        path = self._locate(self._plate, self.frames[index])
        plate = read_frame(path)
        planes = self.planes(index, {path: plate})
        names = rgb_names(plate, str(path))
        return ShotFrame(self.frames[index], plate, names, self.raster, planes, self.paste(index, planes))

    def planes(self, index: int, decoded: Optional[Dict[Path, ExrFrame]] = None) -> MattePlanes:
        """Return the mattes of a frame; raises as `load` does."""
        return self._mattes.planes(self.frames[index], decoded)

    def paste(self, index: int, planes: MattePlanes) -> Array:
        """Return the paste matte of a frame with these mattes: shape [H, W] of the raster, in [0, 1]."""
        snapped = None
        if self.job.paste == "snapped":
            snapped = snapped_area(self.quadmask(index, planes), self.framings[index])
        return paste_matte(planes, self.job.dilate, self.job.feather, snapped)

    def quadmask(self, index: int, planes: MattePlanes, clear_affected: bool = False) -> Quadmask:
        """Return the quadmask of a frame with these mattes, shape of the canvas."""
        job, framing = self.job, self.framings[index]
        from_quadmask = job.quadmask is not None
        return make_quadmask(
            planes, framing, job.threshold, job.condition_dilate, clear_affected, from_quadmask=from_quadmask
        )

    @cached_property
    def framings(self) -> Tuple[Framing, ...]:
        """The model's framing of each frame, all of one size; a held one is repeated. Decodes every matte."""
        canvas = self.job.canvas_size
        if self.job.framing == "moving":
            growth = self.job.dilate + self.job.feather
            return move_framing(self.raster, self.drawn, canvas, self.pixel_aspect, growth)
        return (hold_framing(self.raster, self.region, canvas, self.pixel_aspect),) * len(self.frames)

    @property
    def region(self) -> Box:
        """The box around all mattes, in EXR pixel coordinates; empty if nothing is drawn. Decodes every matte."""
        return Box.around(self.drawn)

    @cached_property
    def drawn(self) -> Tuple[Box, ...]:
        """The box around the mattes of each frame, in EXR pixel coordinates; may be empty. Decodes every matte."""

        def box(index: int) -> Box:
            found = matte_box(paste_area(self.planes(index)))
            return found if found.empty else found.moved(self.raster.y0, self.raster.x0)

        with ThreadPoolExecutor(_READERS) as pool:
            return tuple(pool.map(box, range(len(self.frames))))


def _readable_info(path: Path) -> ExrInfo:
    info = read_info(path)
    refuse_unreadable(info, str(path))
    return info


def _check_raster(raster: Box, plate: str) -> None:
    if raster.height * raster.width > MAX_PART_PIXELS:
        raise SizeMismatch(
            f"the data windows of {plate} lie within {raster.width}x{raster.height} pixels; expected at most "
            f"{MAX_PART_PIXELS}: one frame has a data window far from the others, render it again"
        )
