"""Every message of the protocol, as frozen dataclasses without I/O. docs/protocol.md explains them.

A request carries a number that its answer repeats (framing.Envelope). Evolving: a new field has a
default; a field never changes meaning; a new message is a new class; anything else is a new
`PROTOCOL_VERSION`, whose first number both sides must share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Dict, Literal, Optional, Tuple, Type

from void_bridge.job import Job

PROTOCOL_VERSION = "1.1"

JobState = Literal["receiving", "queued", "running", "done", "failed", "cancelled"]
FINAL_STATES: Tuple[JobState, ...] = ("done", "failed", "cancelled")
TransportName = Literal["inline", "path"]
WorkerState = Literal["stopped", "starting", "idle", "running", "ending"]


class Message:
    """Base of all messages; `type` is its name on the wire."""

    type: ClassVar[str]


# --- values inside messages -------------------------------------------------------------------


@dataclass(frozen=True)
class InputFile:
    """One file that a job reads.

    path: as the submitter sees it. digest: blake2b-256 of its bytes in hex, empty for `path`
    transport. size in bytes; mtime_ns guards a `path` input against changes while the job runs.
    """

    path: str
    size: int
    digest: str = ""
    mtime_ns: int = 0


@dataclass(frozen=True)
class Failure:
    code: str
    message: str


@dataclass(frozen=True)
class Progress:
    """stage: decode, flow, fill, encode, ...; done of total steps in it; seconds_left: estimate for the job."""

    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: Optional[float] = None


@dataclass(frozen=True)
class JobStatus:
    """A job as its server sees it.

    frames: how many will be delivered; frames_done: published so far. created: seconds since the epoch.
    attempt: number of the latest one. seconds: that it has been running for, over all attempts.
    """

    id: str
    state: JobState
    engine: str
    frames: int
    frames_done: int
    user: str = ""
    priority: int = 50
    attempt: int = 0
    created: float = 0.0
    seconds: float = 0.0
    progress: Progress = field(default_factory=Progress)
    error: Optional[Failure] = None


@dataclass(frozen=True)
class ResultFrame:
    """A published frame. path: where it lies on the server's disk."""

    frame: int
    digest: str
    size: int
    path: str = ""


@dataclass(frozen=True)
class WorkerStatus:
    """A place for a worker process.

    engine: of the job at hand or the last one, whose model the process may still hold. jobs: that it holds, the one on
    its device first. silent_s: seconds since its last word; None: no process. resident_bytes: of the process alone.
    losses: processes here that ended unasked or had to be killed.
    """

    index: int
    state: WorkerState
    pid: int = 0
    device: str = ""
    engine: str = ""
    jobs: Tuple[str, ...] = ()
    silent_s: Optional[float] = None
    resident_bytes: int = 0
    losses: int = 0


@dataclass(frozen=True)
class SpoolStatus:
    """used_bytes: inputs and results, as the limit counts them. limit_bytes: 0 is none.

    free_bytes: on the spool's disk, as seen a few seconds ago; None: the disk has not answered lately.
    """

    used_bytes: int
    limit_bytes: int = 0
    free_bytes: Optional[int] = None


# --- both sockets -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello(Message):
    """First message on either socket. host: identifies the client's machine and user."""

    type: ClassVar[str] = "hello"
    protocol: str
    client: str
    host: str = ""


@dataclass(frozen=True)
class Welcome(Message):
    """data_address: URL of the data socket; host `*` there means the host of the control socket's URL.
    roots: folders that `path` transport may read.

    window: how many parts may be on their way in one direction. part_bytes: their size.
    """

    type: ClassVar[str] = "welcome"
    protocol: str
    server: str
    installation: str
    host: str
    data_address: str
    window: int
    part_bytes: int
    roots: Tuple[str, ...] = ()
    engines: Tuple[str, ...] = ()


@dataclass(frozen=True)
class ErrorReply(Message):
    """The request was not carried out. code: of void_bridge.errors."""

    type: ClassVar[str] = "error"
    code: str
    message: str


@dataclass(frozen=True)
class Ping(Message):
    type: ClassVar[str] = "ping"


@dataclass(frozen=True)
class Pong(Message):
    type: ClassVar[str] = "pong"


