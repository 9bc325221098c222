"""One job from its submission to its frames on disk. Everything here blocks; the controller runs it on threads."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from host_plugins.control.error_messages import artist_message
from host_plugins.control.request import Order, settings_notes
from host_plugins.control.settings import Settings
from host_plugins.control.state import JobState
from void_bridge.client import Client, connect
from void_bridge.client.formatting import duration_text, report_lines, status_text, step_text
from void_bridge.client.frame_writer import FrameWriter
from void_bridge.client.output import output_folder
from void_bridge.config import Config, load
from void_bridge.errors import Cancelled, NoServer, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.job import JOB_FILE_NAME
from void_bridge.options import PRIORITY
from void_bridge.protocol.messages import FINAL_STATES, JobStatus
from void_bridge.sequence import Sequence

log = logging.getLogger(__name__)

DISK_POLL_S = 2.0

OnState = Callable[[JobState], None]


class FarmJobStatus(NamedTuple):
    """The status of a job that was handed to a farm; both texts are empty where nothing is known.

    Attributes:
        farm: the farm's name and its id for the job.
        line: the states of its tasks.
    """

    farm: str = ""
    line: str = ""


FarmStatusReader = Callable[[Path], FarmJobStatus]  # takes the folder of a job's frames


def config_of(settings: Settings, interactive: bool) -> Config:
    """Return the configuration with a node's own settings on top. Reads files: not for a host's main thread.

    Args:
        settings: the node's settings.
        interactive: whether an artist is present, for whom a local server may be started.

    Raises:
        ConfigError: a configuration file is wrong.
    """
    connect_to = None if settings.where == "server" and not settings.address else settings.address
    values = {
        "connect": "" if settings.where == "local" else connect_to,
        "transport": settings.transport if settings.transport != "auto" else None,
        "priority": settings.priority if settings.priority != PRIORITY else None,
        "autostart": None if interactive and settings.autostart else False,
    }
    return load(values).config


class JobFollower:
    """Submits or follows one job and reports its states.

    Args:
        state: the job's first state.
        settings: the settings of its node.
        on_state: called with each new state.
        interactive: whether an artist is present, for whom a local server may be started.
        farm_status: reads the status of a job that was handed to a farm.

    Attributes:
        state: the latest state.
        stop: an event that ends the following soon; the job goes on at the server.
        cancel_sending: an event that cancels while frames are being sent.
    """

    def __init__(
        self,
        state: JobState,
        settings: Settings,
        on_state: OnState,
        interactive: bool,
        farm_status: FarmStatusReader,
    ) -> None:
        self.state = state
        self.stop = threading.Event()
        self.cancel_sending = threading.Event()
        self._settings, self._on_state, self._interactive = settings, on_state, interactive
        self._farm_status = farm_status
        self._lock = threading.Lock()  # frames land on a thread of their own

    def update(self, **changes: object) -> None:
        """Change fields of the state and report it, if anything is different."""
        with self._lock:
            changed = self.state.replace(**changes)
            if changed != self.state:
                self.state = changed
                self._on_state(changed)

    def submit(self, order: Order) -> None:
        """Submit a job and track it to its end; report errors as its state."""
        try:
            self._submit(order)
        except Exception as exc:
            with suppress(OSError):  # the version's folder, unless something is in it
                output_folder(order.job).rmdir()
            self.fail(exc)

    def follow(self) -> None:
        """Track a job to its end; report errors as its state."""
        try:
            if self.state.at_farm:
                self._follow_disk()
            else:
                with self._client() as client:
                    self._follow(client)
        except NoServer as exc:
            self._report_lost(exc)
        except Exception as exc:
            self.fail(exc)

    def fail(self, error: Exception) -> None:
        """Report an error as the state."""
        if isinstance(error, Cancelled):
            self.update(phase="cancelled", line=error.message)
            return
        if not isinstance(error, VoidBridgeError):
            log.error("job %s: unexpected error", self.state.id, exc_info=error)
        self.update(phase="failed", line=artist_message(error))

    def _report_lost(self, error: NoServer) -> None:
        """Report a server that does not answer; the job is done all the same if its frames are all on disk."""
        ready = frames_ready(self.state)
        if set(FrameRange.parse(self.state.frames)) <= set(ready):
            self.update(
                phase="done", ready=str(ready), line=f"{len(ready)} frames are on disk; their server no longer answers"
            )
        else:
            self.update(
                phase="lost", line=f"{artist_message(error)}. The job may still run there: press Reload to check again"
            )

    def _client(self) -> Client:
        config = config_of(self._settings, self._interactive)
        return connect(config, notice=lambda text: self.update(line=text))

    def _submit(self, order: Order) -> None:
        self.update(phase="sending", line="connecting to a server")
        with self._client() as client:
            client.submit(order.job, id=order.id, on_progress=self._on_progress)
            self.update(phase="queued", line="queued", output=client.result(order.id).job.output)
            try:
                self._follow(client)
            except NoServer as exc:
                self._report_lost(exc)

    def _on_progress(self, stage: str, done: int, total: int) -> None:
        if self.cancel_sending.is_set():
            raise Cancelled("cancelled while frames were sent")
        self.update(line=step_text(stage, done, total))

    def _follow(self, client: Client) -> None:
        self.update(ready=str(frames_ready(self.state)))
        writer = FrameWriter(client, self.state.id, None, overwrite=False, on_frame=self._frame_written)
        last: Optional[JobStatus] = None
        for event in client.watch(self.state.id):
            if self.stop.is_set():
                return
            if isinstance(event, JobStatus):
                last = event
                if event.state not in FINAL_STATES:
                    self._report_status(event)
                    writer.fetch_published(event.frames_done)
        if last is None:
            return
        if last.frames_done:
            self.update(line="fetching the last frames")
            writer.finish()
        self._report_end(client, last)

    def _report_status(self, status: JobStatus) -> None:
        phase = "running" if status.state == "running" else "queued"
        self.update(phase=phase, line=status_text(status))

    def _frame_written(self, frame: int, path: Path) -> None:
        held = FrameRange.parse(self.state.ready) if self.state.ready else ()
        self.update(ready=str(FrameRange([*held, frame])))

    def _report_end(self, client: Client, status: JobStatus) -> None:
        notes = [note for note in settings_notes(self._settings) if note in self.state.report]
        lines = tuple(report_lines(client.result(status.id).report))
        warnings = "; read the warnings" if any(line.startswith("warning") for line in lines) else ""
        done = f"{status.frames_done} frames in {duration_text(status.seconds)} by {status.engine}{warnings}"
        failure = artist_message(status.error.to_error()) if status.error else "failed"
        line = {"done": done, "cancelled": "cancelled"}.get(status.state, failure)
        self.update(phase=status.state, line=line, ready=str(frames_ready(self.state)), report=(*notes, *lines))

    def _follow_disk(self) -> None:
        wanted = FrameRange.parse(self.state.frames)
        folder = Path(Sequence.parse(self.state.output).folder)
        while not self.stop.is_set():
            ready = frames_ready(self.state)
            if set(wanted) <= set(ready):
                self.update(phase="done", line=f"{len(wanted)} frames came from the farm", ready=str(ready))
                return
            self._report_farm(self._farm_status(folder), str(ready))
            self.stop.wait(DISK_POLL_S)

    def _report_farm(self, status: FarmJobStatus, ready: str) -> None:
        farm = status.farm or self.state.farm
        waiting = f"not submitted to a farm yet; a wrangler can run void-bridge farm submit {job_file(self.state)}"
        line = f"{farm}: {status.line or 'waits for frames'}" if farm else waiting
        self.update(farm=farm, ready=ready, line=line)


def frames_ready(state: JobState) -> FrameRange:
    """Return the frames of a job that are on disk; each appears there whole or not at all."""
    wanted = set(FrameRange.parse(state.frames)) if state.frames else set()
    held = Sequence.parse(state.output).frames_on_disk() if state.output else ()
    return FrameRange(frame for frame in held if frame in wanted)


def job_file(state: JobState) -> Path:
    """Return the path of the job.json of a job that has an output."""
    return Path(str(Sequence.parse(state.output).path(1))).parent / JOB_FILE_NAME
