"""A job's mattes from their files, over the plate's raster."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from void_bridge.job import Job, MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, read_frame
from void_bridge.pixels.exr_channels import find_in_frame
from void_bridge.pixels.mattes import MattePlanes, check_same_format, plane_over, planes_from_quadmask
from void_bridge.sequence import Sequence


@dataclass(frozen=True)
class MatteReader:
    """raster, display_window: of the plate, in EXR pixel coordinates. locate: where a frame's bytes lie here."""

    job: Job
    raster: Box
    display_window: Box
    locate: Callable[[Sequence, int], Path]

    def planes(self, frame: int, decoded: Optional[Dict[Path, ExrFrame]] = None) -> MattePlanes:
        """The mattes of a frame. A file that holds several, or is among `decoded`, is decoded once.

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
