"""One attempt at a job, from EXR to EXR.

shot -> resolve -> clip -> engine -> finisher      produce() runs until the device is free,
                                                   conclude() until the last frame is announced
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from gpu_server.engines.base import Engine, Patch
from gpu_server.engines.registry import Engines
from gpu_server.logs import of_job
from gpu_server.worker.clip import StreamClip
from gpu_server.worker.compositing import ResultWriter, result_headers
from gpu_server.worker.context import RunContext, Send, StageClock
from gpu_server.worker.messages import Ended, Resolved, RunJob
from gpu_server.worker.model_clip import FramedClip
from gpu_server.worker.model_run import model_patches
from gpu_server.worker.plate_integration import PlateIntegrator
from gpu_server.worker.reader import HeldFrames, opened_shot, stored_clip
from void_bridge.errors import Cancelled, DeviceLost, InternalError, OutOfMemory, VoidBridgeError
from void_bridge.job import Job
from void_bridge.pixels.colour import check_colour
from void_bridge.pixels.exposure import measure_exposure
from void_bridge.pixels.shot import Shot

log = logging.getLogger(__name__)

EXPOSURE_SAMPLES = 5
DECODE_SHARE = 0.1

REAL_PIXELS = "propagate"
REAL_SHARE = 0.5


class JobRun:
    """Does what is left of a job, in two parts, so that the device may take the next job during the second.

    `produce` runs until a model is through with the device; an engine that works on the plate itself delivers in it.
    `conclude` brings the rest to the plate, waits for the last frame, and says how the job ended. Neither raises.
    """

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
        self._deliver: Callable[[], None] = _nothing
        self._finisher: ResultWriter | None = None
        self._failure: VoidBridgeError | None = None

    @property
    def lost_device(self) -> bool:
        return isinstance(self._failure, DeviceLost)

    def produce(self) -> None:
        self._attempt(self._produce)

    def conclude(self) -> Ended:
        if self._failure is None:
            self._attempt(self._deliver)
        if self._finisher:
            self._attempt(partial(self._finisher.conclude, abandon=self._failure is not None))
        failure, told = self._failure, (self._run.id, self._run.attempt)
        if failure is None:
            shutil.rmtree(self._run.scratch, ignore_errors=True)
            return Ended(*told, "done", report=self._report)
        return Ended(*told, "cancelled" if isinstance(failure, Cancelled) else "failed", failure.code, failure.message)

    def _attempt(self, work: Callable[[], None]) -> None:
        """The first failure is kept."""
        try:
            work()
        except BaseException as exc:
            self._failure = self._failure or _freed(_as_ours(exc, self._run.id))

    def _produce(self) -> None:
        shot = opened_shot(self._run.job, self._run.files, self._run.by_path)
        engine = self._engines.for_job(self._run.job, Path(self._run.models))
        job = _resolved(self._run.job, shot, engine)
        shot.job = job
        self._send(Resolved(self._run.id, self._run.attempt, job))
        context = self._context(job, engine)
        delivered = [i for i, frame in enumerate(shot.frames) if job.deliver_handles or frame in job.frames]
        missing = [i for i in delivered if job.makes(shot.frames[i]) and shot.frames[i] not in self._run.finished]
        frames = HeldFrames(shot, missing if engine.access == "stream" else (), self._pool, self._slots)
        self._finisher = ResultWriter(
            self._run,
            lambda: result_headers(job, engine, context.headers),
            frames.take,
            self._pool,
            self._slots,
            self._send,
        )
        patches = self._patches(engine, shot, delivered, missing, frames, context) if missing else iter(())
        self._deliver = partial(self._finish, patches, len(missing), context)
        if engine.domain == "plate":
            self._deliver()
            self._deliver = _nothing

    def _finish(self, patches: Iterator[Patch], count: int, context: RunContext) -> None:
        assert self._finisher
        untouched = 0
        for patch in patches:
            untouched += not patch.generated
            self._finisher.submit(patch, context.check)
        context.clock.enter("")
        if untouched:
            context.warn(_empty_matte(untouched, count))
        self._report = {**context.report, "seconds_by_stage": context.clock.seconds}

    def _context(self, job: Job, engine: Engine) -> RunContext:
        stages = engine.stages if engine.access == "stream" else {"decode": DECODE_SHARE, **engine.stages}
        if self._is_hybrid(job, engine):
            real = self._engines.named(REAL_PIXELS).stages
            stages = {**stages, **{name: REAL_SHARE * share for name, share in real.items()}}
        return RunContext(self._run, job, self._send, self._cancelled, StageClock(stages))

    def _patches(
        self,
        engine: Engine,
        shot: Shot,
        delivered: list[int],
        missing: list[int],
        frames: HeldFrames,
        context: RunContext,
    ) -> Iterator[Patch]:
        """Patches of the missing frames, linear, in pixels of the plate."""
        if engine.access == "stream":
            return engine.run(StreamClip(shot, missing, frames.get), context)
        if engine.domain == "plate":
            return engine.run(stored_clip(shot, missing, context, self._pool, self._slots), context)
        stored = stored_clip(shot, delivered, context, self._pool, self._slots)
        back = PlateIntegrator(FramedClip(stored, shot), shot.job, self._pool, self._slots)
        return model_patches(engine, self._engines.named(REAL_PIXELS), back, set(missing), context)

    @staticmethod
    def _is_hybrid(job: Job, engine: Engine) -> bool:
        return job.fill == "hybrid" and engine.domain == "model"


def _nothing() -> None:
    pass


def _resolved(job: Job, shot: Shot, engine: Engine) -> Job:
    """The job with engine and exposure filled in.

    Raises:
        ColourError: the working space is not known, or the OCIO config is not the one that the job was made with.
    """
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


def _freed(failure: VoidBridgeError) -> VoidBridgeError:
    """Without the frames that it went through, which hold what was in the memory of the device."""
    failure.__cause__ = failure.__context__ = None
    return failure.with_traceback(None)


def _as_ours(exc: BaseException, job_id: str) -> VoidBridgeError:
    """Every failure as one of the tree; what nobody foresaw is logged whole."""
    if isinstance(exc, VoidBridgeError):
        return exc
    if isinstance(exc, MemoryError):
        return OutOfMemory("the machine has too little memory for this job; use fewer workers or a smaller plate")
    log.error("unexpected", exc_info=exc, extra=of_job(job_id))
    return InternalError(f"{type(exc).__name__}: {exc}; the worker's log has the details")
