"""Random kills around the real worker: propagate jobs on small footage, killed at random moments."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from gpu_server.footage import Scene
from gpu_server.server.settings import ServerSettings
from tests.support.live_server import settings
from tests.torture.killable_server import JobOnDisk, KillableServer, outcome_of
from tests.torture.kills import VICTIMS, Kill, KillCounts, Victim, run_with_a_kill
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, write_frame
from void_bridge.sequence import Sequence

FRAMES = range(1001, 1013)
HEIGHT, WIDTH = 160, 288
COLOUR = Colour("ACEScg", "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4", exposure=0.0)
HANG_S = 6.0


@dataclass(frozen=True)
class Footage:
    """Footage on disk.

    Attributes:
        plate: the plate.
        roto: the matte.
        expected: frame -> digest of the result of an undisturbed job.
        seconds: that such a job took.
    """

    plate: Sequence
    roto: Sequence
    expected: dict[int, str]
    seconds: float

    def job(self, output: Path) -> Job:
        """Return a job on the footage."""
        frames, remove = FrameRange(FRAMES), MatteSource(self.roto.pattern, "A")
        pattern = str(output / "clean.####.exr")
        return Job(self.plate.pattern, frames, pattern, COLOUR, remove=remove, engine="propagate")


def real_settings(folder: Path) -> ServerSettings:
    """Return the settings of a server with the real worker."""
    worker = (sys.executable, "-m", "gpu_server.worker")
    limits = {"hang_s": HANG_S, "spool_limit_bytes": 200_000_000}
    return settings(folder, worker_command=worker, engines=("propagate",), roots=("/",), **limits)


def make_footage(folder: Path, killable: KillableServer) -> Footage:
    """Write footage, and run an undisturbed job on it."""
    scene = Scene("pan", HEIGHT, WIDTH, len(FRAMES), seed=3)
    plate, roto = (Sequence.parse(str(folder / f"{name}.####.exr")) for name in ("plate", "roto"))
    window = Box(0, 0, HEIGHT, WIDTH)
    for index, frame in enumerate(FRAMES):
        made = scene.frame(index)
        picture = {name: np.ascontiguousarray(made.plate[..., axis], np.float16) for axis, name in enumerate("RGB")}
        write_frame(ExrFrame((ExrPart(picture, window, window),)), plate.path(frame))
        matte = {"A": np.ascontiguousarray(made.remove, np.float16)}
        write_frame(ExrFrame((ExrPart(matte, window, window),)), roto.path(frame))
    blank = Footage(plate, roto, {}, 0.0)
    on_disk = JobOnDisk.write(folder, blank.job(folder / "undisturbed"), {})
    outcome_of(killable.start_client(on_disk.file))  # the worker is warm from here on
    on_disk = JobOnDisk.write(folder, blank.job(folder / "undisturbed 2"), {})
    began = time.monotonic()
    outcome_of(killable.start_client(on_disk.file))
    return Footage(plate, roto, on_disk.fetched_frames(), time.monotonic() - began)


def random_kills(folder: Path, seconds: float, seed: int, log: Callable[[str], None]) -> KillCounts:
    """Kill at random moments until the time is up.

    Raises:
        AssertionError: a promise was broken.
    """
    rng, counts = random.Random(seed), KillCounts()
    with KillableServer(real_settings(folder)) as killable, PeakMemory(killable) as peak:
        footage = make_footage(folder, killable)
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            number += 1
            victim: Victim = rng.choices(VICTIMS, (4, 4, 3, 1))[0]
            killable.transport = rng.choice(("inline", "path"))
            output = folder / f"out-{number}"
            on_disk = JobOnDisk.write(folder, footage.job(output), footage.expected)
            done = run_with_a_kill(killable, on_disk, victim, _at(rng.uniform(0, footage.seconds)), lambda: None)
            counts.add(done, len(footage.expected))
            _forget(output, on_disk)
            log(_line(number, done))
        counts.peak_mb = peak.bytes / 2**20
    assert not killable.processes(), "processes are left over"
    return counts


class PeakMemory:
    """The most memory that the server and its workers had at once, measured every second."""

    def __init__(self, killable: KillableServer) -> None:
        self._world, self._over = killable, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            with suppress(psutil.Error, AssertionError, AttributeError):  # it is killed just now
                self.bytes = max(self.bytes, self._world.memory())


def _at(delay_s: float) -> Callable[[str, object], bool]:
    began = time.monotonic()
    return lambda stage, status: bool(stage) and time.monotonic() - began >= delay_s


def _line(number: int, done: Kill) -> str:
    frames = f"{done.acknowledged} frames acknowledged, {done.recomputed} made again"
    return (
        f"{number}: {done.victim} in {done.stage or 'nothing'}, {frames}{'' if done.counted else ' (does not count)'}"
    )


def _forget(output: Path, on_disk: JobOnDisk) -> None:
    for path in output.iterdir():
        path.unlink()
    output.rmdir()
    on_disk.file.unlink()
