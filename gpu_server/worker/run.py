"""One attempt at a job, from EXR to EXR.

shot -> resolve -> clip -> engine -> finisher      produce() runs until the engine is through,
                                                   conclude() until the last frame is announced
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gpu_server.engines.base import Clip, Engine, Patch
from gpu_server.engines.registry import Engines
from gpu_server.worker.clip import StreamClip
from gpu_server.worker.context import RunContext, Send, StageClock
from gpu_server.worker.finish import Finisher, void_headers
from gpu_server.worker.messages import Ended, Resolved, RunJob
from gpu_server.worker.model_clip import FramedClip
from gpu_server.worker.reader import HeldFrames, opened_shot, stored_clip
from void_bridge.errors import Cancelled, InternalError, OutOfMemory, VoidBridgeError
from void_bridge.job import Job
from void_bridge.pixels.colour import check_colour
from void_bridge.pixels.exposure import measure_exposure
from void_bridge.pixels.shot import Shot

log = logging.getLogger(__name__)

EXPOSURE_SAMPLES = 5
DECODE_SHARE = 0.1

ToPlate = Callable[[Patch], Patch]


class JobRun:
    """Does what is left of a job. `produce` and `conclude` never raise: `conclude` says how it ended."""

    def __init__(
        self,
        run: RunJob,
        engines: Engines,
        send: Send,
        cancelled: threading.Event,
        pool: ThreadPoolExecutor,
        threads: int,
    ) -> None:
        self._run, self._engines, self._send, self._cancelled = run, engines, send, cancelled
        self._pool, self._slots = pool, threads + 1
        self._report: dict[str, object] = {}
        self._finisher: Finisher | None = None
        self._failure: VoidBridgeError | None = None

    def produce(self) -> None:
        try:
            self._produce()
        except BaseException as exc:
            self._failure = _as_ours(exc, self._run.id)

    def conclude(self) -> Ended:
        if self._finisher:
            try:
                self._finisher.conclude(abandon=self._failure is not None)
            except BaseException as exc:
                self._failure = self._failure or _as_ours(exc, self._run.id)
        failure, told = self._failure, (self._run.id, self._run.attempt)
        if failure is None:
            shutil.rmtree(self._run.scratch, ignore_errors=True)
            return Ended(*told, "done", report=self._report)
        return Ended(*told, "cancelled" if isinstance(failure, Cancelled) else "failed", failure.code, failure.message)

    def _produce(self) -> None:
        shot = opened_shot(self._run.job, self._run.files)
        engine = self._engines.for_job(self._run.job, Path(self._run.models))
        job = _resolved(self._run.job, shot, engine)
        shot.job = job
        self._send(Resolved(self._run.id, self._run.attempt, job))
        context = self._context(job, engine)
        delivered = set(shot.frames if job.deliver_handles else job.frames) - set(self._run.finished)
        wanted = [i for i, frame in enumerate(shot.frames) if frame in delivered]
        frames = HeldFrames(shot, wanted if engine.access == "stream" else (), self._pool, self._slots)
        self._finisher = Finisher(
            self._run,
            lambda: void_headers(job, engine, context.headers),
            frames.take,
            self._pool,
            self._slots,
            self._send,
        )
        clip, to_plate = self._clip(engine, shot, wanted, frames, context)
        untouched = 0
        for patch in engine.run(clip, context):
            untouched += not patch.generated
            self._finisher.submit(to_plate(patch), context.check)
        context.clock.enter("")
        self._report = {**context.report, "seconds_by_stage": context.clock.seconds}
        if untouched:
            warnings = [*self._report.get("warnings", ()), _empty_matte(untouched, len(wanted))]
            self._report["warnings"] = warnings

    def _context(self, job: Job, engine: Engine) -> RunContext:
        stages = engine.stages if engine.access == "stream" else {"decode": DECODE_SHARE, **engine.stages}
        return RunContext(self._run, job, self._send, self._cancelled, StageClock(stages))

    def _clip(
        self, engine: Engine, shot: Shot, wanted: Sequence[int], frames: HeldFrames, context: RunContext
    ) -> tuple[Clip, ToPlate]:
        """The shot in the engine's domain, and the way its patches go back to the plate's."""
        if engine.access == "stream":
            return StreamClip(shot, wanted, frames.get), _as_it_is
        stored = stored_clip(shot, wanted, context, self._pool, self._slots)
        if engine.domain == "plate":
            return stored, _as_it_is
        framed = FramedClip(stored, shot)
        context.report.update(framed.report())
        return framed, framed.to_plate


def _as_it_is(patch: Patch) -> Patch:
    return patch


def _resolved(job: Job, shot: Shot, engine: Engine) -> Job:
    """The job with engine and exposure filled in.

    Raises:
        ColourError: the OCIO config is not the one that the job was made with.
    """
    if engine.domain == "model":
        check_colour(job.colour)
    exposure = job.colour.exposure
    if exposure is None:
        sampled = np.linspace(0, len(shot.frames) - 1, EXPOSURE_SAMPLES).round().astype(int)
        exposure = measure_exposure(shot.load(int(i)).rgb() for i in np.unique(sampled))
    return job.replace(engine=engine.name, colour=dataclasses.replace(job.colour, exposure=exposure))


def _empty_matte(untouched: int, wanted: int) -> str:
    if untouched == wanted:
        return "the matte is empty in every frame: the result is the plate"
    return f"the matte is empty in {untouched} of {wanted} frames, which stay the plate"


def _as_ours(exc: BaseException, job_id: str) -> VoidBridgeError:
    """Every failure as one of the tree; what nobody foresaw is logged whole."""
    if isinstance(exc, VoidBridgeError):
        return exc
    if isinstance(exc, MemoryError):
        return OutOfMemory("the machine has too little memory for this job; use fewer workers or a smaller plate")
    log.error("job %s: unexpected", job_id, exc_info=exc)
    return InternalError(f"{type(exc).__name__}: {exc}; the worker's log has the details")
