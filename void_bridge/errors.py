"""All errors of VOID Bridge, in one tree whose codes stay the same on the wire.

    VoidBridgeError
    ├── UsageError          usage
    │   ├── FrameRangeError frames
    │   └── ConfigError     config
    ├── InputError          input
    │   ├── MissingFrames   missing_frames
    │   ├── UnreadableFile  unreadable
    │   ├── NoSuchChannel   no_channel
    │   ├── SizeMismatch    size_mismatch
    │   └── ColourError     colour
    ├── OutputError         output
    │   └── DiskFull        disk_full
    ├── ServerError         server
    │   ├── NoServer        no_server
    │   ├── ProtocolError   protocol
    │   ├── VersionMismatch version
    │   ├── Refused         refused
    │   └── UnknownJob      unknown_job
    ├── EngineError         engine
    │   ├── OutOfMemory     out_of_memory
    │   ├── NotFinite       not_finite
    │   ├── DeviceLost      device_lost
    │   └── WorkerLost      worker_lost
    ├── Cancelled           cancelled
    └── InternalError       internal

A class's docstring has the meaning of the error, then the remedy; docs/reference/errors.md is written from these.
A message is one line that names the value got, the value expected, and the remedy.
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
    """Wrong options, or options that cannot be combined.

    Read the message; `void-bridge COMMAND --help` lists the options of a command.
    """

    code = "usage"
    exit_code = 2


class FrameRangeError(UsageError):
    """A frame range that cannot be read.

    Write a range such as `1001-1046`, `1001-1046x2` or `1001,1010-1020`.
    """

    code = "frames"


class ConfigError(UsageError):
    """A wrong configuration file, variable or value, or a hook of the site that fails.

    Correct the file or variable that the message names. `void-bridge config show` prints every value and its
    source.
    """

    code = "config"


class InputError(VoidBridgeError):
    """Input of a job that is not as it should be.

    Correct the file or value that the message names, then submit again.
    """

    code = "input"
    exit_code = 2


class MissingFrames(InputError):
    """Frames of a sequence that are not on disk.

    Render or copy the frames, or give `--frames` the range that exists.
    """

    code = "missing_frames"


class UnreadableFile(InputError):
    """A file that cannot be read or decoded.

    Render or copy the file again; check that you may read it.
    """

    code = "unreadable"


class NoSuchChannel(InputError):
    """A channel that an EXR file does not have.

    Name a channel that the message lists, as in `roto.####.exr:mask.A`.
    """

    code = "no_channel"


class SizeMismatch(InputError):
    """Images whose sizes should be equal and are not.

    Render plate and mattes with the same display window.
    """

    code = "size_mismatch"


class ColourError(InputError):
    """An unknown colour space or OCIO config.

    Give `--colorspace` a name from the config; set `ocio`, or `$OCIO`, to the config of the show.
    """

    code = "colour"


class OutputError(VoidBridgeError):
    """A location that cannot be written, or must not be.

    Choose another folder with `-o`, or replace another job's frames with `--overwrite`.
    """

    code = "output"
    exit_code = 2


class DiskFull(OutputError):
    """A disk without space, or a used up quota.

    Free some space, then run the same command again. Finished frames are kept.
    """

    code = "disk_full"
    exit_code = 1


class ServerError(VoidBridgeError):
    """A server that refused or failed.

    Run `void-bridge doctor`, and read the server's log.
    """

    code = "server"


class NoServer(ServerError):
    """A server that does not answer.

    Start one with `void-bridge serve`, or correct `--connect`. `void-bridge doctor` shows the cause.
    """

    code = "no_server"
    exit_code = 3


class ProtocolError(ServerError):
    """A message that breaks docs/reference/protocol.md.

    Install the same version of VOID Bridge on both sides.
    """

    code = "protocol"


class VersionMismatch(ServerError):
    """A server of another protocol version.

    Install the same version of VOID Bridge on both sides, then restart the server.
    """

    code = "version"
    exit_code = 3


class Refused(ServerError):
    """A request that the server does not allow: paths outside the roots, limits, keys.

    Read the message. Paths need an entry in the server's `roots`, or `--transport inline`.
    """

    code = "refused"


class UnknownJob(ServerError):
    """A job id that the server does not know.

    List the server's jobs with `void-bridge jobs`; submit the job.json again if its job was removed.
    """

    code = "unknown_job"
    exit_code = 2


class EngineError(VoidBridgeError):
    """A failure of the engine.

    Read the message and the server's log. Submit again; if it fails again, send `void-bridge report`.
    """

    code = "engine"


class OutOfMemory(EngineError):
    """Memory of the device or machine that was not enough.

    Choose a smaller `--canvas`, fewer frames or a lower `--precision`; end other programs that use the GPU.
    """

    code = "out_of_memory"


class DeviceLost(EngineError):
    """A GPU that no longer works; its worker process ends.

    Submit again. If it happens again, update the driver or restart the machine.
    """

    code = "device_lost"


class NotFinite(EngineError):
    """NaN or infinity in the output of a model.

    Try `--precision bf16` or `float32`, and run `void-bridge models check`.
    """

    code = "not_finite"


class WorkerLost(EngineError):
    """A worker process that ended while it had the job.

    Submit again; finished frames are kept. The server's log has the cause, often memory.
    """

    code = "worker_lost"


class Cancelled(VoidBridgeError):
    """A job or command that was cancelled.

    Submit again to continue; finished frames are kept.
    """

    code = "cancelled"
    exit_code = 130


class InternalError(VoidBridgeError):
    """A defect of VOID Bridge.

    Run again with `VOID_BRIDGE_DEBUG=1`, then send the file that `void-bridge report` writes.
    """

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
        raise OutputError(f"cannot write {path}: {exc.strerror or exc}; choose a writable place") from exc
