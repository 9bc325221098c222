"""What a server has done since it started, counted for metrics. Each count is written by one thread."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from itertools import accumulate
from typing import NamedTuple

JOB_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
ANSWER_SECONDS = (0.0005, 0.002, 0.01, 0.05, 0.1, 0.5, 2.0)
INF = float("inf")


class Counted(NamedTuple):
    """buckets: bounds, ascending, the last one infinite, and how many values were at most each. total: of all."""

    buckets: tuple[tuple[float, int], ...]
    total: float


class Histogram:
    """How many values were at most each of some bounds, ascending."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = (*bounds, INF)
        self._counts = [0] * len(self._bounds)
        self._total = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def counted(self) -> Counted:
        return Counted(tuple(zip(self._bounds, accumulate(self._counts), strict=True)), self._total)


class Counters:
    """Of jobs, on the control thread. ended: by final state; seconds: of running, of those done, by engine."""

    def __init__(self, engines: tuple[str, ...] = ()) -> None:
        self._engines = engines
        self.ended: Counter[str] = Counter()
        self.frames = 0
        self.seconds: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(JOB_SECONDS))

    def end(self, state: str, engine: str, seconds: float) -> None:
        """engine: as the worker says; one that the server does not know is counted as `other`."""
        self.ended[state] += 1
        if state == "done":
            self.seconds[engine if engine in self._engines else "other"].add(seconds)
