"""Jobs and their states, and the table of all jobs. No I/O; only the control thread uses them."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from void_bridge.errors import ProtocolError, Refused, UnknownJob
from void_bridge.frames import FrameRange
from void_bridge.job import Job
from void_bridge.options import PRIORITY, PRIORITY_MAX, TransportName
from void_bridge.protocol.messages import (
    FINAL_STATES,
    Failure,
    InputFile,
    JobState,
    JobStatus,
    Progress,
    ResultFrame,
    Submit,
)
from void_bridge.sequence import Sequence

_ACTIVE_MAX, _WEIGHT_MAX = 10_000, 1_000_000
LOSSES_MAX = 2  # a job whose worker was lost more often has failed
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TRANSITIONS: dict[JobState, tuple[JobState, ...]] = {
    "receiving": ("queued", "failed", "cancelled"),
    "queued": ("running", "failed", "cancelled"),
    "running": ("queued", "done", "failed", "cancelled"),
    "done": (),
    "failed": (),
    "cancelled": (),
}


@dataclass
class JobRecord:
    """A job, as the server knows it.

    Attributes:
        id: its id.
        job: as it was submitted.
        inputs: the files that it reads; empty once it has ended.
        transport: of the inputs.
        user: its submitter.
        priority: 0 to 100; the highest is next.
        created: seconds since the epoch.
        state: of its life.
        files: path as the job names it -> where it lies here, for `path` transport.
        attempt: number of the latest attempt.
        losses: attempts whose worker was lost.
        seconds: running time of earlier attempts.
        started: monotonic time when the running attempt began.
        fetched: whether its result has been fetched.
        progress: of the running attempt.
        error: with which it failed.
        report: of its worker, once it is done.
        resolved: the job with everything filled in that was left open.
        frames: the frames published, by number.
        missing: digests of blobs still to be put.
        client: the connection of its submitter.
        touched: monotonic time when a blob of it last came.
        inputs_digest: of the inputs, once the job has ended and they are forgotten.
    """

    id: str
    job: Job
    inputs: tuple[InputFile, ...]
    transport: TransportName
    user: str = ""
    priority: int = PRIORITY
    created: float = 0.0
    state: JobState = "queued"
    files: dict[str, str] = field(default_factory=dict)
    attempt: int = 0
    losses: int = 0
    seconds: float = 0.0
    started: float | None = None
    fetched: bool = False
    progress: Progress = field(default_factory=Progress)
    error: Failure | None = None
    report: dict[str, object] = field(default_factory=dict)
    resolved: Job | None = None
    frames: dict[int, ResultFrame] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    client: bytes = b""
    touched: float = field(default_factory=time.monotonic)
    inputs_digest: str = ""

    @classmethod
    def from_submit(cls, submit: Submit, client: bytes, created: float) -> JobRecord:
        """Return the job that a client submits.

        Raises:
            ProtocolError: an id, digest, size or priority that cannot be.
        """
        if not _ID.fullmatch(submit.id):
            raise ProtocolError(f"got job id {submit.id[:80]!r}, expected up to 64 letters, digits, - and _")
        if not 0 <= submit.priority <= PRIORITY_MAX:
            raise ProtocolError(f"got priority {submit.priority}, expected 0 to {PRIORITY_MAX}")
        for item in submit.inputs:
            if item.size < 0 or (submit.transport == "inline" and not _DIGEST.fullmatch(item.digest)):
                raise ProtocolError(f"got digest {item.digest[:80]!r} and size {item.size} for {item.path}")
        if len({item.path for item in submit.inputs}) < len(submit.inputs):
            raise ProtocolError(f"job {submit.id} names an input twice; name each once")
        record = cls(
            submit.id,
            submit.job,
            submit.inputs,
            submit.transport,
            submit.user[:80],
            submit.priority,
            created,
            "receiving" if submit.transport == "inline" else "queued",
            client=client,
        )
        if not record.delivered:
            raise ProtocolError(f"job {submit.id} would deliver no frame; got only={submit.job.only}")
        return record

    @cached_property
    def delivered(self) -> FrameRange:
        """The numbers of the frames that the job will publish: handles as far as they came with it."""
        job, frames = self.job, self.job.frames
        if job.deliver_handles and job.handles:
            sent = Sequence.parse(job.plate).frames_among({item.path for item in self.inputs})
            frames = frames.with_handles(job.handles, sent)
        return FrameRange(frame for frame in frames if job.wants(frame))

    @property
    def weight(self) -> int:
        """The number of files and frames that the job keeps in memory until it ends."""
        return len(self.inputs) + len(self.delivered)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL_STATES

    @property
    def blob_sizes(self) -> dict[str, int]:
        """The blobs that the job reads from the spool: digest -> size in bytes."""
        return {item.digest: item.size for item in self.inputs} if self.transport == "inline" else {}

    @property
    def path_inputs(self) -> tuple[InputFile, ...]:
        """The inputs that the job reads in place."""
        return self.inputs if self.transport == "path" else ()

    def is_same(self, submit: Submit) -> bool:
        """Return whether a submission asks for this job again."""
        if self.job != submit.job or self.transport != submit.transport:
            return self.job == submit.job
        if self.inputs_digest:
            return self.inputs_digest == _digest_of(submit.inputs)
        return self.inputs == submit.inputs

    def receive_blob(self, digest: str) -> None:
        """Record that a blob is stored."""
        if digest in self.missing:
            self.missing.remove(digest)
            self.touched = time.monotonic()

    def forget_inputs(self) -> None:
        """Keep only a digest of the inputs, once the job has ended: a long shot has hundreds of files."""
        if not self.inputs_digest:
            self.delivered  # noqa: B018  it is derived from the inputs, once
            self.inputs_digest = _digest_of(self.inputs)
            self.inputs, self.files = (), {}

    def move(self, state: JobState) -> None:
        """Move to another state. A running job counts its attempt and its time."""
        assert state in _TRANSITIONS[self.state], f"job {self.id}: {self.state} -> {state}"
        if state == "running":
            self.attempt += 1
            self.started = time.monotonic()
        elif self.started is not None:
            self.seconds, self.started = self.seconds_now, None
        self.state = state

    def end_done(self, report: dict[str, object], seconds: float) -> None:
        """End a running job as done, with what its worker reported and its running time over all attempts."""
        self.report, self.seconds, self.started = report, seconds, None
        self.move("done")

    def is_running_attempt(self, attempt: int) -> bool:
        """Return whether this attempt is the latest one, and runs."""
        return self.state == "running" and self.attempt == attempt

    @property
    def seconds_now(self) -> float:
        """The running time so far, over all attempts."""
        return self.seconds + (time.monotonic() - self.started if self.started is not None else 0.0)

    @property
    def engine(self) -> str:
        """The engine that was chosen, once that is known; else the one asked for."""
        return (self.resolved or self.job).engine

    def outcome(self) -> dict[str, Any]:
        """Return the values that the journal keeps with the state."""
        return {
            "attempt": self.attempt,
            "losses": self.losses,
            "seconds": self.seconds_now,
            "error": self.error,
            "report": self.report,
        }

    def status(self) -> JobStatus:
        """Return the status that clients see."""
        return JobStatus(
            id=self.id,
            state=self.state,
            engine=self.engine,
            frames=len(self.delivered),
            frames_done=len(self.frames),
            user=self.user,
            priority=self.priority,
            attempt=self.attempt,
            created=self.created,
            seconds=self.seconds_now,
            progress=self.progress,
            error=self.error,
        )


class JobTable:
    """The jobs by id, in the order in which they came."""

    def __init__(self, records: Iterable[JobRecord] = ()) -> None:
        self._records = {record.id: record for record in records}

    def __iter__(self) -> Iterator[JobRecord]:
        return iter(tuple(self._records.values()))

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._records

    def add(self, record: JobRecord) -> None:
        """Add a job, whose id must be new."""
        assert record.id not in self._records
        self._records[record.id] = record

    def remove(self, job_id: str) -> None:
        """Remove a job."""
        del self._records[job_id]

    def get(self, job_id: str) -> JobRecord:
        """Return a job.

        Raises:
            UnknownJob: there is none with this id.
        """
        if job_id not in self._records:
            raise UnknownJob(f"this server knows no job {job_id[:80]!r}; void-bridge jobs lists its jobs")
        return self._records[job_id]

    def in_state(self, *states: JobState) -> list[JobRecord]:
        """Return the jobs in one of these states."""
        return [record for record in self._records.values() if record.state in states]

    def active(self) -> list[JobRecord]:
        """Return the jobs that have not ended."""
        return self.in_state("receiving", "queued", "running")


def _digest_of(inputs: tuple[InputFile, ...]) -> str:
    return hashlib.blake2b(repr(inputs).encode(), digest_size=16).hexdigest()


def check_output_free(output: str, others: Iterable[JobRecord]) -> None:
    """Raise if another job writes to the same files.

    Args:
        output: pattern of the files.
        others: jobs that have not ended.

    Raises:
        Refused: one of them has this output.
    """
    for other in others:
        if _normalized(other.job.output) == _normalized(output):
            raise Refused(
                f"job {other.id} is {other.state} and also writes to {output}; "
                f"choose another output, wait for it, or cancel it: void-bridge cancel {other.id}"
            )


def check_room_in_queue(record: JobRecord, active: list[JobRecord]) -> None:
    """Raise if the jobs that have not ended would take too much memory.

    Args:
        record: another job.
        active: jobs that have not ended.

    Raises:
        Refused: they would.
    """
    weight = record.weight + sum(other.weight for other in active)
    if len(active) >= _ACTIVE_MAX or weight > _WEIGHT_MAX:
        raise Refused(
            f"{len(active)} jobs are waiting, with this one of {weight} frames and files together; "
            f"expected at most {_ACTIVE_MAX} and {_WEIGHT_MAX}: submit again when some have ended"
        )


def _normalized(output: str) -> str:
    return output.replace("\\", "/").rstrip("/")
