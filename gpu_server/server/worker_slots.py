"""The slots for worker processes, as the dispatcher sees them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from gpu_server.server.worker_process import WorkerProcess
from void_bridge.protocol.messages import WorkerState

_JOBS_PER_WORKER = 2
_FOREVER = float("inf")


@dataclass
class Assignment:
    """A job that a worker holds. Times are monotonic.

    Attributes:
        attempt: number of the attempt.
        last_message: when the worker last said something about it.
        kill_at: when the worker is killed, once it was told to cancel the job.
    """

    attempt: int
    last_message: float
    kill_at: float | None = None


@dataclass
class WorkerSlot:
    """A slot for one worker process at a time. Times are monotonic.

    Attributes:
        index: number of the slot.
        process: the process that is there now.
        ready: whether it takes jobs.
        device: of the latest process, for example `cpu` or `cuda:0`.
        started: when the process was started.
        on_device: id of the job that uses the device.
        assignments: the jobs that the process holds, by id.
        end_by: when the process is killed, once it was told to end.
        hung: the jobs for which the process was killed.
        engine: of the latest job of this process.
        last_message: when the process last said anything.
        losses: processes that ended here unasked or had to be killed.
    """

    index: int
    process: WorkerProcess | None = None
    ready: bool = False
    device: str = "cpu"
    started: float = 0.0
    on_device: str | None = None
    assignments: dict[str, Assignment] = field(default_factory=dict)
    end_by: float | None = None
    hung: set[str] = field(default_factory=set)
    engine: str = ""
    last_message: float = 0.0
    losses: int = 0

    @property
    def state(self) -> WorkerState:
        """The state as clients see it."""
        if self.process is None:
            return "stopped"
        if self.end_by is not None or self.hung:
            return "ending"
        if not self.ready:
            return "starting"
        return "running" if self.assignments else "idle"

    @property
    def takes_jobs(self) -> bool:
        """Whether another job may be given to the process now."""
        is_free = self.on_device is None and len(self.assignments) < _JOBS_PER_WORKER
        return self.ready and is_free and self.end_by is None

    @property
    def is_idle(self) -> bool:
        """Whether there is a process without a job."""
        return self.process is not None and not self.assignments and self.end_by is None

    def start(self, process: WorkerProcess, now: float) -> None:
        """Take a new process."""
        self.process, self.ready, self.end_by, self.hung, self.engine = process, False, None, set(), ""
        self.started = self.last_message = now

    def clear(self) -> None:
        """Note that the process has gone."""
        self.process, self.ready, self.on_device = None, False, None
        self.assignments.clear()

    def assign(self, job_id: str, attempt: int, now: float) -> Assignment:
        """Give an attempt at a job to the process, whose device is busy from now on."""
        self.on_device = job_id
        assignment = self.assignments[job_id] = Assignment(attempt, now)
        return assignment

    def record_progress(self, job_id: str, engine: str, now: float) -> None:
        """Record that an assigned job makes progress with an engine."""
        self.assignments[job_id].last_message = now
        if self.on_device == job_id:
            self.engine = engine

    def free_device(self, job_id: str) -> None:
        """Free the device if a job uses it."""
        if self.on_device == job_id:
            self.on_device = None

    def release(self, job_id: str) -> None:
        """Take a job from the process."""
        self.assignments.pop(job_id, None)
        self.free_device(job_id)

    def mark_hung(self, now: float, patience_s: float) -> None:
        """Record the jobs without progress for `patience_s`, and those that were to be cancelled by now."""
        self.hung = {
            job_id
            for job_id, held in self.assignments.items()
            if now > (held.kill_at or held.last_message + patience_s)
        }

    def is_late(self, now: float, patience_s: float) -> bool:
        """Return whether the process should have ended by now, or did not start within `patience_s`."""
        return now > (self.end_by or (_FOREVER if self.ready else self.started + patience_s))
