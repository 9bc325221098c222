"""The context of a running engine: progress, cancel, previews, a report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import EngineStage
from gpu_server.worker.messages import Advance, RunJob, WorkerMessage, WorkerPreview
from void_bridge.errors import Cancelled, EngineError
from void_bridge.job import Job

PROGRESS_INTERVAL_S = 0.1
PREVIEW_INTERVAL_S = 1.0

Send = Callable[[WorkerMessage], None]


class WorkerStage(EngineStage):
    """The stages of a job that are the worker's own."""

    DECODE = "decode", 0.1


def stage_shares(stages: type[EngineStage]) -> dict[EngineStage, float]:
    """Return the share of a job's time that each stage takes."""
    return {stage: stage.share for stage in stages}


class StageClock:
    """The seconds spent in each stage of a job, and an estimate of the seconds left.

    Args:
        shares: the share of the job's time that each stage takes, about, in the order of the stages.

    Attributes:
        seconds: seconds by the name of the stage. Stages of two engines that have one name are added up.
    """

    def __init__(self, shares: Mapping[EngineStage, float]) -> None:
        self.shares = shares
        self._started = self._stage_started = time.monotonic()
        self.stage: EngineStage | None = None
        self.seconds: dict[str, float] = {}

    def enter(self, stage: EngineStage | None) -> None:
        """End the stage before and begin this one."""
        now = time.monotonic()
        if self.stage:
            name = self.stage.value
            self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._stage_started, 3)
        self.stage, self._stage_started = stage, now

    def stop(self) -> None:
        """End the last stage."""
        self.enter(None)

    def seconds_left(self, done: int, total: int) -> float | None:
        """Estimate the seconds left from the steps done of the stage; None while less than 2 % of the job is done."""
        assert self.stage
        stages = list(self.shares)
        before = sum(self.shares[stage] for stage in stages[: stages.index(self.stage)])
        fraction = (before + self.shares[self.stage] * done / max(total, 1)) / sum(self.shares.values())
        elapsed = time.monotonic() - self._started
        return round(elapsed * (1 - fraction) / fraction, 1) if fraction > 0.02 else None


class RunContext:
    """The context of one attempt at a job. Its methods may be called from any thread.

    Args:
        command: the attempt.
        job: its job, with everything filled in.
        send: sends a message to the server.
        cancelled: set when the job is cancelled.
        clock: knows the stages of the job.
    """

    def __init__(self, command: RunJob, job: Job, send: Send, cancelled: threading.Event, clock: StageClock) -> None:
        self.job = job
        self.scratch, self.cache, self.models = Path(command.scratch), Path(command.cache), Path(command.models)
        self.report: dict[str, object] = {}
        self.headers: dict[str, str] = {}
        self.clock = clock
        self._command, self._send, self._cancelled = command, send, cancelled
        self._last_progress = self._last_preview = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise Cancelled if the job was cancelled."""
        if self._cancelled.is_set():
            raise Cancelled("the job was cancelled")

    def warn(self, *texts: str) -> None:
        """Add lines to the report's warnings."""
        if texts:
            self.report["warnings"] = [*self.report.get("warnings", ()), *texts]  # type: ignore[misc]

    def progress(self, stage: EngineStage, done: int, total: int) -> None:
        """Tell the server how far a stage is; see `Context.progress`."""
        self.check()
        clock = self.clock
        if stage not in clock.shares:
            declared = ", ".join(map(str, clock.shares))
            raise EngineError(
                f"got the stage {stage!r}, which the engine does not declare; "
                f"expected one of {declared or 'its `stages`, which are empty'}"
            )
        with self._lock:
            now, fresh = time.monotonic(), stage != clock.stage
            if fresh:
                clock.enter(stage)
            if not fresh and done < total and now - self._last_progress < PROGRESS_INTERVAL_S:
                return
            self._last_progress = now
            left = clock.seconds_left(done, total)
        self._send(Advance(self._command.id, self._command.attempt, stage.value, done, total, left))

    def preview(self, index: int, rgb_u8: NDArray[np.uint8]) -> None:
        """Send a preview of a frame to the server, at most one a second; see `Context.preview`."""
        with self._lock:
            now = time.monotonic()
            if not self._command.previews or now - self._last_preview < PREVIEW_INTERVAL_S:
                return
            self._last_preview = now
        ok, png = cv2.imencode(".png", np.ascontiguousarray(rgb_u8[:, :, ::-1]))
        if ok:
            self._send(WorkerPreview(self._command.id, self._command.attempt, index, png.tobytes()))
