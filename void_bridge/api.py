"""The Python API: what the command line does, as functions. Everything here is a name of `void_bridge` itself.

    import void_bridge

    result = void_bridge.remove("plate.####.exr", "clean/", remove="roto.####.exr:A")
    print(result.frames, result.paths[0], result.report)

Defaults are those of the command line: the server, the OCIO config and the site's hooks come from the configuration,
the colour space from the plate, and the exposure is measured. Nothing here needs numpy, unless the colour of a plate
has to be found.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple, Union

from void_bridge.arguments import (
    FramesArgument,
    JobArgument,
    MatteArgument,
    PathArgument,
    PlateArgument,
    check_flags,
    convert_callback,
    convert_config,
    convert_count,
    convert_job,
    convert_job_id,
    convert_output,
)
from void_bridge.client import Client
from void_bridge.client.client import connect as open_client
from void_bridge.client.frame_writer import FrameWriter, follow
from void_bridge.client.output import fetch_output
from void_bridge.config import Config
from void_bridge.errors import Cancelled, ServerError, UsageError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.pathmap import PathMap
from void_bridge.protocol.messages import JobStatus, Progress
from void_bridge.sequence import Sequence

__all__ = [
    "Cancelled",
    "Colour",
    "Config",
    "FrameRange",
    "Job",
    "JobStatus",
    "MatteSource",
    "RemovalProgress",
    "RemovalResult",
    "Sequence",
    "VoidBridgeError",
    "cancel",
    "fetch",
    "jobs",
    "remove",
    "status",
    "submit",
    "watch",
]

_CALLBACKS = ("on_progress", "on_frame", "on_notice")


@dataclass(frozen=True)
class RemovalProgress:
    """The progress of a job, from its files' first byte to its last frame.

    Attributes:
        stage: `hash` and `send` while files go to the server, then its stages: decode, flow, fill, encode and so on.
        done: finished steps of the stage; bytes while files are sent.
        total: steps of the stage; 0 while it is unknown.
        frames_done: number of frames finished so far.
        frames: number of frames that will be delivered.
        seconds_left: estimate for the whole job; None while there is none.
    """

    stage: str
    done: int
    total: int
    frames_done: int
    frames: int
    seconds_left: Optional[float] = None

    @classmethod
    def from_status(cls, status: JobStatus) -> RemovalProgress:
        """Return the progress in a job's status. A job that does not run has its state as the stage."""
        step = status.progress if status.state == "running" else Progress()
        stage = step.stage or status.state
        return cls(stage, step.done, step.total, status.frames_done, status.frames, step.seconds_left)


@dataclass(frozen=True)
class RemovalResult:
    """A job's frames on disk.

    Attributes:
        id: the job's id, which `fetch`, `watch` and `status` take.
        state: `done`, or another state after `fetch(wait=False)`.
        frames: the frames on disk.
        paths: their files, in the same order.
        output: the pattern of the files.
        report: the job's report, plain values by name, as in report.json; empty until the job is done.
        warnings: the lines of the report that a person should read.
        engine: the engine that made the frames.
        seconds: running time on the server.
    """

    id: str
    state: str
    frames: FrameRange
    paths: Tuple[Path, ...]
    output: str
    report: Dict[str, object]
    warnings: Tuple[str, ...]
    engine: str
    seconds: float


OnRemovalProgress = Callable[[RemovalProgress], object]
OnFrameWritten = Callable[[int, Path], object]
OnNotice = Callable[[str], object]


