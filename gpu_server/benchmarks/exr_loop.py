"""The loop from EXR to EXR around an engine that changes nothing: its time, its memory, the server's answers."""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR
import psutil

from gpu_server.benchmarks.shots import benchmark_job
from gpu_server.private_server import PrivateServer
from void_bridge.client import Client, connect
from void_bridge.client.frame_writer import FrameWriter
from void_bridge.errors import EngineError
from void_bridge.job import Job
from void_bridge.protocol.messages import JobStatus
from void_bridge.sequence import Sequence

SAMPLE_S = 0.2
PING_S = 0.02


@dataclass(frozen=True)
class LoopMeasurement:
    """Measurements of one job while it ran.

    Attributes:
        peak_pss_bytes: peak of the proportional set size of client, server and workers together.
        answers_s: seconds that each answer of the server took.
    """

    peak_pss_bytes: int
    answers_s: tuple[float, ...]


def run_loop(server: PrivateServer, job: Job) -> float:
    """Submit, watch and fetch a job, as `void-bridge remove` does, and return the seconds that it took.

    Raises:
        EngineError: the job failed.
    """
    with connect(server.config) as client:
        began = time.perf_counter()
        id = client.submit(job, overwrite=True).id
        fetch_frames(client, id)
        seconds = time.perf_counter() - began
        check_done(client.status(id))
    return seconds


def fetch_frames(client: Client, id: str) -> None:
    """Fetch the frames of a job as they are finished, until it has ended."""
    writer = FrameWriter(client, id, None, overwrite=True)
    for event in client.watch(id):
        if isinstance(event, JobStatus):
            writer.fetch_published(event.frames_done)
    writer.finish()


def check_done(status: JobStatus) -> None:
    """Raise EngineError if a job did not end well."""
    if status.state != "done":
        raise EngineError(f"the benchmark's job {status.id} is {status.state}: {status.error}")


def measure_loop(server: PrivateServer, job: Job) -> LoopMeasurement:
    """Run a job while memory is sampled and the server is pinged, which takes time of its own.

    Raises:
        EngineError: the job failed.
    """
    samples, answers = [0], []
    with connect(server.config) as client:

        def sample() -> None:
            samples.append(pss_bytes(server.process.pid) + _pss(psutil.Process()))

        with _repeating(sample, SAMPLE_S), _repeating(lambda: answers.append(client.ping()), PING_S):
            run_loop(server, job)
    return LoopMeasurement(max(samples), tuple(answers))


def openexr_seconds(plate: Sequence, frames: int, output: Path, threads: int) -> float:
    """Return the seconds that OpenEXR alone takes to decode and encode a shot.

    Args:
        plate: the shot.
        frames: number of frames, from the first.
        output: where the files are written.
        threads: threads, each with a frame of its own.
    """
    output.mkdir(parents=True, exist_ok=True)

    def recode(number: int) -> None:
        with OpenEXR.File(str(plate.path(number))) as source:
            part = source.parts[0]
            pixels = np.ascontiguousarray(part.channels["RGBA"].pixels)
            OpenEXR.File(dict(part.header), {"RGBA": pixels}).write(str(output / f"{number}.exr"))

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(recode, range(1, frames + 1)))
    return time.perf_counter() - began


@dataclass(frozen=True)
class LoopPairs:
    """Seconds of the loop and of OpenEXR alone, in interleaved pairs.

    Attributes:
        loop_seconds: of the loop.
        bare_seconds: of OpenEXR alone.
    """

    loop_seconds: tuple[float, ...]
    bare_seconds: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """The loop's time over that of OpenEXR alone, of each pair."""
        return tuple(loop / bare for loop, bare in zip(self.loop_seconds, self.bare_seconds, strict=True))

    @property
    def median(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)


def loop_pairs(
    server: PrivateServer, plate: Sequence, frames: int, folder: Path, pairs: int, threads: int
) -> LoopPairs:
    """Measure loop and OpenEXR in turn, after one of each that is not counted.

    Args:
        server: the server.
        plate: a shot of `write_shot`.
        frames: number of frames, from the first.
        folder: where results are written; they are removed again.
        pairs: number of pairs.
        threads: threads of OpenEXR alone.
    """
    loops, bares = [], []
    for _ in range(pairs + 1):
        bares.append(openexr_seconds(plate, frames, folder / "bare", threads))
        loops.append(run_loop(server, benchmark_job(plate, frames, folder / "loop", engine="passthrough", feather=0)))
        for written in ("bare", "loop"):
            shutil.rmtree(folder / written)
    return LoopPairs(tuple(loops[1:]), tuple(bares[1:]))


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process and its descendants, in bytes."""
    process = psutil.Process(pid)
    return sum(_pss(p) for p in [process, *process.children(recursive=True)])


def _pss(process: psutil.Process) -> int:
    """Return the proportional set size of a process, 0 if it has ended."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


@contextmanager
def _repeating(work: Callable[[], object], interval_s: float) -> Iterator[None]:
    """Call a function on a thread again and again, with a pause between calls."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(interval_s):
            work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
