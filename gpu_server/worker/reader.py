"""Decoding ahead of the engine: for stream engines in order and held, for others all of it to scratch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gpu_server.frame_files import FrameFiles
from gpu_server.worker.clip import StoredClip
from gpu_server.worker.context import RunContext, WorkerStage
from gpu_server.worker.matte_cache import MatteCache
from void_bridge.errors import MissingFrames
from void_bridge.job import Job
from void_bridge.pixels.mattes import PlaneRole
from void_bridge.pixels.shot import Shot, ShotFrame
from void_bridge.real_paths import check_no_link
from void_bridge.sequence import Sequence

ROLES: tuple[PlaneRole, ...] = ("paste", "remove", "affected", "keep", "exclude")


def open_shot(job: Job, files: Mapping[str, str], by_path: bool = False) -> Shot:
    """Return the shot of a job, with as many handles as came along.

    files: path as the job names it -> file on this machine. by_path: no link leads to these files; should one by now,
    somebody would have a file read that lies elsewhere.

    Raises:
        MissingFrames, UnreadableFile, NoSuchChannel, Refused.
    """

    def locate(sequence: Sequence, frame: int) -> Path:
        path = files.get(str(sequence.path(frame)))
        if path is None:
            raise MissingFrames(f"frame {frame} of {sequence} did not come with the job; submit the job again")
        if by_path:
            check_no_link(path, path)
        return Path(path)

    return Shot(job, job.frames.with_handles(job.handles, Sequence.parse(job.plate).among(files)), locate)


class HeldFrames:
    """Wanted frames in order, decoded `ahead` of the engine and held until the finisher takes them."""

    def __init__(self, shot: Shot, order: Iterable[int], pool: ThreadPoolExecutor, ahead: int) -> None:
        self._shot, self._pool, self._ahead = shot, pool, ahead
        self._coming = deque(order)
        self._held: dict[int, Future[ShotFrame]] = {}
        self._lock = threading.Lock()

    def get(self, index: int) -> ShotFrame:
        """The frame, which stays held; the ones behind it begin to decode."""
        with self._lock:
            while index not in self._held:
                self._start_next()
            future = self._held[index]
            behind = sum(held > index for held in self._held)
            for _ in range(min(self._ahead - behind, len(self._coming))):
                self._start_next()
        return future.result()

    def take(self, index: int) -> ShotFrame:
        """The frame, held no longer; decoded here if it was not held."""
        with self._lock:
            future = self._held.pop(index, None)
        return future.result() if future else self._shot.load(index)

    def _start_next(self) -> None:
        index = self._coming.popleft()
        self._held[index] = self._pool.submit(self._shot.load, index)


def stored_clip(
    shot: Shot, wanted: list[int], context: RunContext, pool: ThreadPoolExecutor, at_once: int
) -> StoredClip:
    """Decode the whole shot to scratch, `at_once` frames at a time. Raises what a frame fails with, Cancelled."""
    height, width = shot.raster.shape
    plates = FrameFiles(context.scratch / "plates", height, width, np.float16 if shot.half else np.float32)
    mattes = MatteCache(height, width)

    def store(index: int) -> None:
        frame = shot.load(index)
        plates.put(index, frame.rgb())
        for role in ROLES:
            mattes.put(role, index, frame.matte(role))

    running: deque[Future[None]] = deque()
    for done, index in enumerate(range(len(shot.frames))):
        context.progress(WorkerStage.DECODE, done, len(shot.frames))
        if len(running) >= at_once:
            running.popleft().result()
        running.append(pool.submit(store, index))
    for future in running:
        future.result()
    return StoredClip(shot, wanted, plates, mattes)
