"""One job from a node to its frames on disk. Everything here blocks: the controller runs it on threads of its own."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from host_plugins.control.error_messages import artist_message
from host_plugins.control.request import Order
from host_plugins.control.settings import Settings
from host_plugins.control.state import JobState
from void_bridge.client import Client, connect
from void_bridge.client.formatting import duration_text, report_lines, status_text, step_text
from void_bridge.client.frame_writer import FrameWriter
from void_bridge.client.output import output_folder
from void_bridge.config import Config, load
from void_bridge.errors import Cancelled, NoServer, VoidBridgeError, error_from_code
from void_bridge.frames import FrameRange
from void_bridge.job import JOB_FILE_NAME
from void_bridge.protocol.messages import FINAL_STATES, JobStatus
from void_bridge.sequence import Sequence

log = logging.getLogger(__name__)

DISK_POLL_S = 2.0

OnState = Callable[[JobState], None]


class FarmJobStatus(NamedTuple):
    """farm: who has the job, and by which id. line: how its tasks stand. Both empty where nothing is known."""

    farm: str = ""
    line: str = ""


News = Callable[[Path], FarmJobStatus]  # asked with the folder of a job's frames


def no_farm_status(folder: Path) -> FarmJobStatus:
    """For who hands nothing to a farm."""
    return FarmJobStatus()


def config_of(settings: Settings, interactive: bool) -> Config:
    """The configuration under a node's own settings. Reads files: not for a host's main thread.

    Args:
        interactive: whether somebody sits there, for whom a local server may be started.

    Raises:
        ConfigError
    """
    connect_to = None if settings.where == "server" and not settings.address else settings.address
    values = {
        "connect": "" if settings.where == "local" else connect_to,
        "transport": settings.transport if settings.transport != "auto" else None,
        "priority": settings.priority if settings.priority != 50 else None,
        "autostart": None if interactive and settings.autostart else False,
    }
    return load(values).config


class JobFollower:
    """Follows one job and tells its states. `stop` ends it soon; the job itself goes on at the server.

    Args:
        interactive: whether somebody sits there, for whom a local server may be started.
        news: says how a job stands that was handed to a farm.
    """

    def __init__(
        self,
        state: JobState,
        settings: Settings,
        on_state: OnState,
        interactive: bool = True,
        news: News = no_farm_status,
    ) -> None:
        self.state = state
        self.stop = threading.Event()
        self.cancel_sending = threading.Event()
        self._settings, self._on_state, self._interactive, self._news = settings, on_state, interactive, news
        self._lock = threading.Lock()  # frames land on a thread of their own

    def tell(self, **changes: object) -> None:
        with self._lock:
            changed = self.state.replace(**changes)
            if changed != self.state:
                self.state = changed
                self._on_state(changed)

    def submit(self, order: Order) -> None:
        """Hand a job over and follow it to its end. Raises nothing: what goes wrong becomes the state."""
        try:
            self._submit(order)
        except Exception as exc:
            with suppress(OSError):  # the version's folder, unless something is in it
                output_folder(order.job).rmdir()
            self.fail(exc)

    def follow(self) -> None:
        """Pick up a job where it is. Raises nothing."""
        try:
            if self.state.at_farm:
                self._follow_disk()
            else:
                with self._client() as client:
                    self._follow(client)
        except NoServer as exc:
            self._lose(exc)
        except Exception as exc:
            self.fail(exc)

    def fail(self, error: Exception) -> None:
        """Tell what went wrong."""
        if isinstance(error, Cancelled):
            self.tell(phase="cancelled", line=error.message)
            return
        if not isinstance(error, VoidBridgeError):
            log.error("job %s: unforeseen", self.state.id, exc_info=error)
        self.tell(phase="failed", line=artist_message(error))

    def _lose(self, error: NoServer) -> None:
        """A server that does not answer says nothing about frames that are all there."""
        ready = frames_ready(self.state)
        if set(FrameRange.parse(self.state.frames)) <= set(ready):
            self.tell(phase="done", ready=str(ready), line=f"{len(ready)} frames are here; their server is gone")
        else:
            self.tell(phase="lost", line=f"{artist_message(error)}. The job may go on there: Reload asks again")

    def _client(self) -> Client:
        config = config_of(self._settings, self._interactive)
        return connect(config, notice=lambda text: self.tell(line=text))

    def _submit(self, order: Order) -> None:
        self.tell(phase="sending", line="looking for a server")
        with self._client() as client:
            client.submit(order.job, id=order.id, on_progress=self._on_progress)
            self.tell(phase="queued", line="queued", output=client.result(order.id).job.output)
            try:
                self._follow(client)
            except NoServer as exc:
                self._lose(exc)

    def _on_progress(self, stage: str, done: int, total: int) -> None:
        if self.cancel_sending.is_set():
            raise Cancelled("cancelled while frames were sent")
        self.tell(line=step_text(stage, done, total))

    def _follow(self, client: Client) -> None:
        self.tell(ready=str(frames_ready(self.state)))
        writer = FrameWriter(client, self.state.id, None, overwrite=False, on_frame=self._landed)
        last: Optional[JobStatus] = None
        for event in client.watch(self.state.id):
            if self.stop.is_set():
                return
            if isinstance(event, JobStatus):
                last = event
                if event.state not in FINAL_STATES:
                    writer.fetch_published(event.frames_done)
                    self._tell_status(event)
        if last is None:
            return
        if last.frames_done:
            self.tell(line="bringing the last frames home")
            writer.finish()
        self._tell_end(client, last)

    def _tell_status(self, status: JobStatus) -> None:
        phase = "running" if status.state == "running" else "queued"
        self.tell(phase=phase, line=status_text(status))

    def _landed(self, frame: int, path: Path) -> None:
        held = FrameRange.parse(self.state.ready) if self.state.ready else ()
        self.tell(ready=str(FrameRange([*held, frame])))

    def _tell_end(self, client: Client, status: JobStatus) -> None:
        lines = tuple(report_lines(client.result(status.id).report))
        heed = "; look at the warnings" if any(line.startswith("warning") for line in lines) else ""
        done = f"{status.frames_done} frames in {duration_text(status.seconds)} by {status.engine}{heed}"
        failure = artist_message(error_from_code(status.error.code, status.error.message)) if status.error else "failed"
        line = {"done": done, "cancelled": "cancelled"}.get(status.state, failure)
        self.tell(phase=status.state, line=line, ready=str(frames_ready(self.state)), report=lines)

    def _follow_disk(self) -> None:
        wanted = FrameRange.parse(self.state.frames)
        folder = Path(Sequence.parse(self.state.output).folder)
        while not self.stop.is_set():
            ready = frames_ready(self.state)
            if set(wanted) <= set(ready):
                self.tell(phase="done", line=f"{len(wanted)} frames came from the farm", ready=str(ready))
                return
            self._tell_news(self._news(folder), str(ready))
            self.stop.wait(DISK_POLL_S)

    def _tell_news(self, news: FarmJobStatus, ready: str) -> None:
        farm = news.farm or self.state.farm
        waiting = f"no farm has taken it yet; a wrangler can: void-bridge farm submit {job_file(self.state)}"
        line = f"{farm}: {news.line or 'waits for frames'}" if farm else waiting
        self.tell(farm=farm, ready=ready, line=line)


def frames_ready(state: JobState) -> FrameRange:
    """The frames of a job that are on disk; each appears there whole or not at all."""
    wanted = set(FrameRange.parse(state.frames)) if state.frames else set()
    held = Sequence.parse(state.output).frames_on_disk() if state.output else ()
    return FrameRange(frame for frame in held if frame in wanted)


def job_file(state: JobState) -> Path:
    """The job.json of a job that has an output."""
    return Path(str(Sequence.parse(state.output).path(1))).parent / JOB_FILE_NAME
