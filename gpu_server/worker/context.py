"""What a running engine is offered: progress, cancel, previews, a report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.worker.messages import Advance, RunJob, WorkerMessage, WorkerPreview
from void_bridge.errors import Cancelled
from void_bridge.job import Job

PROGRESS_INTERVAL_S = 0.1
PREVIEW_INTERVAL_S = 1.0

Send = Callable[[WorkerMessage], None]


class StageClock:
    """Seconds spent in each stage, and an estimate of those to come.

    weights: the share of the job that each stage takes, about. Without any, a job is one stage.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        self._weights = weights
        self._started = self._stage_started = time.monotonic()
        self.stage = ""
        self.seconds: dict[str, float] = {}

    def enter(self, stage: str) -> None:
        now = time.monotonic()
        if self.stage:
            self.seconds[self.stage] = round(self.seconds.get(self.stage, 0.0) + now - self._stage_started, 3)
        self.stage, self._stage_started = stage, now

    def seconds_left(self, done: int, total: int) -> float | None:
        """None until there is something to go by."""
        weights = self._weights or {self.stage: 1.0}
        names = list(weights)
        if self.stage not in names:
            return None
        before = sum(weights[name] for name in names[: names.index(self.stage)])
        fraction = (before + weights[self.stage] * done / max(total, 1)) / sum(weights.values())
        elapsed = time.monotonic() - self._started
        return round(elapsed * (1 - fraction) / fraction, 1) if fraction > 0.02 else None


class RunContext:
    """The context of one attempt at a job. Safe to call from an engine's own threads."""

    def __init__(self, run: RunJob, job: Job, send: Send, cancelled: threading.Event, clock: StageClock) -> None:
        self.job = job
        self.scratch, self.cache, self.models = Path(run.scratch), Path(run.cache), Path(run.models)
        self.report: dict[str, object] = {}
        self.headers: dict[str, str] = {}
        self.clock = clock
        self._run, self._send, self._cancelled = run, send, cancelled
        self._last_progress = self._last_preview = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the job was cancelled")

    def warn(self, *texts: str) -> None:
        told = self.report.get("warnings", ())
        assert isinstance(told, (list, tuple))
        if texts:
            self.report["warnings"] = [*told, *texts]

    def progress(self, stage: str, done: int, total: int) -> None:
        self.check()
        with self._lock:
            now, fresh = time.monotonic(), stage != self.clock.stage
            if fresh:
                self.clock.enter(stage)
            if not fresh and done < total and now - self._last_progress < PROGRESS_INTERVAL_S:
                return
            self._last_progress = now
            left = self.clock.seconds_left(done, total)
        self._send(Advance(self._run.id, self._run.attempt, stage, done, total, left))

    def preview(self, index: int, rgb_u8: NDArray[np.uint8]) -> None:
        with self._lock:
            now = time.monotonic()
            if not self._run.previews or now - self._last_preview < PREVIEW_INTERVAL_S:
                return
            self._last_preview = now
        ok, png = cv2.imencode(".png", np.ascontiguousarray(rgb_u8[:, :, ::-1]))
        if ok:
            self._send(WorkerPreview(self._run.id, self._run.attempt, index, png.tobytes()))
