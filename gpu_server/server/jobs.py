"""The table of jobs and what may become of them. No I/O; only the control thread touches it."""

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
from void_bridge.protocol.messages import (
    FINAL_STATES,
    Failure,
    InputFile,
    JobState,
    JobStatus,
    Progress,
    ResultFrame,
    Submit,
    TransportName,
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
    """All that is known of a job.

    files: path as the job names it -> where it lies here, for `path` transport. attempt: number of
    the latest one. losses: attempts whose worker was lost. seconds: of earlier attempts; started: of
    the running one, monotonic. missing: digests still to be put. client: who is uploading; touched: when a blob
    of it last came, monotonic. inputs_digest: of the inputs, once the job has ended and they are forgotten.
    """

    id: str
    job: Job
    inputs: tuple[InputFile, ...]
    transport: TransportName
    user: str = ""
    priority: int = 50
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
        """Raises ProtocolError: an id, digest, size or priority that cannot be."""
        if not _ID.fullmatch(submit.id):
            raise ProtocolError(f"got job id {submit.id[:80]!r}, expected up to 64 letters, digits, - and _")
        if not 0 <= submit.priority <= 100:
            raise ProtocolError(f"got priority {submit.priority}, expected 0 to 100")
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
            client=client,
        )
        if not record.delivered:
            raise ProtocolError(f"job {submit.id} would deliver no frame; got only {submit.job.only}")
        return record

    @cached_property
    def delivered(self) -> FrameRange:
        """Numbers of the frames that the job will publish: handles as far as they came with it."""
        job, frames = self.job, self.job.frames
        if job.deliver_handles and job.handles:
            sent = Sequence.parse(job.plate).among({item.path for item in self.inputs})
            frames = frames.with_handles(job.handles, sent)
        return FrameRange(frame for frame in frames if job.makes(frame))

    @property
    def weight(self) -> int:
        """What the job keeps in memory until it ends: files and frames."""
        return len(self.inputs) + len(self.delivered)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def blob_sizes(self) -> dict[str, int]:
        """Digest -> size of what the job reads from the spool."""
        return {item.digest: item.size for item in self.inputs} if self.transport == "inline" else {}

    @property
    def files_in_place(self) -> tuple[InputFile, ...]:
        """The inputs that the job reads where they lie."""
        return self.inputs if self.transport == "path" else ()

    def is_same(self, submit: Submit) -> bool:
        if self.job != submit.job or self.transport != submit.transport:
            return self.job == submit.job
        if self.inputs_digest:
            return self.inputs_digest == _digest_of(submit.inputs)
        return self.inputs == submit.inputs

    def forget_inputs(self) -> None:
        """Of a job that has ended, keep only a digest of what it read: a long shot has hundreds of files."""
        if not self.inputs_digest:
            self.delivered  # noqa: B018  is worked out from the inputs, once
            self.inputs_digest = _digest_of(self.inputs)
            self.inputs, self.files = (), {}

    def move(self, state: JobState) -> None:
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
        return self.state == "running" and self.attempt == attempt

    @property
    def seconds_now(self) -> float:
        return self.seconds + (time.monotonic() - self.started if self.started is not None else 0.0)

    @property
    def engine(self) -> str:
        """As chosen, once that is known; else as asked."""
        return (self.resolved or self.job).engine

    def outcome(self) -> dict[str, Any]:
        """What the journal keeps beside the state."""
        return {
            "attempt": self.attempt,
            "losses": self.losses,
            "seconds": self.seconds_now,
            "error": self.error,
            "report": self.report,
        }

    def status(self) -> JobStatus:
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
    """Jobs by id, in the order in which they came."""

    def __init__(self, records: Iterable[JobRecord] = ()) -> None:
        self._records = {record.id: record for record in records}

    def __iter__(self) -> Iterator[JobRecord]:
        return iter(tuple(self._records.values()))

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._records

    def add(self, record: JobRecord) -> None:
        assert record.id not in self._records
        self._records[record.id] = record

    def remove(self, job_id: str) -> None:
        del self._records[job_id]

    def get(self, job_id: str) -> JobRecord:
        """Raises UnknownJob."""
        if job_id not in self._records:
            raise UnknownJob(f"this server knows no job {job_id[:80]!r}; void-bridge jobs lists those it has")
        return self._records[job_id]

    def in_state(self, *states: JobState) -> list[JobRecord]:
        return [record for record in self._records.values() if record.state in states]

    def active(self) -> list[JobRecord]:
        return self.in_state("receiving", "queued", "running")


def _digest_of(inputs: tuple[InputFile, ...]) -> str:
    return hashlib.blake2b(repr(inputs).encode(), digest_size=16).hexdigest()


def check_output_free(output: str, others: Iterable[JobRecord]) -> None:
    """Raises Refused: another job that has not ended writes to the same place."""
    for other in others:
        if _place(other.job.output) == _place(output):
            raise Refused(
                f"job {other.id} is {other.state} and writes to {output} too; "
                f"choose another output, or wait for it or cancel it: void-bridge cancel {other.id}"
            )


def check_room_in_queue(record: JobRecord, active: list[JobRecord]) -> None:
    """Raises Refused: the jobs that have not ended would take too much memory."""
    weight = record.weight + sum(other.weight for other in active)
    if len(active) >= _ACTIVE_MAX or weight > _WEIGHT_MAX:
        raise Refused(
            f"{len(active)} jobs wait here, with this one of {weight} frames and files together; "
            f"expected at most {_ACTIVE_MAX} and {_WEIGHT_MAX}: submit again when some have ended"
        )


def _place(output: str) -> str:
    return output.replace("\\", "/").rstrip("/")