def remove(
    plate: PlateArgument,
    output: Optional[PathArgument] = None,
    *,
    remove: Optional[MatteArgument] = None,
    affected: Optional[MatteArgument] = None,
    keep: Optional[MatteArgument] = None,
    exclude: Optional[MatteArgument] = None,
    quadmask: Optional[MatteArgument] = None,
    frames: Optional[FramesArgument] = None,
    colorspace: Union[str, Colour, None] = None,
    on_progress: Optional[OnRemovalProgress] = None,
    on_frame: Optional[OnFrameWritten] = None,
    on_notice: Optional[OnNotice] = None,
    connect: Optional[str] = None,
    autostart: Optional[bool] = None,
    transport: Optional[str] = None,
    priority: Optional[int] = None,
    overwrite: bool = False,
    config: Optional[Config] = None,
    **options: Any,
) -> RemovalResult:
    """Remove an object from a shot: submit the job, and write each frame as soon as it is finished.

    Ctrl-C cancels the job, and so does an exception in a callback, unless it is a VoidBridgeError other than Cancelled.

    Args:
        plate: files such as `plate.####.exr`, a `Sequence`, a job.json, or a `Job`.
        output: a folder, or files such as `clean.####.exr`; default: that of the job, or of the site's hook.
        remove: the object to remove: files such as `roto.####.exr:layer.channel`, a `Sequence` or a `MatteSource`,
            which can be inverted.
        affected: shadows, reflections, and the full path of anything that will move or fall.
        keep: a foreground that must not change, such as an actor in front.
        exclude: pixels that must never be used as a source.
        quadmask: one mask with four values in place of the mattes: 0 object, 63 overlap, 127 affected, 255 keep.
        frames: `"1001-1046"`, a number, numbers such as a `range`, or a `FrameRange`; default: those on disk.
        colorspace: the plate's colour space by name, or a `Colour`; default: as its header says, else scene_linear.
        on_progress: called with a `RemovalProgress`, also while files are hashed and sent.
        on_frame: called with the number and path of each frame that was written, possibly from another thread.
        on_notice: called with a line of text when a server is started or does not answer.
        connect: URL of the server; default: as configured, else the local one.
        autostart: whether a local server may be started; default: as configured.
        transport: how files reach the server: auto, inline or path; default: as configured.
        priority: 0 to 100, the highest goes first; default: as configured.
        overwrite: replace another job's frames in the output folder.
        config: the configuration; default: files and environment, as the command line reads them.
        **options: further options of a job, such as `handles=8`, `engine="propagate"`, `feather=2`;
            docs/reference/options.md lists them.

    Raises:
        UsageError: an argument is wrong.
        InputError: the plate or a matte cannot be used.
        OutputError: the output cannot be written, or holds another job's frames.
        NoServer: no server answers.
        Cancelled: the job was cancelled elsewhere.
        VoidBridgeError: the job failed; the class says why.
    """
    settings = convert_config(config, connect=connect, autostart=autostart, transport=transport, priority=priority)
    show, written, notice = map(convert_callback, _CALLBACKS, (on_progress, on_frame, on_notice))
    check_flags(overwrite=overwrite)
    mattes = {"remove": remove, "affected": affected, "keep": keep, "exclude": exclude, "quadmask": quadmask}
    job = _make_job(plate, output, frames, colorspace, {**mattes, **options}, settings)
    with open_client(settings, notice=notice) as client:
        id = _submit(client, job, overwrite, show).id
        try:
            return _fetch(client, id, None, overwrite, show, written, settings)
        except BaseException as exc:
            if isinstance(exc, Cancelled) or not isinstance(exc, VoidBridgeError):
                with suppress(VoidBridgeError):
                    client.cancel(id)
            raise


def submit(
    plate: PlateArgument,
    output: Optional[PathArgument] = None,
    *,
    remove: Optional[MatteArgument] = None,
    affected: Optional[MatteArgument] = None,
    keep: Optional[MatteArgument] = None,
    exclude: Optional[MatteArgument] = None,
    quadmask: Optional[MatteArgument] = None,
    frames: Optional[FramesArgument] = None,
    colorspace: Union[str, Colour, None] = None,
    on_progress: Optional[OnRemovalProgress] = None,
    on_notice: Optional[OnNotice] = None,
    connect: Optional[str] = None,
    autostart: Optional[bool] = None,
    transport: Optional[str] = None,
    priority: Optional[int] = None,
    overwrite: bool = False,
    config: Optional[Config] = None,
    **options: Any,
) -> JobStatus:
    """Submit a job and return its status, whose `id` the other functions take. The job goes on without this process.

    The arguments are those of `remove`, without `on_frame`; `on_progress` is called while files are hashed and sent.
    Submitting the same job to the same output again continues it, unless it failed or was cancelled.

    Raises:
        UsageError: an argument is wrong.
        InputError: the plate or a matte cannot be used.
        OutputError: the output cannot be written, or holds another job's frames.
        NoServer: no server answers.
        Refused: the server does not accept the job.
    """
    if "on_frame" in options:
        raise UsageError("submit takes no on_frame, as it does not wait for frames; remove and fetch take it")
    settings = convert_config(config, connect=connect, autostart=autostart, transport=transport, priority=priority)
    show, _, notice = map(convert_callback, _CALLBACKS, (on_progress, None, on_notice))
    check_flags(overwrite=overwrite)
    mattes = {"remove": remove, "affected": affected, "keep": keep, "exclude": exclude, "quadmask": quadmask}
    job = _make_job(plate, output, frames, colorspace, {**mattes, **options}, settings)
    with open_client(settings, notice=notice) as client:
        return _submit(client, job, overwrite, show)


