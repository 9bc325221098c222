"""Jobs to workers and back: who runs what, what their words change, when patience ends.

On the control thread. A worker may hold two jobs: one on its device, and one whose frames are still
being encoded. Every job that a worker holds is an `Assignment` with the number of its attempt; words
about any other attempt are ignored.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from gpu_server.logs import of_job
from gpu_server.server.background import Background
from gpu_server.server.inputs import check_config, check_unchanged
from gpu_server.server.job_store import JobStore
from gpu_server.server.jobs import LOSSES_MAX, JobRecord
from gpu_server.server.scheduler import next_job
from gpu_server.server.settings import ServerSettings
from gpu_server.server.sockets import Mailbox
from gpu_server.server.spool import Spool
from gpu_server.server.worker_process import WorkerExit, WorkerProcess
from gpu_server.server.worker_slots import Assignment, Freeing, WorkerSlot
from gpu_server.worker import messages as worker
from void_bridge.errors import DeviceLost, InternalError, VoidBridgeError, WorkerLost
from void_bridge.protocol.messages import Failure, Progress, ResultFrame

log = logging.getLogger(__name__)

_FOREVER = float("inf")
_WORKER_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # frames run side by side already
    # glibc's mallopt(3): planes of every frame are taken from memory that is there, not mapped and zeroed anew.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(4 * 2**30),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
_STARTS_MAX = 3  # workers that end before they are ready, in a row, before the queue is given up


class Dispatcher:
    """`on_preview(job id, frame, png)` gets pictures in the making."""

    def __init__(
        self,
        settings: ServerSettings,
        store: JobStore,
        spool: Spool,
        background: Background,
        mailbox: Mailbox,
        on_preview: Callable[[str, int, bytes], None],
    ) -> None:
        self._settings, self._store, self._spool = settings, store, spool
        self._background, self._mailbox, self._on_preview = background, mailbox, on_preview
        self.workers = [WorkerSlot(index) for index in range(settings.workers)]
        self._last_served: dict[str, float] = {}
        self._failed_starts = 0
        self._closing = False
        self._freeing: list[Freeing] = []

    # --- giving work -----------------------------------------------------------------------------

    def start_all(self) -> None:
        """Start every worker now, rather than with the first job."""
        for slot in self.workers:
            if slot.process is None:
                self._start(slot)

    def warm_up(self) -> None:
        """Have at least one worker, as a job is on its way."""
        if not self._closing and all(slot.process is None for slot in self.workers):
            self._start(self.workers[0])

    def fill(self) -> None:
        """Give queued jobs to workers that take one; start workers for the rest."""
        if self._closing:
            return
        queued = self._store.table.in_state("queued")
        for slot in self.workers:
            if queued and slot.takes_jobs:
                self._assign(slot, self._next_of(queued))
                queued = self._store.table.in_state("queued")
        coming = sum(slot.process is not None and not slot.ready for slot in self.workers)
        for slot in [slot for slot in self.workers if slot.process is None][: max(0, len(queued) - coming)]:
            self._start(slot)

    def _next_of(self, queued: list[JobRecord]) -> JobRecord:
        running = Counter(record.user for record in self._store.table.in_state("running"))
        chosen = next_job(queued, running, self._last_served)
        assert chosen is not None
        return self._store.table.get(chosen)

    def _start(self, slot: WorkerSlot) -> None:
        slot.ready, slot.started, slot.end_by, slot.blamed = False, time.monotonic(), None, set()
        slot.engine, slot.last_word = "", slot.started

        def heard(message: worker.WorkerMessage) -> None:
            self._mailbox.post(lambda: self._heard(slot, process, message))

        def gone(how: WorkerExit) -> None:
            self._mailbox.post(lambda: self._gone(slot, process, how))

        command, name = self._settings.worker_command, f"worker-{slot.index}"
        process = slot.process = WorkerProcess(name, command, self._environment(slot.index), heard, gone)

    def _environment(self, index: int) -> dict[str, str]:
        told = {"VOID_BRIDGE_THREADS": str(self._settings.threads), "VOID_BRIDGE_WORKER": str(index)}
        environment = {**os.environ, **told}
        return {**_WORKER_ENVIRONMENT, **environment}

    def _assign(self, slot: WorkerSlot, record: JobRecord) -> None:
        self._last_served[record.user] = time.monotonic()
        slot.on_device = record.id
        assignment = slot.assignments[record.id] = Assignment(record.attempt + 1, time.monotonic())

        def prepared(error: VoidBridgeError | None) -> None:
            if slot.assignments.get(record.id) is assignment:
                self._launch(slot, record, assignment.attempt, error)

        def journaled(_: object, error: VoidBridgeError | None) -> None:
            self._background.do(lambda: self._prepare(record, assignment.attempt), prepared, record.id)

        self._store.begin(record, journaled)

    def _prepare(self, record: JobRecord, attempt: int) -> None:
        check_config(record.job.colour, self._settings.allowed_roots)
        check_unchanged(record.inputs if record.transport == "path" else (), record.files)
        self._spool.prepare_attempt(record.id, attempt)

    def _launch(self, slot: WorkerSlot, record: JobRecord, attempt: int, error: VoidBridgeError | None) -> None:
        if error and record.is_running_attempt(attempt):
            self._store.finish(record, "failed", Failure(error.code, error.message))
        if not record.is_running_attempt(attempt):
            self._release(slot, record)
            return
        assert slot.process is not None
        log.info("attempt %d starts on worker-%d", attempt, slot.index, extra=of_job(record.id))
        slot.assignments[record.id].last_word = time.monotonic()
        slot.engine = record.engine
        inline = {item.path: str(self._spool.blob_path(item.digest)) for item in record.inputs if item.digest}
        slot.process.send(
            worker.RunJob(
                id=record.id,
                attempt=attempt,
                job=record.resolved or record.job,
                files=record.files or inline,
                frames_dir=str(self._spool.frames_dir(record.id, attempt)),
                scratch=str(self._spool.scratch_dir(record.id)),
                cache=str(self._spool.cache),
                models=str(self._settings.models or ""),
                finished=tuple(sorted(record.frames)),
                by_path=record.transport == "path",
            )
        )

    # --- what workers say ------------------------------------------------------------------------

    def _heard(self, slot: WorkerSlot, process: WorkerProcess, message: worker.WorkerMessage) -> None:
        if slot.process is not process:
            return
        slot.last_word = time.monotonic()
        if isinstance(message, worker.Ready):
            log.info("worker-%d is ready on %s", slot.index, message.device)
            slot.ready, slot.device, self._failed_starts = True, message.device, 0
            self.fill()
            return
        job_id, attempt = getattr(message, "id", ""), getattr(message, "attempt", 0)
        assignment = slot.assignments.get(job_id)
        if assignment is None or assignment.attempt != attempt:
            log.debug("a late %s of attempt %s is ignored", message.type, attempt, extra=of_job(job_id))
            return
        assignment.last_word = time.monotonic()
        record = self._store.table.get(job_id)
        if record.is_running_attempt(attempt):
            self._heard_of(record, message)
        if slot.on_device == job_id:
            slot.engine = record.engine
        if isinstance(message, worker.DeviceFree) and slot.on_device == job_id:
            slot.on_device = None
            self.fill()
        elif isinstance(message, worker.Ended) and not self._closing:
            self._ended(slot, record, message)

    def _heard_of(self, record: JobRecord, message: worker.WorkerMessage) -> None:
        if isinstance(message, worker.Advance):
            progress = Progress(message.stage, message.done, message.total, message.seconds_left)
            self._store.advance(record, progress)
        elif isinstance(message, worker.FrameWritten):
            self._publish(record, message)
        elif isinstance(message, worker.Resolved):
            self._store.resolve(record, message.job)
        elif isinstance(message, worker.WorkerPreview):
            self._on_preview(record.id, message.frame, message.png)

    def _publish(self, record: JobRecord, written: worker.FrameWritten) -> None:
        attempt = written.attempt

        def fail(failure: Failure) -> None:
            if record.is_running_attempt(attempt):
                self.cancel(record)
                self._store.finish(record, "failed", failure)

        if Path(written.path).parent != self._spool.frames_dir(record.id, attempt):
            error = InternalError(f"the worker wrote frame {written.frame} as {written.path}, outside its folder")
            fail(Failure(error.code, error.message))
            return
        frame = ResultFrame(written.frame, written.digest, written.size, written.path)
        self._store.publish(record, attempt, frame, fail)

    def _ended(self, slot: WorkerSlot, record: JobRecord, ended: worker.Ended) -> None:
        if ended.state == "done" and record.is_running_attempt(ended.attempt):
            self._background.do(
                lambda: check_unchanged(record.inputs if record.transport == "path" else (), record.files),
                lambda error: self._store.do(lambda _: None, lambda *_: self._finish_done(record, ended, error)),
                record.id,
            )
        elif ended.state == "failed" and record.is_running_attempt(ended.attempt):
            self._store.finish(record, "failed", Failure(ended.code or "engine", ended.message or "the engine failed"))
        elif record.is_running_attempt(ended.attempt):
            self._store.finish(record, "cancelled")
        if ended.code == DeviceLost.code:
            self._end(slot)
        self._release(slot, record)

    def _finish_done(self, record: JobRecord, ended: worker.Ended, error: VoidBridgeError | None) -> None:
        """Once every frame of the attempt is in the table."""
        if not record.is_running_attempt(ended.attempt):
            return
        lacking = [frame for frame in record.delivered if frame not in record.frames]
        if lacking and not error:
            error = InternalError(
                f"the worker ended job {record.id} without frames {lacking[:5]}; see the server's log"
            )
        if error:
            self._store.finish(record, "failed", Failure(error.code, error.message))
        else:
            self._store.finish_done(record, ended.attempt, ended.report)

    def _release(self, slot: WorkerSlot, record: JobRecord) -> None:
        """The worker holds this job no longer."""
        slot.assignments.pop(record.id, None)
        if slot.on_device == record.id:
            slot.on_device = None
        self.tidy(record)
        self.fill()

    def held_jobs(self) -> frozenset[str]:
        return frozenset(job_id for slot in self.workers for job_id in slot.assignments)

    def tidy(self, record: JobRecord) -> None:
        """Remove what engines left behind, once a job has ended and no worker holds it."""
        if record.is_final and record.id not in self.held_jobs():
            record.forget_inputs()
            self._background.do(lambda: self._spool.remove_scratch(record.id), about=record.id)

    # --- when things end -------------------------------------------------------------------------

    def cancel(self, record: JobRecord) -> None:
        """Tell the worker that holds a job, if any, to stop; it is killed if it does not."""
        for slot in self.workers:
            assignment = slot.assignments.get(record.id)
            if assignment and slot.process and assignment.kill_at is None:
                on_cpu = slot.device == "cpu"
                grace_s = self._settings.cancel_grace_cpu_s if on_cpu else self._settings.cancel_grace_gpu_s
                assignment.kill_at = time.monotonic() + grace_s
                slot.process.send(worker.CancelJob(record.id))

    def tick(self, now: float) -> None:
        """Kill what has used up its time."""
        for slot in self.workers:
            if slot.process is None or slot.blamed:
                continue
            late = {
                job_id
                for job_id, held in slot.assignments.items()
                if now > (held.kill_at or held.last_word + self._settings.hang_s)
            }
            if late:
                for job_id in late:
                    log.warning("worker-%d is killed: no end or progress in time", slot.index, extra=of_job(job_id))
                slot.blamed = late
                slot.process.kill()
            elif now > (slot.end_by or (_FOREVER if slot.ready else slot.started + self._settings.hang_s)):
                slot.process.kill()

    def _gone(self, slot: WorkerSlot, process: WorkerProcess, how: WorkerExit) -> None:
        assert slot.process is process
        log.info("worker-%d has ended with %s", slot.index, how)
        held, blamed, was_ready = dict(slot.assignments), slot.blamed, slot.ready
        was_told = slot.end_by is not None
        self._note_gone(process)
        slot.process, slot.ready, slot.on_device = None, False, None
        slot.assignments.clear()
        if self._closing:
            return
        slot.losses += not was_told
        for job_id, assignment in held.items():
            record = self._store.table.get(job_id)
            if record.is_running_attempt(assignment.attempt):
                self._lost(record, how, hung=job_id in blamed, charged=not blamed or job_id in blamed)
            self.tidy(record)
        if not was_ready and not was_told:
            self._start_failed(how)
        self.fill()

    def _lost(self, record: JobRecord, how: WorkerExit, hung: bool, charged: bool) -> None:
        record.losses += charged
        reason = f"made no progress for {self._settings.hang_s:.0f} s" if hung else f"ended with {how}"
        log.warning("its worker %s", reason, extra=of_job(record.id))
        if record.losses > LOSSES_MAX:
            error = WorkerLost(f"the worker {reason}, at {record.losses} attempts; see the server's log")
            self._store.finish(record, "failed", Failure(error.code, error.message))
        else:
            self._store.queue(record)

    def _start_failed(self, how: WorkerExit) -> None:
        self._failed_starts += 1
        if self._failed_starts < _STARTS_MAX:
            return
        self._failed_starts = 0
        error = WorkerLost(f"worker processes cannot start: {how}; see the server's log")
        for record in self._store.table.in_state("queued"):
            self._store.finish(record, "failed", Failure(error.code, error.message))

    def free(self, then: Callable[[int], object]) -> None:
        """End idle workers, which gives back all of their devices' memory; `then(count)` once they have gone."""
        idle = [slot for slot in self.workers if slot.is_idle]
        ending = {slot.process for slot in idle if slot.process}
        for slot in idle:
            self._end(slot)
        if ending:
            self._freeing.append(Freeing(ending, lambda: then(len(idle))))
        else:
            then(0)

    def close(self) -> list[WorkerProcess]:
        """Tell every worker to end and give no more work; jobs stay as they are, to be resumed."""
        self._closing = True
        for slot in self.workers:
            if slot.process:
                self._end(slot)
        return [slot.process for slot in self.workers if slot.process]

    def _end(self, slot: WorkerSlot) -> None:
        assert slot.process is not None
        on_cpu = slot.device == "cpu"
        slot.end_by = time.monotonic() + (
            self._settings.cancel_grace_cpu_s if on_cpu else self._settings.cancel_grace_gpu_s
        )
        slot.process.end()

    def _note_gone(self, process: WorkerProcess) -> None:
        for waiting in list(self._freeing):
            waiting.processes.discard(process)
            if not waiting.processes:
                self._freeing.remove(waiting)
                waiting.then()
