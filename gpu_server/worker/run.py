"""One attempt at a job, from EXR to EXR.

    shot -> resolved job -> clip -> engine -> plate integration -> writer

`produce` works until the device is free, `conclude` until the last frame is announced.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from gpu_server.engines.base import Engine, Patch
from gpu_server.engines.registry import Engines
from gpu_server.logs import of_job
from gpu_server.worker.clips import HeldFrames, StreamClip, open_shot, store_clip
from gpu_server.worker.compositing import ResultWriter, result_headers
from gpu_server.worker.context import RunContext, Send, StageClock, WorkerStage, stage_shares
from gpu_server.worker.generation import generate, model_patches
from gpu_server.worker.messages import Ended, Resolved, RunJob
from gpu_server.worker.model_clip import FramedClip
from gpu_server.worker.plate_integration import PlateIntegrator
from void_bridge.errors import Cancelled, DeviceLost, InternalError, OutOfMemory, VoidBridgeError
from void_bridge.job import Job
from void_bridge.pixels.arrays import spread_indices
from void_bridge.pixels.colour import check_colour
from void_bridge.pixels.exposure import EXPOSURE_SAMPLES, measure_exposure
from void_bridge.pixels.shot import Shot
from void_bridge.protocol.messages import Failure

log = logging.getLogger(__name__)

REAL_PIXELS = "propagate"
REAL_SHARE = 0.5


class JobRun:
    """One attempt at a job, in two steps, so that the device can take the next job during the second.

    Neither step raises: the first failure is kept, and `conclude` returns it.

    Args:
        command: the job and where its files are.
        engines: the engines of this process.
        send: sends a message to the server.
        cancelled: set when the job is cancelled.
        pool: threads that decode, integrate and encode frames.
        threads: the size of the pool.
    """

    def __init__(
        self,
        command: RunJob,
        engines: Engines,
        send: Send,
        cancelled: threading.Event,
        pool: ThreadPoolExecutor,
        threads: int,
    ) -> None:
        self._command, self._engines, self._send, self._cancelled = command, engines, send, cancelled
        self._pool, self._slots = pool, threads + 1
        self._context: RunContext | None = None
        self._writer: ResultWriter | None = None
        self._patches: Iterator[Patch] = iter(())
        self._count = self._unchanged = 0
        self._failure: VoidBridgeError | None = None

    @property
    def lost_device(self) -> bool:
        """Whether the GPU no longer answers."""
        return isinstance(self._failure, DeviceLost)

    def produce(self) -> None:
        """Run the engine until the device is free. An engine that works on the plate delivers its patches, too."""
        self._attempt(self._produce)

    def conclude(self) -> Ended:
        """Bring the patches that are left to the plate, wait for the last frame, and return how the job ended."""
        if self._failure is None:
            self._attempt(self._deliver)
        if self._writer:
            self._attempt(partial(self._writer.conclude, abandon=self._failure is not None))
        key, failure = (self._command.id, self._command.attempt), self._failure
        if failure is None:
            shutil.rmtree(self._command.scratch, ignore_errors=True)
            return Ended(*key, "done", report=self._report())
        return Ended(*key, "cancelled" if isinstance(failure, Cancelled) else "failed", Failure.from_error(failure))

    def _attempt(self, work: Callable[[], None]) -> None:
        """Run some work and keep the first failure."""
        try:
            work()
        except BaseException as exc:
            self._failure = self._failure or _failure_from(exc, self._command.id)

    def _produce(self) -> None:
        """Resolve the job, run its engine, and set up the delivery."""
        command = self._command
        shot = open_shot(command.job, command.files, command.by_path)
        engine = self._engines.for_job(command.job, Path(command.models))
        shot = shot.with_job(_resolve(command.job, shot, engine))
        job = shot.job
        self._send(Resolved(command.id, command.attempt, job))
        context = self._context = self._make_context(job, engine)
        delivered = [i for i, frame in enumerate(shot.frames) if job.deliver_handles or frame in job.frames]
        missing = [i for i in delivered if job.wants(shot.frames[i]) and shot.frames[i] not in command.finished]
        frames = HeldFrames(shot, missing if engine.access == "stream" else (), self._pool, self._slots)
        self._writer = ResultWriter(
            command,
            lambda: result_headers(job, engine, context.headers),
            frames.take,
            self._pool,
            self._slots,
            self._send,
        )
        self._count = len(missing)
        if missing:
            self._patches = iter(self._generate(engine, shot, delivered, missing, frames, context))
        if engine.domain == "plate":
            self._deliver()

    def _generate(
        self,
        engine: Engine,
        shot: Shot,
        delivered: list[int],
        missing: list[int],
        frames: HeldFrames,
        context: RunContext,
    ) -> Iterable[Patch]:
        """Run the engine and return patches of the missing frames: linear, in pixels of the plate."""
        if engine.access == "stream":
            return generate(engine, StreamClip(shot, missing, frames.get), context)
        if engine.domain == "plate":
            return generate(engine, store_clip(shot, missing, context, self._pool, self._slots), context)
        stored = store_clip(shot, delivered, context, self._pool, self._slots)
        integrator = PlateIntegrator(FramedClip(stored, shot), shot.job, self._pool, self._slots)
        return model_patches(engine, self._engines.named(REAL_PIXELS), integrator, set(missing), context)

    def _deliver(self) -> None:
        """Take the patches that are left and hand them to the writer."""
        assert self._writer and self._context
        for patch in self._patches:
            self._unchanged += not patch.generated
            self._writer.submit(patch, self._context.check)
        self._context.clock.stop()

    def _make_context(self, job: Job, engine: Engine) -> RunContext:
        """Return the context of the job, which knows every stage of it."""
        shares = {} if engine.access == "stream" else stage_shares(WorkerStage)
        shares |= stage_shares(engine.stages)
        if job.fill == "hybrid" and engine.domain == "model":
            real = stage_shares(self._engines.named(REAL_PIXELS).stages)
            shares |= {stage: REAL_SHARE * share for stage, share in real.items()}
        return RunContext(self._command, job, self._send, self._cancelled, StageClock(shares))

    def _report(self) -> dict[str, object]:
        """Return the report of a job that is done."""
        assert self._context
        if self._unchanged:
            self._context.warn(_empty_matte(self._unchanged, self._count))
        return {**self._context.report, "seconds_by_stage": self._context.clock.seconds}


def _resolve(job: Job, shot: Shot, engine: Engine) -> Job:
    """Return the job with engine and exposure filled in.

    Raises:
        ColourError: the working space is not known, or the OCIO config is not the one that the job was made with.
    """
    check_colour(job.colour)
    exposure = job.colour.exposure
    if exposure is None:
        sampled = spread_indices(len(shot.frames), EXPOSURE_SAMPLES)
        exposure = measure_exposure(shot.load(index).rgb() for index in sampled)
    return job.replace(engine=engine.name, colour=dataclasses.replace(job.colour, exposure=exposure))


def _empty_matte(unchanged: int, count: int) -> str:
    """Return the warning about frames whose matte is empty."""
    if unchanged == count:
        return "the matte is empty in every frame: the result equals the plate"
    return f"the matte is empty in {unchanged} of {count} frames, which equal the plate"


def _failure_from(exc: BaseException, job_id: str) -> VoidBridgeError:
    """Return a failure as an error of the tree; an unexpected one is logged with its traceback.

    The error has no traceback and no cause, which would hold memory of the device.
    """
    if isinstance(exc, VoidBridgeError):
        failure = exc
    elif isinstance(exc, MemoryError):
        failure = OutOfMemory("the machine has too little memory for this job; use fewer workers or a smaller plate")
    else:
        log.error("unexpected", exc_info=exc, extra=of_job(job_id))
        failure = InternalError(f"{type(exc).__name__}: {exc}; the worker's log has the details")
    failure.__cause__ = failure.__context__ = None
    return failure.with_traceback(None)
