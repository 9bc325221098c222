"""Random kills around the real worker: propagate jobs on small footage, killed wherever they happen to be."""

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
from tests.torture.kills import VICTIMS, Kill, Tally, Victim, run_with_a_kill
from tests.torture.world import Order, World, ended
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
    """expected: frame -> digest of the result of an undisturbed job. seconds: that it took."""

    plate: Sequence
    roto: Sequence
    expected: dict[int, str]
    seconds: float

    def job(self, output: Path) -> Job:
        frames, remove = FrameRange(FRAMES), MatteSource(self.roto.pattern, "A")
        pattern = str(output / "clean.####.exr")
        return Job(self.plate.pattern, frames, pattern, COLOUR, remove=remove, engine="propagate")


def real_settings(folder: Path) -> ServerSettings:
    worker = (sys.executable, "-m", "gpu_server.worker")
    limits = {"hang_s": HANG_S, "spool_limit_bytes": 200_000_000}
    return settings(folder, worker_command=worker, engines=("propagate",), roots=("/",), **limits)


def make_footage(folder: Path, world: World) -> Footage:
    """Footage on disk, and what an undisturbed job makes of it."""
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
    order = Order.write(folder, blank.job(folder / "undisturbed"), {})
    ended(world.start_client(order.file))  # the worker is warm from here on
    order = Order.write(folder, blank.job(folder / "undisturbed 2"), {})
    began = time.monotonic()
    ended(world.start_client(order.file))
    return Footage(plate, roto, order.frames_home(), time.monotonic() - began)


def random_kills(folder: Path, seconds: float, seed: int, say: Callable[[str], None]) -> Tally:
    """Kill at random moments until the time is up. Raises AssertionError: something did not hold."""
    rng, tally = random.Random(seed), Tally()
    with World(real_settings(folder)) as world, PeakMemory(world) as peak:
        footage = make_footage(folder, world)
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            number += 1
            victim: Victim = rng.choices(VICTIMS, (4, 4, 3, 1))[0]
            world.transport = rng.choice(("inline", "path"))
            output = folder / f"out-{number}"
            order = Order.write(folder, footage.job(output), footage.expected)
            done = run_with_a_kill(world, order, victim, _at(rng.uniform(0, footage.seconds)), lambda: None)
            tally.add(done, len(footage.expected))
            _forget(output, order)
            say(_line(number, done))
        tally.peak_mb = peak.bytes / 2**20
    assert not world.processes(), "processes are left over"
    return tally


class PeakMemory:
    """The most that the server and its workers had at once, looked at every second."""

    def __init__(self, world: World) -> None:
        self._world, self._over = world, threading.Event()
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
    what = f"in {done.stage or 'nothing'}, {done.acknowledged} frames acknowledged, {done.recomputed} made again"
    return f"{number}: {done.victim} {what}{'' if done.counted else ' (does not count)'}"


def _forget(output: Path, order: Order) -> None:
    for path in output.iterdir():
        path.unlink()
    output.rmdir()
    order.file.unlink()
