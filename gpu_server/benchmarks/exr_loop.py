"""The loop around an engine that changes nothing: its time, its memory, the server's answers meanwhile."""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR
import psutil

from gpu_server.benchmarks.shots import passthrough_job
from gpu_server.private_server import PrivateServer
from void_bridge.client import connect
from void_bridge.client.frame_writer import FrameWriter
from void_bridge.errors import EngineError
from void_bridge.job import Job
from void_bridge.protocol.messages import JobStatus
from void_bridge.sequence import Sequence

SAMPLE_S = 0.2
ASK_S = 0.02


@dataclass(frozen=True)
class LoopMeasurement:
    """One job, watched while it ran. peak_pss_bytes: of client, server and workers together.
    answers_s: how long the server took to answer."""

    peak_pss_bytes: int
    answers_s: tuple[float, ...]


def run_loop(server: PrivateServer, job: Job) -> float:
    """Submit, watch and fetch, as `void-bridge remove` does. Returns the seconds that it took."""
    with connect(server.config) as client:
        began = time.perf_counter()
        status = client.submit(job, overwrite=True)
        writer = FrameWriter(client, status.id, None, overwrite=True)
        for event in client.watch(status.id):
            if isinstance(event, JobStatus):
                writer.fetch_published(event.frames_done)
        writer.finish()
        seconds = time.perf_counter() - began
        ended = client.status(status.id)
    if ended.state != "done":
        raise EngineError(f"the bench's job {ended.id} is {ended.state}: {ended.error}")
    return seconds


def measure_loop(server: PrivateServer, job: Job) -> LoopMeasurement:
    """As run_loop, while memory is sampled and the server asked for signs of life, which costs time."""
    with MemorySampler(server.process.pid) as memory, PingSampler(server) as asker:
        run_loop(server, job)
    return LoopMeasurement(memory.peak_bytes, tuple(asker.seconds))


def openexr_seconds(plate: Sequence, frames: int, output: Path, threads: int) -> float:
    """Decode and encode the same frames by OpenEXR alone, frames side by side on `threads` threads."""
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
    ratios: tuple[float, ...]
    loop_seconds: tuple[float, ...]
    bare_seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)


def loop_pairs(
    server: PrivateServer, plate: Sequence, frames: int, folder: Path, pairs: int, threads: int
) -> LoopPairs:
    """Loop and bare OpenEXR in turn, after one of each that is not counted."""
    loops, bares = [], []
    for _ in range(pairs + 1):
        bares.append(openexr_seconds(plate, frames, folder / "bare", threads))
        loops.append(run_loop(server, passthrough_job(plate, frames, folder / "loop")))
        for made in ("bare", "loop"):
            shutil.rmtree(folder / made)
    counted = list(zip(loops[1:], bares[1:], strict=True))
    return LoopPairs(tuple(a / b for a, b in counted), tuple(loops[1:]), tuple(bares[1:]))


class MemorySampler:
    """Peak of the proportional set size of this process, a server and the server's workers."""

    def __init__(self, server_pid: int) -> None:
        self._server_pid = server_pid
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, pss_bytes(self._server_pid) + _pss(psutil.Process()))


def pss_bytes(pid: int) -> int:
    """Of a process and its descendants."""
    process = psutil.Process(pid)
    return sum(_pss(p) for p in [process, *process.children(recursive=True)])


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


class PingSampler:
    """Asks the server for a sign of life again and again, and keeps how long each took."""

    def __init__(self, server: PrivateServer) -> None:
        self._server = server
        self.seconds: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> PingSampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with connect(self._server.config) as client:
            while not self._stop.wait(ASK_S):
                self.seconds.append(client.ping())
