"""A job's shot decoded on a thread pool, in the forms that engines ask for: stream clips and stored clips."""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Indices
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np

from gpu_server.frame_files import FrameFiles
from gpu_server.worker.context import RunContext, WorkerStage
from void_bridge.bounded_map import bounded_map
from void_bridge.errors import MissingFrames
from void_bridge.job import Job
from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import PlaneRole, matte_box
from void_bridge.pixels.shot import Shot, ShotFrame
from void_bridge.real_paths import check_no_link
from void_bridge.sequence import Sequence

ROLES: tuple[PlaneRole, ...] = get_args(PlaneRole)


def open_shot(job: Job, files: Mapping[str, str], by_path: bool = False) -> Shot:
    """Open the shot of a job, with as many handles as came with it.

    Args:
        job: the job.
        files: path as the job names it -> file on this machine.
        by_path: whether the files are where their submitter has them. No link led to them when they were checked; a
            link that is there now could lead to any other file and is refused.

    Raises:
        MissingFrames, UnreadableFile, NoSuchChannel, Refused.
    """

    def locate(sequence: Sequence, frame: int) -> Path:
        path = files.get(str(sequence.path(frame)))
        if path is None:
            raise MissingFrames(f"frame {frame} of {sequence} was not sent with the job; submit the job again")
        if by_path:
            check_no_link(path, path)
        return Path(path)

    return Shot(job, job.frames.with_handles(job.handles, Sequence.parse(job.plate).frames_among(files)), locate)


class HeldFrames:
    """Frames of a shot in a given order, decoded a few ahead and held until they are taken.

    Args:
        shot: the shot.
        order: indices in the order in which they are asked for.
        pool: decodes the frames.
        ahead: frames that are decoded before they are asked for.
    """

    def __init__(self, shot: Shot, order: Iterable[int], pool: ThreadPoolExecutor, ahead: int) -> None:
        self._shot, self._pool, self._ahead = shot, pool, ahead
        self._waiting = deque(order)
        self._held: dict[int, Future[ShotFrame]] = {}
        self._lock = threading.Lock()

    def get(self, index: int) -> ShotFrame:
        """Return a frame, keep holding it, and begin to decode the next ones."""
        with self._lock:
            while index not in self._held:
                self._start_next()
            future = self._held[index]
            behind = sum(held > index for held in self._held)
            for _ in range(min(self._ahead - behind, len(self._waiting))):
                self._start_next()
        return future.result()

    def take(self, index: int) -> ShotFrame:
        """Return a frame and hold it no longer. A frame that is not held is decoded here."""
        with self._lock:
            future = self._held.pop(index, None)
        return future.result() if future else self._shot.load(index)

    def _start_next(self) -> None:
        index = self._waiting.popleft()
        self._held[index] = self._pool.submit(self._shot.load, index)


class _ShotClip:
    """The part of a clip that stream clips and stored clips share: its raster, counted from the corner."""

    def __init__(self, shot: Shot, wanted: Indices[int]) -> None:
        self.frames: Indices[int] = shot.frames
        self.wanted = wanted
        self.height, self.width = shot.raster.shape
        self.pixel_aspect = shot.pixel_aspect
        self.exposure = shot.job.colour.exposure or 0.0
        self.whole = Box(0, 0, self.height, self.width)


class StreamClip(_ShotClip):
    """A clip whose frames are read in order.

    Args:
        shot: the shot.
        wanted: indices of the frames to deliver.
        load: returns a frame that stays in memory until its patch is composited.
    """

    def __init__(self, shot: Shot, wanted: Indices[int], load: Callable[[int], ShotFrame]) -> None:
        super().__init__(shot, wanted)
        self._load = load

    def plate(self, index: int, box: Box | None = None) -> Array:
        """Return pixels of the plate; see `Clip.plate`."""
        return self._load(index).rgb(box or self.whole)

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        """Return a matte; see `Clip.matte`."""
        return self._load(index).matte(role)[(box or self.whole).slices]

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        """Return the box around a matte; see `Clip.matte_box`."""
        return self._load(index).matte_box(role)


class StoredClip(_ShotClip):
    """A clip whose frames are read in any order, by box.

    Args:
        shot: the shot.
        wanted: indices of the frames to deliver.
        plates: every plate, on scratch disk.
        mattes: every matte.
    """

    def __init__(self, shot: Shot, wanted: Indices[int], plates: FrameFiles, mattes: MatteCache) -> None:
        super().__init__(shot, wanted)
        self._plates, self._mattes = plates, mattes

    def plate(self, index: int, box: Box | None = None) -> Array:
        """Return pixels of the plate; see `Clip.plate`."""
        return self._plates.get(index, box or self.whole)

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        """Return a matte; see `Clip.matte`."""
        return self._mattes.get(role, index, box or self.whole)

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        """Return the box around a matte; see `Clip.matte_box`."""
        return self._mattes.box(role, index)


class MatteCache:
    """The mattes of a shot in memory, compressed: half precision inside the box of each.

    Args:
        height: rows of the raster.
        width: columns of the raster.
    """

    def __init__(self, height: int, width: int) -> None:
        self._shape = height, width
        self._packed: dict[tuple[str, int], tuple[Box, bytes]] = {}

    def put(self, role: str, index: int, matte: Array) -> None:
        """Keep the matte of a frame: shape [H, W], in [0, 1]."""
        box = matte_box(matte)
        if not box.empty:
            self._packed[role, index] = box, zlib.compress(matte[box.slices].astype(np.float16).tobytes(), 1)

    def box(self, role: str, index: int) -> Box:
        """Return the box around everything above 0 in a matte."""
        return self._packed[role, index][0] if (role, index) in self._packed else Box(0, 0, 0, 0)

    def get(self, role: str, index: int, box: Box) -> Array:
        """Return a matte within a box: shape [box.height, box.width], in [0, 1]."""
        result = np.zeros(box.shape, np.float32)
        if (role, index) in self._packed:
            held, packed = self._packed[role, index]
            plane = np.frombuffer(zlib.decompress(packed), np.float16).reshape(held.shape)
            shared = held & box
            if not shared.empty:
                result[shared.relative_to(box).slices] = plane[shared.relative_to(held).slices]
        return result


def store_clip(
    shot: Shot, wanted: list[int], context: RunContext, pool: ThreadPoolExecutor, at_once: int
) -> StoredClip:
    """Decode a whole shot to scratch disk and return it as a clip.

    Args:
        shot: the shot.
        wanted: indices of the frames to deliver.
        context: names the scratch folder and is told the progress.
        pool: decodes the frames.
        at_once: frames in work at the same time.

    Raises:
        Cancelled: the job was cancelled.
        Exception: the failure of a frame.
    """
    height, width = shot.raster.shape
    plates = FrameFiles(context.scratch / "plates", height, width, np.float16 if shot.half else np.float32)
    mattes, count = MatteCache(height, width), len(shot.frames)

    def store(index: int) -> None:
        frame = shot.load(index)
        plates.put(index, frame.rgb())
        for role in ROLES:
            mattes.put(role, index, frame.matte(role))

    context.progress(WorkerStage.DECODE, 0, count)
    for done, _ in enumerate(bounded_map(pool, at_once, store, range(count)), 1):
        context.progress(WorkerStage.DECODE, done, count)
    return StoredClip(shot, wanted, plates, mattes)
