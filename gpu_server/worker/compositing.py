"""The way back: a patch pasted into its plate, encoded, synced, announced."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Engine, Patch
from gpu_server.worker.messages import FrameWritten, RunJob
from void_bridge.atomic import write_bytes
from void_bridge.job import Job
from void_bridge.pixels.composite import paste_into, to_half
from void_bridge.pixels.exr import ExrFrame, encode_frame
from void_bridge.pixels.shot import ShotFrame

PASTE_CHANNEL = "void_bridge.paste"
CONFIDENCE_CHANNEL = "void_bridge.confidence"
FULL_FILL_LAYER = "void_bridge_fill"
WRITERS = 2

Array = NDArray[np.float32]
HeaderValue = str | int | float


def result_headers(job: Job, engine: Engine, more: Mapping[str, str]) -> dict[str, HeaderValue]:
    """What a result frame says of its making; nothing that differs between two runs of the same job."""
    return {
        "void_bridge/engine": engine.name,
        "void_bridge/version": engine.version,
        "void_bridge/seed": str(job.seed),
        "void_bridge/prompt": job.prompt,
        **{f"void_bridge/{name}": value for name, value in more.items()},
    }


def composite(shot_frame: ShotFrame, patch: Patch, headers: dict[str, HeaderValue], job: Job) -> ExrFrame:
    """The plate with the patch pasted into RGB by the paste matte, and our channels and headers added.

    The pixels of `shot_frame` are used up: the patch goes into them in place.
    """
    part, window = shot_frame.part, shot_frame.window
    weight = shot_frame.paste[window.slices]
    channels = dict(part.channels)
    if job.full_fill:
        channels.update(_full_fill(shot_frame, patch))
    region = patch.box & window
    if patch.generated and not region.empty:
        here, there = region.relative_to(window).slices, region.relative_to(patch.box).slices
        for axis, name in enumerate(shot_frame.rgb_channels):
            paste_into(channels[name][here], patch.rgb[(*there, axis)], weight[here])
    channels[PASTE_CHANNEL] = to_half(weight)
    if job.confidence:
        channels[CONFIDENCE_CHANNEL] = _confidence(patch, shot_frame, weight)
    generated = {"void_bridge/generated": "yes" if patch.generated else "no"}
    return shot_frame.exr.with_picture(channels, {**headers, **generated})


def _full_fill(shot_frame: ShotFrame, patch: Patch) -> dict[str, NDArray[np.floating[Any]]]:
    """The patch over the plate without any matte, as R, G and B of a layer of its own, in the plate's types."""
    channels, made = {}, patch.rgb if patch.full is None else patch.full
    region = patch.box & shot_frame.window
    here, there = region.relative_to(shot_frame.window).slices, region.relative_to(patch.box).slices
    for axis, (name, short) in enumerate(zip(shot_frame.rgb_channels, "RGB", strict=True)):
        plane = shot_frame.part.channels[name].copy()
        if patch.generated and not region.empty:
            paste_into(plane[here], made[(*there, axis)], np.ones(region.shape, np.float32))
        channels[f"{FULL_FILL_LAYER}.{short}"] = plane
    return channels


def _confidence(patch: Patch, shot_frame: ShotFrame, weight: Array) -> NDArray[np.float16]:
    """1 where the plate stays, the engine's own where it does not. Shape [h, w] of the data window."""
    whole = np.ones(shot_frame.raster.shape, np.float32)
    if patch.confidence is not None:
        whole[patch.box.slices] = patch.confidence
    return np.where(weight > 0, whole[shot_frame.window.slices], 1).astype(np.float16)


class ResultWriter:
    """Pastes and encodes patches on a thread pool, a bounded number at a time; writing waits on threads of its own."""

    def __init__(
        self,
        run: RunJob,
        headers: Callable[[], dict[str, HeaderValue]],
        take: Callable[[int], ShotFrame],
        pool: ThreadPoolExecutor,
        slots: int,
        announce: Callable[[FrameWritten], None],
    ) -> None:
        self._run, self._headers, self._take = run, headers, take
        self._pool, self._announce = pool, announce
        self._disk = ThreadPoolExecutor(WRITERS, "disk")
        self._slots = threading.BoundedSemaphore(slots + WRITERS)
        self._pending: list[Future[Future[None]]] = []

    def submit(self, patch: Patch, check: Callable[[], None]) -> None:
        """Hand a patch over; waits for a free slot. Raises what an earlier patch failed with."""
        while not self._slots.acquire(timeout=0.2):
            check()
        self._raise_failures()
        self._pending.append(self._pool.submit(self._encode, patch))

    def conclude(self, abandon: bool) -> None:
        """Wait until all patches are announced; `abandon`: let none begin that hasn't. Raises the first failure."""
        begun = [future for future in self._pending if not (abandon and future.cancel())]
        wait(begun)
        self._disk.shutdown()
        for future in begun:
            future.result().result()

    def _raise_failures(self) -> None:
        while self._pending and self._pending[0].done() and self._pending[0].result().done():
            self._pending.pop(0).result().result()

    def _encode(self, patch: Patch) -> Future[None]:
        try:
            shot_frame = self._take(patch.index)
            data = encode_frame(composite(shot_frame, patch, self._headers(), self._run.job))
            return self._disk.submit(self._publish, shot_frame.frame, data)
        except BaseException:
            self._slots.release()
            raise

    def _publish(self, frame: int, data: bytes) -> None:
        try:
            path = Path(self._run.frames_dir) / f"{frame}.exr"
            write_bytes(path, data, durable=True)
            digest = hashlib.blake2b(data, digest_size=32).hexdigest()
            self._announce(FrameWritten(self._run.id, self._run.attempt, frame, str(path), len(data), digest))
        finally:
            self._slots.release()
