"""The messages between a server and its worker processes, over the worker's stdin and stdout.

The worker ends when its stdin does. Each attempt at a job has a number; the server ignores messages of an attempt that
is no longer the job's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, ClassVar, Literal

import msgpack

from void_bridge.errors import ProtocolError
from void_bridge.job import Job
from void_bridge.protocol.messages import Failure
from void_bridge.typed import from_plain, to_plain

_LENGTH = struct.Struct("<I")
_MESSAGE_BYTES_MAX = 64 * 2**20


class WorkerMessage:
    """The base of all messages; `type` is the name on the pipe."""

    type: ClassVar[str]


# --- server to worker ---------------------------------------------------------------------------


@dataclass(frozen=True)
class RunJob(WorkerMessage):
    """A command to do a job, or the rest of it.

    Attributes:
        id: the job's id.
        attempt: number of the attempt.
        job: the job.
        files: path as the job names it -> file on this machine.
        frames_dir: folder of this attempt for result frames.
        scratch: folder of the job for files that an engine finds again after a crash.
        cache: folder that all jobs share.
        models: folder of the weights.
        finished: frame numbers published by earlier attempts.
        previews: whether a client watches previews.
        by_path: whether the files are where their submitter has them, with every link followed.
    """

    type: ClassVar[str] = "run"
    id: str
    attempt: int
    job: Job
    files: dict[str, str]
    frames_dir: str
    scratch: str
    cache: str = ""
    models: str = ""
    finished: tuple[int, ...] = ()
    previews: bool = True
    by_path: bool = False


@dataclass(frozen=True)
class CancelJob(WorkerMessage):
    """A command to stop a job at its next safe point."""

    type: ClassVar[str] = "cancel"
    id: str


# --- worker to server ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready(WorkerMessage):
    """The worker takes jobs."""

    type: ClassVar[str] = "ready"
    device: str
    engines: tuple[str, ...]


@dataclass(frozen=True)
class Resolved(WorkerMessage):
    """The job with its open options filled in (engine, exposure); the server keeps it for later attempts."""

    type: ClassVar[str] = "resolved"
    id: str
    attempt: int
    job: Job


@dataclass(frozen=True)
class Advance(WorkerMessage):
    """The progress of a stage, to which the server's deadline applies."""

    type: ClassVar[str] = "advance"
    id: str
    attempt: int
    stage: str
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class FrameWritten(WorkerMessage):
    """A result frame is complete and synced at `path`. digest: blake2b-256 in hex."""

    type: ClassVar[str] = "frame"
    id: str
    attempt: int
    frame: int
    path: str
    size: int
    digest: str


@dataclass(frozen=True)
class WorkerPreview(WorkerMessage):
    """A preview of a frame in the making. png: the encoded picture."""

    type: ClassVar[str] = "preview"
    id: str
    attempt: int
    frame: int
    png: bytes


@dataclass(frozen=True)
class DeviceFree(WorkerMessage):
    """The model has run for this job; the next job may start while frames of this one are encoded."""

    type: ClassVar[str] = "device_free"
    id: str
    attempt: int


@dataclass(frozen=True)
class Ended(WorkerMessage):
    """The last message of an attempt.

    Attributes:
        id: the job's id.
        attempt: number of the attempt.
        state: in which the job ends.
        failure: with which it failed or was cancelled.
        report: of a job that is done.
    """

    type: ClassVar[str] = "ended"
    id: str
    attempt: int
    state: Literal["done", "failed", "cancelled"]
    failure: Failure | None = None
    report: dict[str, object] = field(default_factory=dict)


_TYPES = {cls.type: cls for cls in WorkerMessage.__subclasses__()}


def send(stream: BinaryIO, message: WorkerMessage) -> None:
    """Write one message and flush.

    Raises:
        OSError: the other end is closed.
    """
    payload = msgpack.packb({"type": message.type, "body": to_plain(message)})
    stream.write(_LENGTH.pack(len(payload)) + payload)
    stream.flush()


def receive(stream: BinaryIO) -> Iterator[WorkerMessage]:
    """Yield messages until the other end closes.

    Raises:
        ProtocolError: the bytes are no message.
    """
    while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        if length > _MESSAGE_BYTES_MAX:
            raise ProtocolError(f"got a worker message of {length} bytes, expected at most {_MESSAGE_BYTES_MAX}")
        payload = stream.read(length)
        if len(payload) < length:
            return
        yield _decoded(payload)


def _decoded(payload: bytes) -> WorkerMessage:
    try:
        data = msgpack.unpackb(payload)
    except (ValueError, msgpack.UnpackException) as exc:
        raise ProtocolError(f"cannot read a worker message: {exc or type(exc).__name__}") from exc
    kind = data.get("type") if isinstance(data, dict) else None
    if kind not in _TYPES:
        raise ProtocolError(f"unknown worker message {str(kind)[:40]!r}")
    return from_plain(_TYPES[kind], data.get("body"), where=kind, error=ProtocolError)
