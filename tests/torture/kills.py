"""Kill -9 of a server, a worker or a client in a stage of a job, and what has to hold afterwards.

Whatever is killed, the job ends as it would have: every frame that had been acknowledged is the same file of the same
attempt, every frame comes home whole, and no process and no half-written file is left. A kill that hit no running stage
doesn't count.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import psutil

from tests.support.live_server import eventually
from tests.torture.world import DEADLINE_S, Order, World, ended, gone, kill, words_of
from void_bridge.protocol.messages import FINAL_STATES, JobStatus

Victim = Literal["server", "worker", "client", "hung worker"]
VICTIMS: tuple[Victim, ...] = ("server", "worker", "client", "hung worker")

_POLL_S = 0.004


@dataclass(frozen=True)
class Kill:
    """stage: in which the job was. acknowledged: frames by then; recomputed: of them, made again. counted: it hit."""

    victim: Victim
    stage: str
    counted: bool
    acknowledged: int = 0
    recomputed: int = 0
    attempts: int = 0


@dataclass
class Tally:
    """What came of all kills."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: int = 0
    acknowledged: int = 0
    recomputed: int = 0
    resumes: int = 0
    frames: int = 0
    peak_mb: float = 0.0

    def add(self, done: Kill, frames: int) -> None:
        self.frames += frames
        if not done.counted:
            self.missed += 1
            return
        self.kills[done.victim, done.stage] += 1
        self.acknowledged += done.acknowledged
        self.recomputed += done.recomputed
        self.resumes += done.attempts > 1


def stage_of(order: Order, status: JobStatus | None, client: subprocess.Popen[str]) -> str:
    """Where a job is, seen from its artist; empty before and after."""
    if status is None:
        return ""
    if status.state == "running":
        return status.progress.stage or "starting"
    if status.state in FINAL_STATES:
        return "fetching" if client.poll() is None and len(order.frames_home()) < len(order.expected) else ""
    return status.state


def run_with_a_kill(
    world: World, order: Order, victim: Victim, when: Callable[[str, JobStatus | None], bool], then: Callable[[], None]
) -> Kill:
    """Run one job, kill `victim` at the first moment for which `when(stage, status)` is true, and check what must hold.

    Args:
        then: called after the kill, before anything is started again: opens the gates of a scripted job, say.

    Raises:
        AssertionError: something was lost, half-written, made twice, or is left over.
    """
    client = world.start_client(order.file)
    stage = _wait_for(world, order, client, when)
    before = world.acknowledged(order.id)
    counted = bool(stage) and _strike(world, victim, client)
    then()
    if victim == "server" and counted:
        gone([each for each in world.processes() if "gpu_server.worker" in words_of(each)])
        world.start_server()
    if victim == "client" and counted:
        client = world.start_client(order.file)
    told = ended(client)
    assert told == {"state": "done", "frames": len(order.expected)}, told
    attempts = _check(world, order)
    after = world.acknowledged(order.id)
    assert set(before) <= set(after), "an acknowledged frame was lost"
    recomputed = sum(after[number].path != frame.path for number, frame in before.items())
    return Kill(victim, stage, counted, len(before), recomputed, attempts)


def _wait_for(
    world: World, order: Order, client: subprocess.Popen[str], when: Callable[[str, JobStatus | None], bool]
) -> str:
    """The stage in which the moment came; empty if the client ended before."""
    deadline = time.monotonic() + DEADLINE_S
    while client.poll() is None:
        assert time.monotonic() < deadline, "the moment never came"
        status = world.status(order.id)
        stage = stage_of(order, status, client)
        if when(stage, status):
            return stage
        time.sleep(_POLL_S)
    return ""


def _strike(world: World, victim: Victim, client: subprocess.Popen[str]) -> bool:
    """Returns whether there was somebody to hit."""
    if victim == "server":
        world.kill_server()
        return True
    if victim == "client":
        if client.poll() is not None:
            return False
        kill(client)
        return True
    workers = world.workers()
    if not workers:
        return False
    if victim == "hung worker":
        workers[0].send_signal(signal.SIGSTOP)  # the server has to notice, and to end it
        eventually(lambda: not workers[0].is_running() or workers[0].status() == psutil.STATUS_STOPPED)
    else:
        kill(workers[0])
    return True


def _check(world: World, order: Order) -> int:
    """What holds after every job. Returns the number of attempts that it took."""
    assert order.frames_home() == order.expected, "a frame is missing, half-written or other than it would have been"
    assert not order.left_over(), order.left_over()
    status = world.status(order.id)
    assert status is not None and status.state == "done", status
    assert world.server is not None
    eventually(lambda: len(world.workers()) <= world.settings.workers)
    ours = {world.server.process.pid, *(each.pid for each in world.workers())}
    strangers = [each for each in world.processes() if each.pid not in ours]
    gone(strangers)
    assert not list((world.settings.spool / "incoming").iterdir()), "an upload is left over"
    return status.attempt
