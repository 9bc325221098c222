"""Measurements with many clients and many jobs at once: order of service, speed of control answers, memory.

The worker is scripted: the server is measured.
"""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.live_server import Client, make_plate, make_submit
from tests.torture.killable_server import KillableServer
from void_bridge.protocol.messages import Fetched

_STARTED = re.compile(r"\[(\w+)\] attempt \d+ starts")


@dataclass(frozen=True)
class LoadResult:
    """The result of `run_long_queue`.

    Attributes:
        clients: number of clients.
        jobs: number of jobs.
        seconds: until the queue was empty.
        control_ms: p50, p99 and maximum of answers to `status` meanwhile.
        unfair: largest lead that any user had over another one with jobs left, in jobs started, among those of one
            priority.
        overtaken: jobs that started before one of a higher priority that was waiting.
    """

    clients: int
    jobs: int
    seconds: float
    control_ms: tuple[float, float, float]
    unfair: int
    overtaken: int


@dataclass(frozen=True)
class MemoryGrowth:
    """The memory of the server process over many jobs.

    Attributes:
        jobs: number of jobs.
        first_mb: after the first third of them.
        last_mb: after the last.
        slope_kb_per_job: of a straight line through it, with its 95 % interval.
    """

    jobs: int
    first_mb: float
    last_mb: float
    slope_kb_per_job: tuple[float, float, float]


def run_long_queue(killable: KillableServer, folder: Path, clients: int, jobs: int) -> LoadResult:
    """Queue all jobs behind one that holds the worker, release it, and watch the order.

    Every client is a user of its own; one in eight of their jobs has a higher priority.
    """
    plate = make_plate(folder / "load", "1001-1002", 2000)
    gate = folder / "load-gate"
    gate.unlink(missing_ok=True)
    blocker = make_submit(plate, "inline", "1001-1002", gate=str(gate))
    assert killable.peer
    killable.peer.upload(blocker)
    killable.peer.reaches(blocker.id, "running")
    submits = {
        index: make_submit(
            plate,
            "inline",
            "1001-1002",
            user=f"user{index % clients}",
            priority=70 if index // clients % 8 == 7 else 50,
        )
        for index in range(jobs)
    }
    threads = [threading.Thread(target=_submit, args=(killable, submits, index, clients)) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    began, answers = time.monotonic(), []
    gate.touch()
    ids = [submit.id for submit in submits.values()]
    open_jobs = set(ids)
    while open_jobs:
        assert time.monotonic() - began < 300, f"{len(open_jobs)} jobs have not ended"
        for id in list(open_jobs):
            sent = time.perf_counter()
            state = killable.peer.status(id).state
            answers.append((time.perf_counter() - sent) * 1000)
            if state == "done":
                open_jobs.discard(id)
    seconds = time.monotonic() - began
    order = [id for id in _started(killable) if id in set(ids)]
    assert sorted(order) == sorted(ids), "a job was lost, or started twice"
    by_id = {submit.id: submit for submit in submits.values()}
    control = (statistics.median(answers), float(np.percentile(answers, 99)), max(answers))
    return LoadResult(clients, jobs, seconds, control, _unfairness(order, by_id), _overtaken(order, by_id))


def _submit(killable: KillableServer, submits: dict, first: int, clients: int) -> None:
    with Client.of(killable.settings) as client:
        for index in range(first, len(submits), clients):
            client.upload(submits[index])


def _started(killable: KillableServer) -> list[str]:
    """Return the ids of jobs in the order in which they were given to a worker, from the server's log."""
    assert killable.server
    return _STARTED.findall(killable.server.log_path.read_text(errors="replace"))


def _unfairness(order: list[str], by_id: dict) -> int:
    """Return how far one user was ever ahead of another who had jobs left, among jobs of one priority."""
    worst = 0
    for priority in {submit.priority for submit in by_id.values()}:
        ours = [by_id[id] for id in order if by_id[id].priority == priority]
        left = Counter(submit.user for submit in ours)
        started: Counter[str] = Counter()
        for submit in ours:
            started[submit.user] += 1
            left[submit.user] -= 1
            waiting = [started[user] for user, count in left.items() if count]
            if waiting:
                worst = max(worst, max(started.values()) - min(waiting))
    return worst


def _overtaken(order: list[str], by_id: dict) -> int:
    """Return how many jobs started before one of a higher priority; all were waiting when the first started."""
    priorities = [by_id[id].priority for id in order]
    return sum(earlier < later for earlier, later in zip(priorities, priorities[1:], strict=False))


def measure_memory_over(killable: KillableServer, folder: Path, jobs: int, samples: int = 20) -> MemoryGrowth:
    """Run one job after the other, fetch each, and measure the server's memory in between."""
    plate = make_plate(folder / "growth", "1001-1012", 3000)
    assert killable.peer and killable.server
    at, measured = [], []
    for index in range(jobs):
        submit = make_submit(plate, "inline", "1001-1012", user=f"user{index % 7}")
        killable.peer.upload(submit)
        killable.peer.reaches(submit.id, "done")
        killable.peer.control.ask(Fetched(submit.id))
        if index % max(1, jobs // samples) == 0:
            at.append(index)
            measured.append(killable.server_memory() / 1024)
    skip = len(at) // 3  # until then caches warm up, and the spool fills up to its limit
    return MemoryGrowth(jobs, measured[skip] / 1024, measured[-1] / 1024, _slope(at[skip:], measured[skip:]))


def _slope(at: list[int], kilobytes: list[float]) -> tuple[float, float, float]:
    """Return the slope of a least squares line, with its 95 % confidence interval (normal)."""
    x, y = np.array(at, float), np.array(kilobytes, float)
    slope, intercept = np.polyfit(x, y, 1)
    left = y - (slope * x + intercept)
    error = np.sqrt((left**2).sum() / max(1, len(x) - 2) / ((x - x.mean()) ** 2).sum())
    return float(slope), float(slope - 1.96 * error), float(slope + 1.96 * error)