def fetch(
    job: JobArgument,
    output: Optional[PathArgument] = None,
    *,
    wait: bool = True,
    on_progress: Optional[OnRemovalProgress] = None,
    on_frame: Optional[OnFrameWritten] = None,
    on_notice: Optional[OnNotice] = None,
    connect: Optional[str] = None,
    autostart: Optional[bool] = None,
    transport: Optional[str] = None,
    overwrite: bool = False,
    config: Optional[Config] = None,
) -> RemovalResult:
    """Write a job's frames that are not on disk yet. An interrupted fetch leaves the job alone.

    Args:
        job: a job's id, the job.json beside its output, the folder of that file, or the job's status.
        output: a folder, or files such as `clean.####.exr`; default: as submitted.
        wait: wait for the job to end; otherwise take the frames that are there.
        on_progress: called with a `RemovalProgress`.
        on_frame: called with the number and path of each frame that was written, possibly from another thread.
        on_notice: called with a line of text when a server is started or does not answer.
        connect: URL of the server; default: as configured, else the local one.
        autostart: whether a local server may be started; default: as configured.
        transport: how frames come from the server: auto, inline or path; default: as configured.
        overwrite: replace another job's frames in the output folder.
        config: the configuration; default: files and environment, as the command line reads them.

    Raises:
        UnknownJob: the server does not know the job.
        OutputError: the output cannot be written, or holds another job's frames.
        Cancelled: the job was cancelled.
        VoidBridgeError: the job failed; the class says why.
    """
    settings = convert_config(config, connect=connect, autostart=autostart, transport=transport)
    show, written, notice = map(convert_callback, _CALLBACKS, (on_progress, on_frame, on_notice))
    check_flags(wait=wait, overwrite=overwrite)
    id, folder = convert_job_id(job), convert_output(output)
    with open_client(settings, notice=notice) as client:
        pattern = fetch_output(folder, client.result(id).job) if folder else None
        return _fetch(client, id, pattern, overwrite, show, written, settings, wait)


def watch(
    job: JobArgument,
    *,
    on_notice: Optional[OnNotice] = None,
    connect: Optional[str] = None,
    autostart: Optional[bool] = None,
    config: Optional[Config] = None,
) -> Iterator[JobStatus]:
    """Return an iterator over the states of a job, at most five a second, that ends with its last state.

    A job that fails raises nothing here: its last status holds the error.

    Args:
        job: a job's id, the job.json beside its output, the folder of that file, or the job's status.
        on_notice: called with a line of text when a server is started or does not answer.
        connect: URL of the server; default: as configured, else the local one.
        autostart: whether a local server may be started; default: as configured.
        config: the configuration; default: files and environment, as the command line reads them.

    Raises:
        UnknownJob: the server does not know the job.
        NoServer: no server answers.
    """
    settings = convert_config(config, connect=connect, autostart=autostart)
    id, notice = convert_job_id(job), convert_callback("on_notice", on_notice)

    def statuses() -> Iterator[JobStatus]:
        with open_client(settings, notice=notice) as client:
            yield from (event for event in client.watch(id) if isinstance(event, JobStatus))

    return statuses()


