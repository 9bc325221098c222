"""Kill -9 of a server, a worker or a client in a stage of a job, and the checks afterwards.

The job must end as it would have undisturbed: each acknowledged frame is the same file of the same attempt, each frame
is fetched whole, and no process and no half-written file is left. A kill that hit no running stage does not count.
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
from tests.torture.killable_server import (
    DEADLINE_S,
    JobOnDisk,
    KillableServer,
    command_line_of,
    kill,
    outcome_of,
    wait_until_gone,
)
from void_bridge.protocol.messages import FINAL_STATES, JobStatus

Victim = Literal["server", "worker", "client", "hung worker"]
VICTIMS: tuple[Victim, ...] = ("server", "worker", "client", "hung worker")

_POLL_S = 0.004


@dataclass(frozen=True)
class Kill:
    """One kill and its consequences.

    Attributes:
        victim: the process that was killed.
        stage: of the job at that moment.
        counted: whether it hit a running stage.
        acknowledged: frames published by then.
        recomputed: frames of these that were computed again.
        attempts: that the job took.
    """

    victim: Victim
    stage: str
    counted: bool
    acknowledged: int = 0
    recomputed: int = 0
    attempts: int = 0


@dataclass
class KillCounts:
    """The sums over all kills."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: int = 0
    acknowledged: int = 0
    recomputed: int = 0
    resumes: int = 0
    frames: int = 0
    peak_mb: float = 0.0

    def add(self, done: Kill, frames: int) -> None:
        """Add a kill, and the frames that its job delivered."""
        self.frames += frames
        if not done.counted:
            self.missed += 1
            return
        self.kills[done.victim, done.stage] += 1
        self.acknowledged += done.acknowledged
        self.recomputed += done.recomputed
        self.resumes += done.attempts > 1


def stage_of(on_disk: JobOnDisk, status: JobStatus | None, client: subprocess.Popen[str]) -> str:
    """Return the stage of a job as its artist sees it; empty before and after."""
    if status is None:
        return ""
    if status.state == "running":
        return status.progress.stage or "starting"
    if status.state in FINAL_STATES:
        return "fetching" if client.poll() is None and len(on_disk.fetched_frames()) < len(on_disk.expected) else ""
    return status.state


def run_with_a_kill(
    killable: KillableServer,
    on_disk: JobOnDisk,
    victim: Victim,
    when: Callable[[str, JobStatus | None], bool],
    then: Callable[[], None],
) -> Kill:
    """Run one job, kill `victim` at the first moment for which `when(stage, status)` is true, and check what must hold.

    Args:
        killable: the processes.
        on_disk: the job.
        victim: the process to kill.
        when: called with the stage and the status of the job.
        then: called after the kill, before a process is started again: opens the gates of a scripted job, for example.

    Raises:
        AssertionError: something was lost, half-written, made twice, or is left over.
    """
    client = killable.start_client(on_disk.file)
    stage = _wait_for(killable, on_disk, client, when)
    before = killable.acknowledged(on_disk.id)
    counted = bool(stage) and _kill_victim(killable, victim, client)
    then()
    if victim == "server" and counted:
        wait_until_gone([each for each in killable.processes() if "gpu_server.worker" in command_line_of(each)])
        killable.start_server()
    if victim == "client" and counted:
        client = killable.start_client(on_disk.file)
    outcome = outcome_of(client)
    assert outcome == {"state": "done", "frames": len(on_disk.expected)}, outcome
    attempts = _check(killable, on_disk)
    after = killable.acknowledged(on_disk.id)
    assert set(before) <= set(after), "an acknowledged frame was lost"
    recomputed = sum(after[number].path != frame.path for number, frame in before.items())
    return Kill(victim, stage, counted, len(before), recomputed, attempts)


def _wait_for(
    killable: KillableServer,
    on_disk: JobOnDisk,
    client: subprocess.Popen[str],
    when: Callable[[str, JobStatus | None], bool],
) -> str:
    """Return the stage in which the moment came; empty if the client ended before."""
    deadline = time.monotonic() + DEADLINE_S
    while client.poll() is None:
        assert time.monotonic() < deadline, "the moment never came"
        status = killable.status(on_disk.id)
        stage = stage_of(on_disk, status, client)
        if when(stage, status):
            return stage
        time.sleep(_POLL_S)
    return ""


def _kill_victim(killable: KillableServer, victim: Victim, client: subprocess.Popen[str]) -> bool:
    """Kill the victim, and return whether there was one."""
    if victim == "server":
        killable.kill_server()
        return True
    if victim == "client":
        if client.poll() is not None:
            return False
        kill(client)
        return True
    workers = killable.workers()
    if not workers:
        return False
    if victim == "hung worker":
        workers[0].send_signal(signal.SIGSTOP)  # the server has to notice, and to end it
        eventually(lambda: not workers[0].is_running() or workers[0].status() == psutil.STATUS_STOPPED)
    else:
        kill(workers[0])
    return True


def _check(killable: KillableServer, on_disk: JobOnDisk) -> int:
    """Check the promises that hold after every job, and return the number of attempts that it took."""
    assert on_disk.fetched_frames() == on_disk.expected, "a frame is missing, half-written or different"
    assert not on_disk.temporary_files(), on_disk.temporary_files()
    status = killable.status(on_disk.id)
    assert status is not None and status.state == "done", status
    assert killable.server is not None
    eventually(lambda: len(killable.workers()) <= killable.settings.workers)
    ours = {killable.server.process.pid, *(each.pid for each in killable.workers())}
    strangers = [each for each in killable.processes() if each.pid not in ours]
    wait_until_gone(strangers)
    assert not list((killable.settings.spool / "incoming").iterdir()), "an upload is left over"
    return status.attempt
