"""Every message of the protocol, as frozen dataclasses without I/O. docs/reference/protocol.md explains them.

A request carries a number that its answer repeats (framing.Envelope). To add a message, declare its dataclass here with
its tag on the wire, `class Hello(Message, type="hello")`; that registers it. A new field has a default; a field never
changes its meaning. Any other change needs a new `PROTOCOL_VERSION`, whose first number both sides must share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Dict, Literal, Optional, Tuple, Type, TypeVar

from void_bridge.errors import VoidBridgeError, error_from_code
from void_bridge.job import Job
from void_bridge.options import PRIORITY, TransportName

PROTOCOL_VERSION = "1.1"

JobState = Literal["receiving", "queued", "running", "done", "failed", "cancelled"]
FINAL_STATES: Tuple[JobState, ...] = ("done", "failed", "cancelled")
WorkerState = Literal["stopped", "starting", "idle", "running", "ending"]
MESSAGES: Dict[str, Type[Message]] = {}
F = TypeVar("F", bound="Failure")


class Message:
    """Base class of all messages, which registers each subclass in `MESSAGES`.

    Attributes:
        type: name of the message on the wire.
    """

    type: ClassVar[str]

    def __init_subclass__(cls, type: str) -> None:
        cls.type = type
        MESSAGES[type] = cls


# --- values inside messages -------------------------------------------------------------------


@dataclass(frozen=True)
class InputFile:
    """One file that a job reads.

    Attributes:
        path: the file, as the submitter sees it.
        size: its size in bytes.
        digest: blake2b-256 of its bytes in hex; empty for `path` transport.
        mtime_ns: time of its last change, which guards a `path` input against changes while the job runs.
    """

    path: str
    size: int
    digest: str = ""
    mtime_ns: int = 0


@dataclass(frozen=True)
class Failure:
    """An error of `void_bridge.errors` as it travels.

    Attributes:
        code: code of the error's class.
        message: its line of text.
    """

    code: str
    message: str

    @classmethod
    def from_error(cls: Type[F], error: VoidBridgeError) -> F:
        """Return the failure that stands for an error."""
        return cls(error.code, error.message)

    def to_error(self) -> VoidBridgeError:
        """Return the error that this failure stands for."""
        return error_from_code(self.code, self.message)


@dataclass(frozen=True)
class Progress:
    """The progress of a job within its current stage.

    Attributes:
        stage: decode, flow, fill, encode and so on.
        done: finished steps of the stage.
        total: steps of the stage.
        seconds_left: estimate for the whole job.
    """

    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: Optional[float] = None


@dataclass(frozen=True)
class JobStatus:
    """The state of a job.

    Attributes:
        frames: number of frames that will be delivered.
        frames_done: number of frames published so far.
        attempt: number of the latest attempt.
        created: time of submission in seconds since the epoch.
        seconds: running time in seconds over all attempts.
    """

    id: str
    state: JobState
    engine: str
    frames: int
    frames_done: int
    user: str = ""
    priority: int = PRIORITY
    attempt: int = 0
    created: float = 0.0
    seconds: float = 0.0
    progress: Progress = field(default_factory=Progress)
    error: Optional[Failure] = None


@dataclass(frozen=True)
class ResultFrame:
    """A published frame.

    Attributes:
        digest: blake2b-256 of its bytes in hex.
        size: its size in bytes.
        path: the file on the server's disk.
    """

    frame: int
    digest: str
    size: int
    path: str = ""


@dataclass(frozen=True)
class WorkerStatus:
    """The state of a slot for a worker process.

    Attributes:
        engine: engine of the current or last job, whose model the process may still hold.
        jobs: ids of the jobs that it holds, the one on its device first.
        silent_s: seconds since its last message; None without a process.
        resident_bytes: memory of the process alone.
        losses: number of processes in this slot that ended unasked or had to be killed.
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
    """The state of the spool.

    Attributes:
        used_bytes: inputs and results, as the limit counts them.
        limit_bytes: the limit; 0 means none.
        free_bytes: free space on the spool's disk a few seconds ago; None if the disk has not answered lately.
    """

    used_bytes: int
    limit_bytes: int = 0
    free_bytes: Optional[int] = None


# --- both sockets -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello(Message, type="hello"):
    """The first message on either socket.

    Attributes:
        protocol: version that the client speaks.
        client: name and version of the client.
        host: identity of the client's machine and user.
    """

    protocol: str
    client: str
    host: str = ""


