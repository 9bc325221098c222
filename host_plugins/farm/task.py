"""One task of a farm job: the session's server makes the frames that are missing."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, Optional

from host_plugins.farm.job_paths import job_on_this_host, take_output_folder
from host_plugins.farm.progress import TaskProgress
from host_plugins.farm.reporters import FarmReporter
from host_plugins.farm.shots import delivered_frames
from host_plugins.farm.task_reports import write_task_report
from void_bridge.client import Client, connect
from void_bridge.client.formatting import status_text, step_text
from void_bridge.client.frame_writer import FrameWriter
from void_bridge.client.output import output_folder
from void_bridge.config import Config
from void_bridge.errors import Cancelled, NoServer, UsageError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.job import Job
from void_bridge.pathmap import PathMap
from void_bridge.protocol.messages import FINAL_STATES, JobStatus
from void_bridge.sequence import Sequence

PATIENCE_S = 5.0  # a session's server is not started again


@dataclass(frozen=True)
class TaskOrder:
    """The description of one task.

    Attributes:
        jobs: the folder with the shots' jobs.
        shot: the name of the shot.
        frames: the frames that the task makes; None means all that are delivered.
        rules: the farm's path mapping.
    """

    jobs: Path
    shot: str
    frames: Optional[FrameRange] = None
    rules: PathMap = field(default_factory=PathMap)


def run_task(order: TaskOrder, config: Config, reporter: FarmReporter, stop: threading.Event) -> Path:
    """Make the frames of a task that are not on disk yet. Finished frames stay there even if the task fails.

    Args:
        order: the task.
        config: the configuration of a client of the session's server; none is started.
        reporter: where progress is told to the farm.
        stop: an event that cancels when it is set.

    Returns:
        The folder of the frames.

    Raises:
        Cancelled: `stop` was set.
        NoServer: the session's server is gone.
        VoidBridgeError: the job failed.
    """
    rules = order.rules + PathMap.parse(config.path_map)
    job = job_on_this_host(order.jobs, order.shot, rules)
    take_output_folder(job, rules)
    frames = _frames(order, job)
    with TaskProgress(output_folder(job), str(frames), reporter).tracked() as progress:
        missing = missing_frames(job, frames)
        if not missing:
            progress.report(100, f"all {len(frames)} frames already exist")
            return output_folder(job)
        part = job if missing == delivered_frames(job) else job.replace(only=missing)
        try:
            with connect(config, autostart=False, notice=reporter.status, patience_s=PATIENCE_S) as client:
                _make(client, part, len(frames) - len(missing), progress, stop)
        except NoServer as exc:
            raise NoServer(f"the session's server has ended: {exc}; run the task again in a new session") from exc
    return output_folder(job)


def missing_frames(job: Job, frames: FrameRange) -> FrameRange:
    """Return the frames that are not on disk; may be empty. A frame on disk is whole."""
    there = set(Sequence.parse(job.output).frames_on_disk())
    return FrameRange(frame for frame in frames if frame not in there)


def _frames(order: TaskOrder, job: Job) -> FrameRange:
    """Return the frames of a task.

    Raises:
        UsageError: frames that the job does not deliver.
    """
    delivered = delivered_frames(job)
    if order.frames is None:
        return delivered
    if not set(order.frames) <= set(delivered):
        raise UsageError(f"got frames {order.frames} of {order.shot}, which delivers {delivered}")
    return order.frames


def _make(client: Client, job: Job, there: int, progress: TaskProgress, stop: threading.Event) -> None:
    def sending(stage: str, done: int, total: int) -> None:
        if stop.is_set():
            raise Cancelled("cancelled before the job started")
        progress.report(0, step_text(stage, done, total))

    id = client.submit(job, claim=False, on_progress=sending).id
    writer = FrameWriter(client, id, None, overwrite=False, claim=False)
    with _cancelling(client, id, stop):
        last = _followed(client, id, writer, there, progress)
    if last.frames_done:
        writer.finish()
    if last.state == "cancelled":
        raise Cancelled(f"cancelled; {there + last.frames_done} of {there + last.frames} frames are finished and kept")
    if last.error:
        raise last.error.to_error()
    write_task_report(output_folder(job), progress.frames, client.result(id))
    progress.report(100, f"{there + last.frames_done} frames, {last.engine}")


def _followed(client: Client, id: str, writer: FrameWriter, there: int, progress: TaskProgress) -> JobStatus:
    last = client.status(id)
    for event in client.watch(id):
        if isinstance(event, JobStatus):
            last = event
            if event.state not in FINAL_STATES:
                writer.fetch_published(event.frames_done)
                progress.report(percent_of(event, there), status_text(event))
    return last


def percent_of(status: JobStatus, there: int = 0) -> float:
    """Return how far a job is, 0 to 100, by its estimate of the time left, else by its frames.

    Args:
        status: the job's status.
        there: frames of the task that were finished before.
    """
    left = status.progress.seconds_left
    if status.state == "running" and left is not None and status.seconds > 0:
        return 100 * status.seconds / (status.seconds + left)
    return 100 * (there + status.frames_done) / max(1, there + status.frames)


@contextmanager
def _cancelling(client: Client, id: str, stop: threading.Event) -> Iterator[None]:
    """Ask the server to cancel as soon as `stop` is set, from a thread of its own."""
    over = threading.Event()

    def wait() -> None:
        stop.wait()
        if not over.is_set():
            with suppress(VoidBridgeError):  # the loop that watches the job gets the error
                client.cancel(id)

    thread = threading.Thread(target=wait, name="void-farm-cancel", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
