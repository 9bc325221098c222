"""The dispatcher: which worker does which job, what workers say about it, and when they are ended.

On the control thread. A worker may hold two jobs: one on its device, and one whose frames are still being encoded.
Every job that a worker holds is an `Assignment` with the number of its attempt; messages about any other attempt are
ignored.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gpu_server.logs import of_job
from gpu_server.server.inputs import check_config, check_unchanged
from gpu_server.server.job_store import JobStore
from gpu_server.server.jobs import LOSSES_MAX, JobRecord
from gpu_server.server.mailbox import Background, Mailbox
from gpu_server.server.scheduler import next_job
from gpu_server.server.settings import ServerSettings
from gpu_server.server.spool import Spool
from gpu_server.server.worker_process import WorkerExit, WorkerProcess
from gpu_server.server.worker_slots import WorkerSlot
from gpu_server.worker import messages as worker
from void_bridge.errors import DeviceLost, InternalError, VoidBridgeError, WorkerLost
from void_bridge.protocol.messages import Progress, ResultFrame

log = logging.getLogger(__name__)

_WORKER_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # frames run in parallel already
    # glibc's mallopt(3): planes of every frame are taken from memory that is there, not mapped and zeroed anew.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(4 * 2**30),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
_STARTS_MAX = 3  # workers that end before they are ready, in a row, before the queue is given up


class Dispatcher:
    """The jobs on their way to workers and back.

    Args:
        on_preview: called with job id, frame number and PNG of a frame in the making.
    """

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
        self.slots = [WorkerSlot(index) for index in range(settings.workers)]
        self._last_served: dict[str, float] = {}
        self._failed_starts = 0
        self._is_closing = False
        self._frees: list[tuple[set[WorkerProcess], Callable[[], object]]] = []  # to be called once those have gone

    # --- giving work -----------------------------------------------------------------------------

    def start_all(self) -> None:
        """Start every worker now, rather than with the first job."""
        for slot in self.slots:
            if slot.process is None:
                self._start(slot)

    def ensure_worker(self) -> None:
        """Start a worker if none runs."""
        if not self._is_closing and all(slot.process is None for slot in self.slots):
            self._start(self.slots[0])

    def fill(self) -> None:
        """Give queued jobs to workers that take one; start workers for the rest."""
        if self._is_closing:
            return
        queued = self._store.table.in_state("queued")
        for slot in self.slots:
            if queued and slot.takes_jobs:
                self._assign(slot, self._next_of(queued))
                queued = self._store.table.in_state("queued")
        starting = sum(slot.process is not None and not slot.ready for slot in self.slots)
        stopped = [slot for slot in self.slots if slot.process is None]
        for slot in stopped[: max(0, len(queued) - starting)]:
            self._start(slot)

    def _next_of(self, queued: list[JobRecord]) -> JobRecord:
        running = Counter(record.user for record in self._store.table.in_state("running"))
        chosen = next_job(queued, running, self._last_served)
        assert chosen is not None
        return self._store.table.get(chosen)

    def _start(self, slot: WorkerSlot) -> None:
        def on_message(message: worker.WorkerMessage) -> None:
            self._mailbox.post(lambda: self._on_message(slot, process, message))  # `process` may be unset until then

        def on_exit(how: WorkerExit) -> None:
            self._mailbox.post(lambda: self._on_exit(slot, process, how))

        environment = {
            **_WORKER_ENVIRONMENT,
            **os.environ,
            "VOID_BRIDGE_THREADS": str(self._settings.threads),
            "VOID_BRIDGE_WORKER": str(slot.index),
        }
        command = self._settings.worker_command
        process = WorkerProcess(f"worker-{slot.index}", command, environment, on_message, on_exit)
        slot.start(process, time.monotonic())

    def _assign(self, slot: WorkerSlot, record: JobRecord) -> None:
        self._last_served[record.user] = time.monotonic()
        assignment = slot.assign(record.id, record.attempt + 1, time.monotonic())

        def prepared(error: VoidBridgeError | None) -> None:
            if slot.assignments.get(record.id) is assignment:
                self._launch(slot, record, assignment.attempt, error)

        def journaled() -> None:
            self._background.do(partial(self._prepare, record, assignment.attempt), prepared, record.id)

        self._store.begin(record, journaled)

    def _prepare(self, record: JobRecord, attempt: int) -> None:
        """Check the inputs and create the job's folders. On a thread of the pool."""
        check_config(record.job.colour, self._settings.allowed_roots)
        check_unchanged(record.path_inputs, record.files)
        self._spool.prepare_attempt(record.id, attempt)

    def _launch(self, slot: WorkerSlot, record: JobRecord, attempt: int, error: VoidBridgeError | None) -> None:
        if error and record.is_running_attempt(attempt):
            self._store.fail(record, error)
        if not record.is_running_attempt(attempt):
            self._release(slot, record)
            return
        assert slot.process is not None
        log.info("attempt %d starts on worker-%d", attempt, slot.index, extra=of_job(record.id))
        slot.record_progress(record.id, record.engine, time.monotonic())
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

    def _on_message(self, slot: WorkerSlot, process: WorkerProcess, message: worker.WorkerMessage) -> None:
        if slot.process is not process:
            return
        slot.last_message = time.monotonic()
        if isinstance(message, worker.Ready):
            log.info("worker-%d is ready on %s", slot.index, message.device)
            slot.ready, slot.device, self._failed_starts = True, message.device, 0
            self.fill()
            return
        job_id, attempt = getattr(message, "id", ""), getattr(message, "attempt", 0)
        assignment = slot.assignments.get(job_id)
        if assignment is None or assignment.attempt != attempt:
            log.debug("ignoring a late %s of attempt %s", message.type, attempt, extra=of_job(job_id))
            return
        record = self._store.table.get(job_id)
        if record.is_running_attempt(attempt):
            self._update(record, message)
        slot.record_progress(job_id, record.engine, time.monotonic())
        if isinstance(message, worker.DeviceFree):
            slot.free_device(job_id)
            self.fill()
        elif isinstance(message, worker.Ended) and not self._is_closing:
            self._on_ended(slot, record, message)

    def _update(self, record: JobRecord, message: worker.WorkerMessage) -> None:
        """Store what a worker reports about its running attempt."""
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
        def fail(error: VoidBridgeError) -> None:
            if record.is_running_attempt(written.attempt):
                self.cancel(record)
                self._store.fail(record, error)

        if Path(written.path).parent != self._spool.frames_dir(record.id, written.attempt):
            fail(InternalError(f"the worker wrote frame {written.frame} as {written.path}, outside its folder"))
            return
        frame = ResultFrame(written.frame, written.digest, written.size, written.path)
        self._store.publish(record, written.attempt, frame, fail)

    def _on_ended(self, slot: WorkerSlot, record: JobRecord, ended: worker.Ended) -> None:
        if record.is_running_attempt(ended.attempt):
            if ended.state == "done":
                self._background.do(
                    lambda: check_unchanged(record.path_inputs, record.files),
                    lambda error: self._store.barrier(lambda: self._end_done(record, ended, error)),
                    record.id,
                )
            else:
                self._store.end(record, ended.state, ended.failure if ended.state == "failed" else None)
        if ended.failure and ended.failure.code == DeviceLost.code:
            self._end(slot)
        self._release(slot, record)

    def _end_done(self, record: JobRecord, ended: worker.Ended, error: VoidBridgeError | None) -> None:
        """End a job as done, once every frame of the attempt is in the table."""
        if not record.is_running_attempt(ended.attempt):
            return
        lacking = [frame for frame in record.delivered if frame not in record.frames]
        if lacking and not error:
            error = InternalError(
                f"the worker ended job {record.id} without frames {lacking[:5]}; see the server's log"
            )
        if error:
            self._store.fail(record, error)
        else:
            self._store.end_done(record, ended.attempt, ended.report)

    def _release(self, slot: WorkerSlot, record: JobRecord) -> None:
        slot.release(record.id)
        self.clean_up(record)
        self.fill()

    def held_jobs(self) -> frozenset[str]:
        """Return the ids of the jobs that workers hold."""
        return frozenset(job_id for slot in self.slots for job_id in slot.assignments)

    def clean_up(self, record: JobRecord) -> None:
        """Delete the scratch files of an ended job, unless a worker still holds it."""
        if record.is_final and record.id not in self.held_jobs():
            record.forget_inputs()
            self._background.do(lambda: self._spool.remove_scratch(record.id), job_id=record.id)

    # --- when workers end ------------------------------------------------------------------------

    def cancel(self, record: JobRecord) -> None:
        """Cancel a job on its worker; kill the worker after the grace period."""
        for slot in self.slots:
            assignment = slot.assignments.get(record.id)
            if assignment and slot.process and assignment.kill_at is None:
                assignment.kill_at = time.monotonic() + self._grace_s(slot)
                slot.process.send(worker.CancelJob(record.id))

    def _grace_s(self, slot: WorkerSlot) -> float:
        on_cpu = slot.device == "cpu"
        return self._settings.cancel_grace_cpu_s if on_cpu else self._settings.cancel_grace_gpu_s

    def tick(self, now: float) -> None:
        """Kill the workers that have used up their time."""
        for slot in self.slots:
            if slot.process is None or slot.hung:
                continue
            slot.mark_hung(now, self._settings.hang_s)
            for job_id in slot.hung:
                log.warning("killing worker-%d: it made no progress in time", slot.index, extra=of_job(job_id))
            if slot.hung or slot.is_late(now, self._settings.hang_s):
                slot.process.kill()

    def _on_exit(self, slot: WorkerSlot, process: WorkerProcess, how: WorkerExit) -> None:
        assert slot.process is process
        log.info("worker-%d has ended with %s", slot.index, how)
        held, was_ready, was_ending = dict(slot.assignments), slot.ready, slot.end_by is not None
        self._answer_frees(process)
        slot.clear()
        if self._is_closing:
            return
        slot.losses += not was_ending
        for job_id, assignment in held.items():
            record = self._store.table.get(job_id)
            if record.is_running_attempt(assignment.attempt):
                self._on_lost(record, how, job_id in slot.hung, is_suspect=not slot.hung or job_id in slot.hung)
            self.clean_up(record)
        if not was_ready and not was_ending:
            self._on_failed_start(how)
        self.fill()

    def _on_lost(self, record: JobRecord, how: WorkerExit, is_hung: bool, is_suspect: bool) -> None:
        """Queue a job again whose worker was lost, or fail it if that happened too often.

        Args:
            record: the job.
            how: the worker ended.
            is_hung: whether it was killed for lack of progress with this job.
            is_suspect: whether the job may be why; only such a loss counts against it.
        """
        record.losses += is_suspect
        reason = f"made no progress for {self._settings.hang_s:.0f} s" if is_hung else f"ended with {how}"
        log.warning("its worker %s", reason, extra=of_job(record.id))
        if record.losses > LOSSES_MAX:
            error = WorkerLost(f"the worker {reason}, at {record.losses} attempts; see the server's log")
            self._store.fail(record, error)
        else:
            self._store.queue(record)

    def _on_failed_start(self, how: WorkerExit) -> None:
        self._failed_starts += 1
        if self._failed_starts < _STARTS_MAX:
            return
        self._failed_starts = 0
        error = WorkerLost(f"worker processes cannot start: {how}; see the server's log")
        for record in self._store.table.in_state("queued"):
            self._store.fail(record, error)

    def free(self, then: Callable[[int], object] = lambda _: None) -> None:
        """End idle workers, which frees their devices' memory, then call `then(count)`."""
        idle = [slot for slot in self.slots if slot.is_idle]
        ending = {slot.process for slot in idle if slot.process}
        for slot in idle:
            self._end(slot)
        if ending:
            self._frees.append((ending, lambda: then(len(idle))))
        else:
            then(0)

    def _answer_frees(self, gone: WorkerProcess) -> None:
        for processes, _ in self._frees:
            processes.discard(gone)
        freed = [then for processes, then in self._frees if not processes]
        self._frees = [(processes, then) for processes, then in self._frees if processes]
        for then in freed:
            then()

    def close(self) -> list[WorkerProcess]:
        """Tell every worker to end and give no more work; jobs stay as they are, to be resumed."""
        self._is_closing = True
        for slot in self.slots:
            if slot.process:
                self._end(slot)
        return [slot.process for slot in self.slots if slot.process]

    def _end(self, slot: WorkerSlot) -> None:
        assert slot.process is not None
        slot.end_by = time.monotonic() + self._grace_s(slot)
        slot.process.end()