# --- control socket ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Submit(Message):
    """Ask for a job. The same id with the same job again is the same job; with another job it is refused."""

    type: ClassVar[str] = "submit"
    id: str
    job: Job
    inputs: Tuple[InputFile, ...]
    transport: TransportName
    user: str = ""
    priority: int = 50


@dataclass(frozen=True)
class Submitted(Message):
    """missing: digests that the server does not hold yet; the job is queued once all have been put."""

    type: ClassVar[str] = "submitted"
    status: JobStatus
    missing: Tuple[str, ...] = ()


@dataclass(frozen=True)
class GetStatus(Message):
    type: ClassVar[str] = "get_status"
    id: str


@dataclass(frozen=True)
class Watch(Message):
    """Ask for `status` events of a job, at most five a second, until it ends or the client stops pinging."""

    type: ClassVar[str] = "watch"
    id: str
    previews: bool = False


@dataclass(frozen=True)
class StatusReply(Message):
    """Answers get_status, watch, cancel and fetched; comes unasked, with number 0, to those who watch."""

    type: ClassVar[str] = "status"
    status: JobStatus


@dataclass(frozen=True)
class Preview(Message):
    """Comes unasked to those who watch with previews. The buffer is a PNG of one frame in the making."""

    type: ClassVar[str] = "preview"
    id: str
    frame: int


@dataclass(frozen=True)
class ListJobs(Message):
    type: ClassVar[str] = "list_jobs"
    limit: int = 100


@dataclass(frozen=True)
class JobList(Message):
    type: ClassVar[str] = "job_list"
    jobs: Tuple[JobStatus, ...]


@dataclass(frozen=True)
class Cancel(Message):
    type: ClassVar[str] = "cancel"
    id: str


@dataclass(frozen=True)
class Free(Message):
    """Ask idle workers to give their device memory back now."""

    type: ClassVar[str] = "free"


@dataclass(frozen=True)
class Freed(Message):
    type: ClassVar[str] = "freed"
    workers: int


@dataclass(frozen=True)
class GetServerStatus(Message):
    """Ask how the server is. Answered from memory. Since protocol 1.1."""

    type: ClassVar[str] = "get_server_status"


@dataclass(frozen=True)
class ServerStatus(Message):
    """started: seconds since the epoch; seconds: that it has been running for. resident_bytes: of the server's process.

    jobs: how many it knows in each state. oldest_queued_s: how long ago the oldest queued job came; None: none is
    queued. clients: heard of lately, on the control socket.
    """

    type: ClassVar[str] = "server_status"
    started: float
    seconds: float
    pid: int
    resident_bytes: int
    spool: SpoolStatus
    jobs: Dict[str, int]
    workers: Tuple[WorkerStatus, ...] = ()
    oldest_queued_s: Optional[float] = None
    clients: int = 0


@dataclass(frozen=True)
class GetResult(Message):
    """Ask what a job has published so far."""

    type: ClassVar[str] = "get_result"
    id: str


@dataclass(frozen=True)
class Result(Message):
    """report: what the job says it did, plain values by name; empty until it is done."""

    type: ClassVar[str] = "result"
    status: JobStatus
    job: Job
    frames: Tuple[ResultFrame, ...]
    report: Dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Fetched(Message):
    """The client holds every frame of a finished job: the server may drop its files when it needs room.

    Answered by `status`.
    """

    type: ClassVar[str] = "fetched"
    id: str


# --- data socket ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Put(Message):
    """One part of a blob, in order, with one buffer. Only blobs that a submitted job lacks are taken."""

    type: ClassVar[str] = "put"
    digest: str
    size: int
    offset: int


@dataclass(frozen=True)
class PutDone(Message):
    """A part was taken, which gives its credit back. stored: the blob is whole, checked and durable."""

    type: ClassVar[str] = "put_done"
    digest: str
    received: int
    stored: bool


@dataclass(frozen=True)
class Get(Message):
    """Ask for one part of a published frame; each request outstanding is one credit."""

    type: ClassVar[str] = "get"
    id: str
    frame: int
    offset: int


@dataclass(frozen=True)
class Part(Message):
    """One part of a published frame, with one buffer."""

    type: ClassVar[str] = "part"
    frame: int
    offset: int
    size: int


MESSAGES: Dict[str, Type[Message]] = {cls.type: cls for cls in Message.__subclasses__()}
