"""All errors of VOID Bridge, in one tree whose codes stay the same on the wire.

    VoidBridgeError
    ├── UsageError          usage            wrong options, an impossible combination
    │   ├── FrameRangeError frames           a frame range that cannot be read
    │   └── ConfigError     config           a configuration file or variable
    ├── InputError          input            input of the job that is not as it should be
    │   ├── MissingFrames   missing_frames
    │   ├── UnreadableFile  unreadable
    │   ├── NoSuchChannel   no_channel
    │   ├── SizeMismatch    size_mismatch
    │   └── ColourError     colour           unknown working space or config
    ├── OutputError         output           a location that must not or cannot be written
    │   └── DiskFull        disk_full
    ├── ServerError         server           the other side refused or failed
    │   ├── NoServer        no_server
    │   ├── ProtocolError   protocol         a message that breaks docs/reference/protocol.md
    │   ├── VersionMismatch version
    │   ├── Refused         refused          paths outside the roots, limits, keys
    │   └── UnknownJob      unknown_job
    ├── EngineError         engine           the engine failed
    │   ├── OutOfMemory     out_of_memory
    │   ├── NotFinite       not_finite       NaN or infinity from a model
    │   ├── DeviceLost      device_lost      the GPU no longer works; its worker process ends
    │   └── WorkerLost      worker_lost
    ├── Cancelled           cancelled
    └── InternalError       internal         a defect of VOID Bridge

A message is one line that says what was got, what was expected, and what to do.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import ClassVar, Dict, Iterator, Type

_LINE_MAX = 4000  # characters; a message may quote input of any length


class VoidBridgeError(Exception):
    """Root of the tree.

    Attributes:
        code: name of the error on the wire.
        exit_code: exit code of the command line.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        text = str(message)
        if len(text) > _LINE_MAX:
            text = f"{text[: _LINE_MAX // 2]} ... {text[-_LINE_MAX // 2 :]}"
        super().__init__(" ".join(text.split()))

    @property
    def message(self) -> str:
        """The line of text."""
        return str(self)


class UsageError(VoidBridgeError):
    """Wrong options, or options that cannot be combined."""

    code = "usage"
    exit_code = 2


class FrameRangeError(UsageError):
    """A frame range that cannot be read."""

    code = "frames"


class ConfigError(UsageError):
    """A wrong configuration file, variable or value."""

    code = "config"


class InputError(VoidBridgeError):
    """Input of a job that is not as it should be."""

    code = "input"
    exit_code = 2


class MissingFrames(InputError):
    """Frames of a sequence that are not on disk."""

    code = "missing_frames"


class UnreadableFile(InputError):
    """A file that cannot be read or decoded."""

    code = "unreadable"


class NoSuchChannel(InputError):
    """A channel that an EXR file does not have."""

    code = "no_channel"


class SizeMismatch(InputError):
    """Pictures whose sizes should be equal and are not."""

    code = "size_mismatch"


class ColourError(InputError):
    """An unknown colour space or OCIO config."""

    code = "colour"


class OutputError(VoidBridgeError):
    """A location that cannot be written, or must not be."""

    code = "output"
    exit_code = 2


class DiskFull(OutputError):
    """A disk without space, or a used up quota."""

    code = "disk_full"
    exit_code = 1


class ServerError(VoidBridgeError):
    """A server that refused or failed."""

    code = "server"


class NoServer(ServerError):
    """A server that does not answer."""

    code = "no_server"
    exit_code = 3


class ProtocolError(ServerError):
    """A message that breaks docs/reference/protocol.md."""

    code = "protocol"


class VersionMismatch(ServerError):
    """A server of another protocol version."""

    code = "version"
    exit_code = 3


class Refused(ServerError):
    """A request that the server does not allow: paths outside the roots, limits, keys."""

    code = "refused"


class UnknownJob(ServerError):
    """A job id that the server does not know."""

    code = "unknown_job"
    exit_code = 2


class EngineError(VoidBridgeError):
    """A failure of the engine."""

    code = "engine"


class OutOfMemory(EngineError):
    """Memory of the device or machine that was not enough."""

    code = "out_of_memory"


class DeviceLost(EngineError):
    """A GPU that no longer works; its worker process ends."""

    code = "device_lost"


class NotFinite(EngineError):
    """NaN or infinity in the output of a model."""

    code = "not_finite"


class WorkerLost(EngineError):
    """A worker process that ended while it had the job."""

    code = "worker_lost"


class Cancelled(VoidBridgeError):
    """A job or command that was cancelled."""

    code = "cancelled"
    exit_code = 130


class InternalError(VoidBridgeError):
    """A defect of VOID Bridge."""

    code = "internal"


def error_classes() -> Dict[str, Type[VoidBridgeError]]:
    """Return every class of the tree by its code."""

    def walk(cls: Type[VoidBridgeError]) -> Iterator[Type[VoidBridgeError]]:
        yield cls
        for child in cls.__subclasses__():
            yield from walk(child)

    return {cls.code: cls for cls in walk(VoidBridgeError)}


def error_from_code(code: str, message: str) -> VoidBridgeError:
    """Return the error for a code and message from the wire. An unknown code is named in the message."""
    cls = error_classes().get(code)
    return cls(message) if cls else ServerError(f"{message} ({code})")


@contextmanager
def map_write_errors(path: object) -> Iterator[None]:
    """Convert OSErrors of the block into errors that name `path`.

    Raises:
        DiskFull: no space left, or the quota is used up.
        OutputError: any other failure of the write.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left for {path}; free some space, then run the same again") from exc
        raise OutputError(f"cannot write {path}: {exc.strerror or exc}; choose a writable place with -o") from exc