@dataclass(frozen=True)
class Welcome(Message, type="welcome"):
    """The answer to `hello`.

    Attributes:
        installation: id of the server's installation.
        host: identity of the server's machine and user.
        data_address: URL of the data socket; the host `*` in it means the host of the control socket's URL.
        window: number of parts that may be in flight in one direction.
        part_bytes: size of a part.
        roots: folders that `path` transport may read.
    """

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
class ErrorReply(Failure, Message, type="error"):
    """The answer to a request that was not carried out."""


@dataclass(frozen=True)
class Ping(Message, type="ping"):
    """A request for `pong`."""


@dataclass(frozen=True)
class Pong(Message, type="pong"):
    """The answer to `ping`."""


# --- control socket ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Submit(Message, type="submit"):
    """A request to run a job.

    The same id with the same job again is the same job; with another job it is refused.
    """

    id: str
    job: Job
    inputs: Tuple[InputFile, ...]
    transport: TransportName
    user: str = ""
    priority: int = PRIORITY


@dataclass(frozen=True)
class Submitted(Message, type="submitted"):
    """The answer to `submit`.

    Attributes:
        missing: digests that the server does not hold yet; the job is queued once all have been put.
    """

    status: JobStatus
    missing: Tuple[str, ...] = ()


@dataclass(frozen=True)
class GetStatus(Message, type="get_status"):
    """A request for a job's status."""

    id: str


@dataclass(frozen=True)
class Watch(Message, type="watch"):
    """A request for `status` events of a job, at most five a second, until it ends or the client stops pinging."""

    id: str
    previews: bool = False


@dataclass(frozen=True)
class StatusReply(Message, type="status"):
    """The answer to get_status, watch, cancel and fetched, and an event with number 0 for watching clients."""

    status: JobStatus


@dataclass(frozen=True)
class Preview(Message, type="preview"):
    """An event for clients that watch with previews. Its buffer is a PNG of one unfinished frame."""

    id: str
    frame: int


@dataclass(frozen=True)
class ListJobs(Message, type="list_jobs"):
    """A request for the newest jobs."""

    limit: int = 100


@dataclass(frozen=True)
class JobList(Message, type="job_list"):
    """The answer to `list_jobs`."""

    jobs: Tuple[JobStatus, ...]


@dataclass(frozen=True)
class Cancel(Message, type="cancel"):
    """A request to cancel a job."""

    id: str


@dataclass(frozen=True)
class Free(Message, type="free"):
    """A request that idle workers release their device memory now."""


@dataclass(frozen=True)
class Freed(Message, type="freed"):
    """The answer to `free`.

    Attributes:
        workers: number of workers that release their memory.
    """

    workers: int


@dataclass(frozen=True)
class GetServerStatus(Message, type="get_server_status"):
    """A request for the server's own status, answered from memory. Since protocol 1.1."""


@dataclass(frozen=True)
class ServerStatus(Message, type="server_status"):
    """The answer to `get_server_status`.

    Attributes:
        started: start time in seconds since the epoch.
        seconds: running time in seconds.
        resident_bytes: memory of the server's process.
        jobs: number of known jobs in each state.
        oldest_queued_s: seconds since the oldest queued job was submitted; None if none is queued.
        clients: number of clients heard of lately on the control socket.
    """

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
class GetResult(Message, type="get_result"):
    """A request for the frames that a job has published so far."""

    id: str


@dataclass(frozen=True)
class Result(Message, type="result"):
    """The answer to `get_result`.

    Attributes:
        report: the job's report, plain values by name; empty until the job is done.
    """

    status: JobStatus
    job: Job
    frames: Tuple[ResultFrame, ...]
    report: Dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Fetched(Message, type="fetched"):
    """A note that the client holds every frame of a finished job, so that the server may drop its files.

    Answered by `status`.
    """

    id: str


# --- data socket ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Put(Message, type="put"):
    """One part of a blob, in order, with one buffer. Only blobs that a submitted job lacks are accepted."""

    digest: str
    size: int
    offset: int


@dataclass(frozen=True)
class PutDone(Message, type="put_done"):
    """The answer to `put`, which returns the part's credit.

    Attributes:
        received: bytes of the blob received so far.
        stored: whether the blob is whole, checked and durable.
    """

    digest: str
    received: int
    stored: bool


@dataclass(frozen=True)
class Get(Message, type="get"):
    """A request for one part of a published frame. Each outstanding request uses one credit."""

    id: str
    frame: int
    offset: int


@dataclass(frozen=True)
class Part(Message, type="part"):
    """One part of a published frame, with one buffer."""

    frame: int
    offset: int
    size: int