def status(
    job: JobArgument,
    *,
    connect: Optional[str] = None,
    autostart: Optional[bool] = None,
    config: Optional[Config] = None,
) -> JobStatus:
    """Return the status of a job.

    Args:
        job: a job's id, the job.json beside its output, the folder of that file, or the job's status.
        connect: URL of the server; default: as configured, else the local one.
        autostart: whether a local server may be started; default: as configured.
        config: the configuration; default: files and environment, as the command line reads them.

    Raises:
        UnknownJob: the server does not know the job.
        NoServer: no server answers.
    """
    id = convert_job_id(job)
    with open_client(convert_config(config, connect=connect, autostart=autostart)) as client:
        return client.status(id)


def jobs(
    limit: int = 100,
    *,
    connect: Optional[str] = None,
    autostart: Optional[bool] = None,
    config: Optional[Config] = None,
) -> Tuple[JobStatus, ...]:
    """Return the server's jobs, the newest first.

    Args:
        limit: the largest number of jobs.
        connect: URL of the server; default: as configured, else the local one.
        autostart: whether a local server may be started; default: as configured.
        config: the configuration; default: files and environment, as the command line reads them.

    Raises:
        NoServer: no server answers.
    """
    count = convert_count("limit", limit)
    with open_client(convert_config(config, connect=connect, autostart=autostart)) as client:
        return client.jobs(count)


def cancel(
    job: JobArgument,
    *,
    connect: Optional[str] = None,
    autostart: Optional[bool] = None,
    config: Optional[Config] = None,
) -> JobStatus:
    """Cancel a job and return its status. Its finished frames stay.

    Args:
        job: a job's id, the job.json beside its output, the folder of that file, or the job's status.
        connect: URL of the server; default: as configured, else the local one.
        autostart: whether a local server may be started; default: as configured.
        config: the configuration; default: files and environment, as the command line reads them.

    Raises:
        UnknownJob: the server does not know the job.
        NoServer: no server answers.
    """
    id = convert_job_id(job)
    with open_client(convert_config(config, connect=connect, autostart=autostart)) as client:
        return client.cancel(id)


def _make_job(
    plate: object, output: object, frames: object, colorspace: object, options: Mapping[str, Any], config: Config
) -> Job:
    """Return the job of the arguments of `remove`; see `convert_job`."""
    *arguments, _ = inspect.signature(remove).parameters  # the last are the options
    return convert_job(plate, output, frames, colorspace, options, config, others=arguments)


def _submit(client: Client, job: Job, overwrite: bool, show: Callable[..., None]) -> JobStatus:
    """Submit a job, show the progress of its files, and return its status."""
    frames = len(job.only or job.frames)

    def show_step(stage: str, done: int, total: int) -> None:
        show(RemovalProgress(stage, done, total, 0, frames))

    return client.submit(job, overwrite=overwrite, on_progress=show_step)


def _fetch(
    client: Client,
    id: str,
    output: Optional[str],
    overwrite: bool,
    show: Callable[..., None],
    on_frame: Callable[..., None],
    config: Config,
    wait: bool = True,
) -> RemovalResult:
    """Write the frames of a job and return them. Raises the error of a job that failed, Cancelled."""
    writer = FrameWriter(client, id, output, overwrite, on_frame)
    if wait:
        last = follow(client, id, lambda status: show(RemovalProgress.from_status(status)), writer)
        if last.state != "done":
            raise _failure(last)
    else:
        writer.finish()
    result, paths = client.result(id), set(writer.paths)
    pattern = Sequence.parse(output or PathMap.parse(config.path_map).to_local(result.job.output))
    warnings = result.report.get("warnings")
    return RemovalResult(
        id,
        result.status.state,
        FrameRange(each.frame for each in result.frames if pattern.path(each.frame) in paths),
        tuple(writer.paths),
        pattern.pattern,
        result.report,
        tuple(map(str, warnings)) if isinstance(warnings, (list, tuple)) else (),
        result.status.engine,
        result.status.seconds,
    )


def _failure(status: JobStatus) -> VoidBridgeError:
    """Return the error of a job that ended without being done."""
    if status.state == "cancelled":
        return Cancelled(f"job {status.id} was cancelled")
    return status.error.to_error() if status.error else ServerError(f"job {status.id} {status.state}")
