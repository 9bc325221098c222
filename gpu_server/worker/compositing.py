"""Compositing of patches into their plates, and writing of the result frames: encoded, synced, announced."""

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
from void_bridge.pixels.arrays import Array
from void_bridge.pixels.composite import CONFIDENCE_CHANNEL, FULL_FILL_LAYER, PASTE_CHANNEL, paste_into, to_half
from void_bridge.pixels.exr import ExrFrame, encode_frame
from void_bridge.pixels.shot import ShotFrame

WRITERS = 2

HeaderValue = str | int | float


def result_headers(job: Job, engine: Engine, more: Mapping[str, str]) -> dict[str, HeaderValue]:
    """Return the headers of result frames: how they were made, and nothing that differs between two runs of a job.

    Args:
        job: the job.
        engine: its engine.
        more: headers of the engine, by name below `void_bridge/`.
    """
    return {
        "void_bridge/engine": engine.name,
        "void_bridge/version": engine.version,
        "void_bridge/seed": str(job.seed),
        "void_bridge/prompt": job.prompt,
        **{f"void_bridge/{name}": value for name, value in more.items()},
    }


def composite(shot_frame: ShotFrame, patch: Patch, headers: dict[str, HeaderValue], job: Job) -> ExrFrame:
    """Paste a patch into the RGB of its plate by the paste matte, and add our channels and headers.

    Args:
        shot_frame: the plate, whose pixels are changed in place.
        patch: the patch.
        headers: headers of the frame.
        job: says which channels are added.
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
    """Return the patch over the plate without a matte, as R, G and B of its own layer, in the plate's types."""
    channels, generated = {}, patch.rgb if patch.full is None else patch.full
    region = patch.box & shot_frame.window
    here, there = region.relative_to(shot_frame.window).slices, region.relative_to(patch.box).slices
    for axis, (name, short) in enumerate(zip(shot_frame.rgb_channels, "RGB", strict=True)):
        plane = shot_frame.part.channels[name].copy()
        if patch.generated and not region.empty:
            paste_into(plane[here], generated[(*there, axis)], np.ones(region.shape, np.float32))
        channels[f"{FULL_FILL_LAYER}.{short}"] = plane
    return channels


def _confidence(patch: Patch, shot_frame: ShotFrame, weight: Array) -> NDArray[np.float16]:
    """Return the confidence, shape [h, w] of the data window: 1 where the plate stays, the engine's elsewhere."""
    whole = np.ones(shot_frame.raster.shape, np.float32)
    if patch.confidence is not None:
        whole[patch.box.slices] = patch.confidence
    return np.where(weight > 0, whole[shot_frame.window.slices], 1).astype(np.float16)


class ResultWriter:
    """A writer of result frames: a thread pool composites and encodes patches, and threads of its own write the files.

    Args:
        command: the attempt at the job.
        headers: returns the headers of a frame.
        take_frame: returns a decoded frame by its index.
        pool: composites and encodes.
        slots: frames that may wait or be in work on the pool.
        announce: is told each written frame.
    """

    def __init__(
        self,
        command: RunJob,
        headers: Callable[[], dict[str, HeaderValue]],
        take_frame: Callable[[int], ShotFrame],
        pool: ThreadPoolExecutor,
        slots: int,
        announce: Callable[[FrameWritten], None],
    ) -> None:
        self._command, self._headers, self._take_frame = command, headers, take_frame
        self._pool, self._announce = pool, announce
        self._disk = ThreadPoolExecutor(WRITERS, "disk")
        self._slots = threading.BoundedSemaphore(slots + WRITERS)
        self._pending: list[Future[Future[None]]] = []

    def submit(self, patch: Patch, check: Callable[[], None]) -> None:
        """Accept a patch, once a slot is free.

        Args:
            patch: the patch.
            check: called while waiting; raises Cancelled.

        Raises:
            Cancelled: the job was cancelled.
            Exception: the failure of an earlier patch.
        """
        while not self._slots.acquire(timeout=0.2):
            check()
        self._raise_failures()
        self._pending.append(self._pool.submit(self._encode, patch))

    def conclude(self, abandon: bool) -> None:
        """Wait until all patches are announced, and raise the first failure.

        Args:
            abandon: whether patches that have not begun are dropped.
        """
        begun = [future for future in self._pending if not (abandon and future.cancel())]
        wait(begun)
        self._disk.shutdown()
        for future in begun:
            future.result().result()

    def _raise_failures(self) -> None:
        """Raise the failure of a patch that has ended."""
        while self._pending and self._pending[0].done() and self._pending[0].result().done():
            self._pending.pop(0).result().result()

    def _encode(self, patch: Patch) -> Future[None]:
        """Composite and encode a frame; its file is then written on another thread."""
        try:
            shot_frame = self._take_frame(patch.index)
            data = encode_frame(composite(shot_frame, patch, self._headers(), self._command.job))
            return self._disk.submit(self._publish, shot_frame.frame, data)
        except BaseException:
            self._slots.release()
            raise

    def _publish(self, frame: int, data: bytes) -> None:
        """Write the file of a frame, sync it, and announce it."""
        try:
            path = Path(self._command.frames_dir) / f"{frame}.exr"
            write_bytes(path, data, durable=True)
            digest = hashlib.blake2b(data, digest_size=32).hexdigest()
            self._announce(FrameWritten(self._command.id, self._command.attempt, frame, str(path), len(data), digest))
        finally:
            self._slots.release()
