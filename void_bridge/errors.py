"""Every error of VOID Bridge, in one tree with codes that stay the same on the wire.

    VoidBridgeError
    ├── UsageError          usage            wrong options, an impossible combination
    │   ├── FrameRangeError frames           a frame range that cannot be read
    │   └── ConfigError     config           a configuration file or variable
    ├── InputError          input            what the job reads is not as it should be
    │   ├── MissingFrames   missing_frames
    │   ├── UnreadableFile  unreadable
    │   ├── NoSuchChannel   no_channel
    │   ├── SizeMismatch    size_mismatch
    │   └── ColourError     colour           unknown working space or config
    ├── OutputError         output           a place that must not or cannot be written
    │   └── DiskFull        disk_full
    ├── ServerError         server           the other side refused or failed
    │   ├── NoServer        no_server
    │   ├── ProtocolError   protocol         a message that breaks docs/protocol.md
    │   ├── VersionMismatch version
    │   ├── Refused         refused          paths outside the roots, limits, keys
    │   └── UnknownJob      unknown_job
    ├── EngineError         engine           the engine failed
    │   ├── OutOfMemory     out_of_memory
    │   ├── NotFinite       not_finite       NaN or infinity from a model
    │   ├── DeviceLost      device_lost      the GPU has gone; its worker leaves
    │   └── WorkerLost      worker_lost
    ├── Cancelled           cancelled
    └── InternalError       internal         a defect of ours

A message is one line: what was got, what was expected, what to do.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import ClassVar, Dict, Iterator, Type

_LINE_MAX = 4000  # characters; what somebody sent may be quoted in a message, however long it was


class VoidBridgeError(Exception):
    """Root of the tree. `code` travels on the wire; `exit_code` is the command line's."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        text = str(message)
        if len(text) > _LINE_MAX:
            text = f"{text[: _LINE_MAX // 2]} ... {text[-_LINE_MAX // 2 :]}"
        super().__init__(" ".join(text.split()))

    @property
    def message(self) -> str:
        return str(self)


class UsageError(VoidBridgeError):
    code = "usage"
    exit_code = 2


class FrameRangeError(UsageError):
    code = "frames"


class ConfigError(UsageError):
    code = "config"


class InputError(VoidBridgeError):
    code = "input"
    exit_code = 2


class MissingFrames(InputError):
    code = "missing_frames"


class UnreadableFile(InputError):
    code = "unreadable"


class NoSuchChannel(InputError):
    code = "no_channel"


class SizeMismatch(InputError):
    code = "size_mismatch"


class ColourError(InputError):
    code = "colour"


class OutputError(VoidBridgeError):
    code = "output"
    exit_code = 2


class DiskFull(OutputError):
    code = "disk_full"
    exit_code = 1


class ServerError(VoidBridgeError):
    code = "server"


class NoServer(ServerError):
    code = "no_server"
    exit_code = 3


class ProtocolError(ServerError):
    code = "protocol"


class VersionMismatch(ServerError):
    code = "version"
    exit_code = 3


class Refused(ServerError):
    code = "refused"


class UnknownJob(ServerError):
    code = "unknown_job"
    exit_code = 2


class EngineError(VoidBridgeError):
    code = "engine"


class OutOfMemory(EngineError):
    code = "out_of_memory"


class DeviceLost(EngineError):
    code = "device_lost"


class NotFinite(EngineError):
    code = "not_finite"


class WorkerLost(EngineError):
    code = "worker_lost"


class Cancelled(VoidBridgeError):
    code = "cancelled"
    exit_code = 130


class InternalError(VoidBridgeError):
    code = "internal"


def error_classes() -> Dict[str, Type[VoidBridgeError]]:
    """Every class of the tree by its code."""

    def walk(cls: Type[VoidBridgeError]) -> Iterator[Type[VoidBridgeError]]:
        yield cls
        for child in cls.__subclasses__():
            yield from walk(child)

    return {cls.code: cls for cls in walk(VoidBridgeError)}


def error_from_code(code: str, message: str) -> VoidBridgeError:
    """The error that a code and message from the wire stand for; an unknown code keeps its name."""
    cls = error_classes().get(code)
    return cls(message) if cls else ServerError(f"{message} ({code})")


@contextmanager
def map_write_errors(path: object) -> Iterator[None]:
    """Turn the system's 'no space left' and 'read-only' into errors that name `path`.

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
