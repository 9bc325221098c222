"""Many clients and many jobs at once: in which order they are served, how fast control answers, what memory does.

The worker is scripted: what is looked at is the server.
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
from tests.torture.world import World
from void_bridge.protocol.messages import Fetched

_STARTED = re.compile(r"\[(\w+)\] attempt \d+ starts")


@dataclass(frozen=True)
class Load:
    """jobs, clients: how many. control_ms: p50, p99 and the most of answers to `status` while the queue is worked off.

    unfair: largest lead that any user had over another one with jobs left, in jobs started, among those of one
    priority. overtaken: jobs that started before one of a higher priority that was waiting.
    """

    clients: int
    jobs: int
    seconds: float
    control_ms: tuple[float, float, float]
    unfair: int
    overtaken: int


@dataclass(frozen=True)
class Growth:
    """Memory of the server process over many jobs. slope: of a straight line through it, with its 95 % interval."""

    jobs: int
    first_mb: float
    last_mb: float
    slope_kb_per_job: tuple[float, float, float]


def queue_of_many(world: World, folder: Path, clients: int, jobs: int) -> Load:
    """Queue everything behind a job that holds the worker, let go, and watch the order.

    Every client is a user of its own; one in eight of their jobs has a higher priority.
    """
    plate = make_plate(folder / "load", "1001-1002", 2000)
    gate = folder / "load-gate"
    gate.unlink(missing_ok=True)
    blocker = make_submit(plate, "inline", "1001-1002", gate=str(gate))
    assert world.peer
    world.peer.upload(blocker)
    world.peer.reaches(blocker.id, "running")
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
    threads = [threading.Thread(target=_submit, args=(world, submits, index, clients)) for index in range(clients)]
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
            state = world.peer.status(id).state
            answers.append((time.perf_counter() - sent) * 1000)
            if state == "done":
                open_jobs.discard(id)
    seconds = time.monotonic() - began
    order = [id for id in _started(world) if id in set(ids)]
    assert sorted(order) == sorted(ids), "a job was lost, or started twice"
    by_id = {submit.id: submit for submit in submits.values()}
    control = (statistics.median(answers), float(np.percentile(answers, 99)), max(answers))
    return Load(clients, jobs, seconds, control, _unfairness(order, by_id), _overtaken(order, by_id))


def _submit(world: World, submits: dict, first: int, clients: int) -> None:
    with Client.of(world.settings) as client:
        for index in range(first, len(submits), clients):
            client.upload(submits[index])


def _started(world: World) -> list[str]:
    """Numbers of jobs in the order in which they were given to a worker, from the server's log."""
    assert world.server
    return _STARTED.findall(world.server.log_path.read_text(errors="replace"))


def _unfairness(order: list[str], by_id: dict) -> int:
    """Among jobs of one priority: how far one user was ever ahead of another who had jobs left."""
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
    """All were waiting when the first started."""
    priorities = [by_id[id].priority for id in order]
    return sum(earlier < later for earlier, later in zip(priorities, priorities[1:], strict=False))


def memory_over(world: World, folder: Path, jobs: int, samples: int = 20) -> Growth:
    """One job after the other, each fetched, with the server's memory measured in between."""
    plate = make_plate(folder / "growth", "1001-1012", 3000)
    assert world.peer and world.server
    at, measured = [], []
    for index in range(jobs):
        submit = make_submit(plate, "inline", "1001-1012", user=f"user{index % 7}")
        world.peer.upload(submit)
        world.peer.reaches(submit.id, "done")
        world.peer.control.ask(Fetched(submit.id))
        if index % max(1, jobs // samples) == 0:
            at.append(index)
            measured.append(world.server_memory() / 1024)
    skip = len(at) // 3  # until then caches warm up, and the spool fills up to its limit
    return Growth(jobs, measured[skip] / 1024, measured[-1] / 1024, _slope(at[skip:], measured[skip:]))


def _slope(at: list[int], kilobytes: list[float]) -> tuple[float, float, float]:
    """Of a least squares line, with its 95 % confidence interval (normal)."""
    x, y = np.array(at, float), np.array(kilobytes, float)
    slope, intercept = np.polyfit(x, y, 1)
    left = y - (slope * x + intercept)
    error = np.sqrt((left**2).sum() / max(1, len(x) - 2) / ((x - x.mean()) ** 2).sum())
    return float(slope), float(slope - 1.96 * error), float(slope + 1.96 * error)
