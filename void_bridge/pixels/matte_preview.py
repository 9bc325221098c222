"""What a job's mattes come to, before it runs: the quadmask that the model would get, and a picture of them all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Iterator

import cv2
import numpy as np

from void_bridge.atomic import write_bytes
from void_bridge.pixels.exr import write_simple
from void_bridge.pixels.model_domain import to_model
from void_bridge.pixels.movie import write_movie
from void_bridge.pixels.overlay import Picture, overlay
from void_bridge.pixels.shot import Shot
from void_bridge.processes import available_cores
from void_bridge.sequence import Sequence

OnFrame = Callable[[int, int], None]

_THREADS = min(4, available_cores())


class MattePreview:
    """The mattes of a shot, to be looked at. Whatever decodes raises as `Shot.load`."""

    def __init__(self, shot: Shot) -> None:
        self._shot, self._job = shot, shot.job
        self._delivered = [index for index, frame in enumerate(shot.frames) if frame in shot.job.frames]

    def write_quadmasks(self, on_frame: OnFrame = lambda done, total: None) -> None:
        """The delivered frames as EXRs of canvas size: half Y, the value / 255. Raises OutputError, DiskFull too."""
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
        """Overlays of the delivered frames, at the plate's size. Raises OutputError, DiskFull too."""

        def pictures() -> Iterator[Picture]:
            for done, index in enumerate(self._delivered, 1):
                yield self.overlay(index)
                on_frame(done, len(self._delivered))

        write_movie(path, pictures(), self._shot.rate)

    def write_still(self, path: Path, frame: int) -> None:
        """One overlay as PNG. Raises OutputError, DiskFull too."""
        _, data = cv2.imencode(".png", self.overlay(self._shot.frames.index(frame))[..., ::-1])
        write_bytes(path, data.tobytes())

    def overlay(self, index: int) -> Picture:
        """Shape [H, W, 3] of the raster, display-encoded RGB, in the plate's own pixels."""
        frame = self._shot.load(index)
        encoded = to_model(frame.rgb(), self._job.colour)
        picture = np.asarray(np.rint(encoded.clip(0, 1) * 255), np.uint8)
        seen = self._shot.framings[index].crop.relative_to(self._shot.raster)
        return overlay(picture, frame.planes, frame.paste, seen)
