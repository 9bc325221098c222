"""A job's files as decoded frames: the plate as it came, its mattes over one raster."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Role
from void_bridge.errors import MissingFrames
from void_bridge.frames import FrameRange
from void_bridge.job import Job, MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame
from void_bridge.pixels.exr_channels import find_in_frame, picture_index, rgb_names
from void_bridge.pixels.exr_header import read_info
from void_bridge.pixels.framing import Framing, hold_framing
from void_bridge.pixels.heal import heal
from void_bridge.pixels.mattes import (
    MattePlanes,
    check_same_format,
    matte_box,
    paste_area,
    paste_matte,
    plane_over,
    planes_from_quadmask,
)
from void_bridge.pixels.quadmask import condition, snapped_area
from void_bridge.sequence import Sequence

Array = NDArray[np.float32]


@dataclass
class ShotFrame:
    """One frame in memory.

    picture: the part that holds the plate's RGB; rgb_channels: their names in it.
    planes, paste: mattes over the shot's raster, shape [H, W], in [0, 1].
    """

    frame: int
    exr: ExrFrame
    picture: int
    rgb_channels: tuple[str, str, str]
    raster: Box
    planes: MattePlanes
    paste: Array

    @property
    def part(self) -> ExrPart:
        return self.exr.parts[self.picture]

    @property
    def window(self) -> Box:
        """The picture's data window, counted from the raster's corner."""
        return self.part.data_window.relative_to(self.raster)

    def rgb(self, box: Box | None = None) -> Array:
        """Shape [H, W, 3] of `box` (default: the raster), linear, healed. Black outside the data window."""
        box = box or Box(0, 0, *self.raster.shape)
        shared = box & self.window
        result = np.zeros((*box.shape, 3), np.float32)
        if not shared.empty:
            there = shared.relative_to(self.window).slices
            planes = [self.part.channels[name][there] for name in self.rgb_channels]
            result[shared.relative_to(box).slices] = np.stack(planes, -1)
        return heal(result)

    def matte(self, role: Role) -> Array:
        return self.paste if role == "paste" else self.planes.plane(role)

    def matte_box(self, role: Role) -> Box:
        return self._paste_box if role == "paste" else matte_box(self.matte(role))

    @cached_property
    def _paste_box(self) -> Box:
        return matte_box(self.paste)


class Shot:
    """The frames of a job and where their bytes lie.

    job: may be replaced once engine and exposure are known. files: path as the job names it -> file here.
    frames: what is read, handles included, ascending; delivered: what comes back.
    raster: the union of the plate's data windows, in EXR pixel coordinates. display_window: of the first frame.
    half: whether half precision holds every value of the plate's RGB.
    """

    def __init__(self, job: Job, files: Mapping[str, str]) -> None:
        self.job, self._files = job, files
        self._plate = Sequence.parse(job.plate)
        self._mattes = {role: (source, Sequence.parse(source.sequence)) for role, source in job.mattes.items()}
        self.frames = self._with_handles(job.frames, job.handles).frames
        self.delivered = self.frames if job.deliver_handles else job.frames.frames
        infos = [read_info(self._file(self._plate, frame)) for frame in self.frames]
        pictures = [(info.parts[picture_index(info)], rgb_names(info)) for info in infos]
        self.raster = Box.around(part.data_window for part, _ in pictures)
        self.display_window = pictures[0][0].display_window
        self.pixel_aspect = pictures[0][0].pixel_aspect
        self.half = all(part.channels[name].type == "half" for part, names in pictures for name in names)

    @property
    def wanted(self) -> list[int]:
        """Indices of the delivered frames in `frames`."""
        delivered = set(self.delivered)
        return [index for index, frame in enumerate(self.frames) if frame in delivered]

    def load(self, index: int) -> ShotFrame:
        """Decode a frame and its mattes; a file that holds several of them is decoded once.

        Raises:
            UnreadableFile, NoSuchChannel, SizeMismatch, MissingFrames.
        """
        frame = self.frames[index]
        path = self._file(self._plate, frame)
        plate = read_frame(path)
        names, picture = rgb_names(plate, path.name), picture_index(plate)
        planes = self._planes(frame, {path: plate})
        paste = paste_matte(planes, self.job.dilate, self.job.feather, self._snapped(planes))
        return ShotFrame(frame, plate, picture, names, self.raster, planes, paste)

    @cached_property
    def framing(self) -> Framing:
        """The framing of a model, held over the shot, around all that is drawn. Decodes every matte."""
        drawn = (matte_box(paste_area(self._planes(frame, {}))) for frame in self.frames)
        region = Box.around(drawn).moved(self.raster.y0, self.raster.x0)
        return hold_framing(self.raster, region, self.job.canvas_size, self.pixel_aspect)

    def _snapped(self, planes: MattePlanes) -> NDArray[np.bool_] | None:
        if self.job.paste == "drawn":
            return None
        quadmask = condition(planes, self.framing, self.job.threshold, self.job.condition_dilate)
        return snapped_area(quadmask, self.framing)

    def _with_handles(self, frames: FrameRange, handles: int) -> FrameRange:
        """As far as the plate came with the job."""
        reach = handles * max(1, frames.last - frames.first)
        around = range(frames.first - reach, frames.last + reach + 1)
        sent = [frame for frame in around if str(self._plate.path(frame)) in self._files] if handles else []
        return frames.with_handles(handles, sent)

    def _planes(self, frame: int, decoded: dict[Path, ExrFrame]) -> MattePlanes:
        planes = MattePlanes(self.raster.shape)
        for role, (source, sequence) in self._mattes.items():
            path = self._file(sequence, frame)
            if path not in decoded:
                decoded[path] = read_frame(path)
            given = self._laid(source, decoded[path], f"{role} matte {sequence}", role == "quadmask")
            planes = dataclasses.replace(planes, **given if isinstance(given, dict) else {role: given})
        return planes

    def _laid(self, source: MatteSource, matte: ExrFrame, name: str, quadmask: bool) -> Array | dict[str, Array | None]:
        index, channel = find_in_frame(matte, source.channel, name)
        part = matte.parts[index]
        check_same_format(str(self._plate), self.display_window, name, part.display_window)
        laid = (part.channels[channel], part.data_window, self.raster, source.invert)
        if not quadmask:
            return plane_over(*laid)
        planes = planes_from_quadmask(*laid)
        return {"remove": planes.remove, "affected": planes.affected}

    def _file(self, sequence: Sequence, frame: int) -> Path:
        path = self._files.get(str(sequence.path(frame)))
        if path is None:
            raise MissingFrames(f"frame {frame} of {sequence} did not come with the job; submit the job again")
        return Path(path)
