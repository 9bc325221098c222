"""Small shots on disk, and jobs over them, for tests of the loop around an engine."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gpu_server.engines.registry import Engines
from gpu_server.worker.messages import Ended, FrameWritten, RunJob
from gpu_server.worker.run import JobRun
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame, write_frame
from void_bridge.sequence import Sequence

COLOUR = Colour("ACEScg", "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4", exposure=0.0)


def noise(shape, seed=0, scale=0.5):
    """Return half values of this shape: positive, around `scale`, with some highlights."""
    values = np.random.default_rng(seed).gamma(2.0, scale / 2, shape)
    return values.astype(np.float16)


def disc(shape, centre, radius):
    """Return a disc, shape [H, W], half: 1 inside, with an edge of one pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float16)


def write_plate(folder: Path, frames, shape=(48, 64), data_window=None, display_window=None, extra=None, **header):
    """Write a sequence `plate.####.exr` of RGBA half and the channels of `extra`; every frame has its own pixels."""
    sequence = Sequence.parse(str(folder / "plate.####.exr"))
    data_window = data_window or Box(0, 0, *shape)
    for frame in frames:
        channels = {name: noise(shape, [frame + 5000, i]) for i, name in enumerate("RGBA")}
        channels.update(extra or {})
        part = ExrPart(channels, data_window, display_window or data_window, header=dict(header))
        write_frame(ExrFrame((part,)), sequence.path(frame))
    return sequence


def write_matte(folder: Path, frames, matte, name="roto", channel="A", display_window=None, data_window=None):
    """Write a sequence of one channel; `matte` has shape [H, W] or is a function of the frame."""
    sequence = Sequence.parse(str(folder / f"{name}.####.exr"))
    for frame in frames:
        plane = matte(frame) if callable(matte) else matte
        window = data_window or Box(0, 0, *plane.shape)
        part = ExrPart({channel: plane}, window, display_window or window)
        write_frame(ExrFrame((part,)), sequence.path(frame))
    return sequence


def make_job(plate: Sequence, frames, remove: Sequence | None = None, **changes) -> Job:
    values = {"engine": "passthrough", "feather": 0, "colour": COLOUR, **changes}
    if remove is not None:
        values["remove"] = MatteSource(str(remove))
    return Job(plate=str(plate), frames=FrameRange(frames), output="/nowhere/clean.####.exr", **values)


def files_of(*sequences: Sequence):
    """Return every frame on disk with its place, as a job with `path` transport sends them."""
    return {str(s.path(f)): str(s.path(f)) for s in sequences for f in s.frames_on_disk()}


def run_job(
    job: Job, files, folder: Path, finished=(), cancelled=None, attempt=1, models=Path(), engines=None, freed=None
):
    """Run a job in this process, as a worker does, and return its last message and the decoded frames by number.

    Args:
        freed: called with the messages that were sent until the device is free.
    """
    said: queue.SimpleQueue = queue.SimpleQueue()
    frames_dir, scratch = folder / f"attempt-{attempt}", folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    command = RunJob(
        "job",
        attempt,
        job,
        files,
        str(frames_dir),
        str(scratch),
        cache=str(folder / "cache"),
        models=str(models),
        finished=tuple(finished),
    )
    with ThreadPoolExecutor(2) as pool:
        run = JobRun(command, engines or Engines(), said.put, cancelled or threading.Event(), pool, threads=2)
        run.produce()
        messages = _taken(said)
        if freed:
            freed(list(messages))
        ended = run.conclude()
    messages += _taken(said)
    written = {m.frame: read_frame(Path(m.path)) for m in messages if isinstance(m, FrameWritten)}
    assert isinstance(ended, Ended)
    return ended, written, messages


def _taken(said):
    return [said.get() for _ in range(said.qsize())]
