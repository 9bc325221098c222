"""One run of the script in one composition: the actions of its buttons, and the states of its jobs.

Everything here runs on the script's own thread. The controller's threads put their calls into a queue, which `drain`
empties: the window's timer calls it, or the loop of a script without windows.
"""

from __future__ import annotations

import logging
import queue
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Protocol, Tuple

from host_plugins.control.controller import Controller
from host_plugins.control.desktop import show_folder
from host_plugins.control.error_messages import artist_message
from host_plugins.control.job_follower import job_file
from host_plugins.control.settings import Page, Settings
from host_plugins.control.state import JobState
from host_plugins.control.tools import PixelTools
from host_plugins.farm.host_submission import farm_status
from host_plugins.resolve.choice import ToolChoice, plate_tool
from host_plugins.resolve.comp_data import (
    ensure_shot_token,
    jobs_of,
    plate_of_shot,
    save_choice,
    save_job,
    saved_choice,
    shot_token,
    shots_with_job,
    update_job,
)
from host_plugins.resolve.controls import dropdown, numbered
from host_plugins.resolve.export import output_root
from host_plugins.resolve.farm import FusionFarmSubmission
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.result import PASTE, RESULT, paste_matte_pattern, place_loader, shows_job
from host_plugins.resolve.submit import FusionSubmission, PreparedShot, preview_job
from void_bridge.errors import InputError, UsageError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.job import Job
from void_bridge.protocol.messages import JobStatus
from void_bridge.sequence import Sequence

log = logging.getLogger(__name__)

TITLE = "VOID Remove"
OnPlaced = Callable[[JobState, str], None]  # the job, and the pattern of the files that a Loader shows now


class SessionView(Protocol):
    """The display for the artist: a window, or dialogs and the console."""

    def show_status(self, text: str) -> None:
        """Show one line about the current action."""

    def show_state(self, token: str, state: JobState) -> None:
        """Show the state of a shot's job."""

    def show_picture(self, path: str) -> None:
        """Show a PNG."""

    def show_message(self, text: str) -> None:
        """Show a message that the artist has to read."""

    def show_engines(self, engines: Tuple[str, ...]) -> None:
        """Offer the engines of a server that answered."""


class PanelButton(NamedTuple):
    """A button of the window, which is also an action of the dialog where there are no windows.

    Attributes:
        name: the action, as `FusionSession.perform` takes it.
        label: the text on the button.
        tip: the tool tip.
        page: the page of the window that it is on.
    """

    name: str
    label: str
    tip: str
    page: Page = "remove"


BUTTONS: Tuple[PanelButton, ...] = (
    PanelButton("submit", "Submit", "Render plate and mattes, and submit the job. Every submission is a new version."),
    PanelButton(
        "preview", "Preview", "Show this frame in the colour space above, with the mattes as the model sees them."
    ),
    PanelButton("cancel", "Cancel", "Stop this plate's job. Finished frames stay on disk."),
    PanelButton("reload", "Reload", "Update the job's status, and show the finished frames again."),
    PanelButton("compare", "Compare", "Write a movie: before, after, and a wipe."),
    PanelButton("open_folder", "Open folder", "Show the folder of the result."),
    PanelButton("check_server", "Check", "Check which server answers, and list its engines.", "server"),
    PanelButton("free_gpu", "Free GPU", "Release the GPU memory of idle workers.", "server"),
    PanelButton(
        "find_jobs",
        "Find jobs...",
        "Show a job of the server for this plate, for example one whose comp is lost.",
        "server",
    ),
)


class FusionSession:
    """The actions of the artist and the jobs of a composition.

    The actions raise VoidBridgeError; call them through `report_errors`, which shows the error.

    Args:
        host: the application and the composition.
        view: shows states and messages.
        on_placed: called after a Loader has got new files.
    """

    def __init__(self, host: FusionHost, view: SessionView, on_placed: Optional[OnPlaced] = None) -> None:
        self.host, self.comp, self.view = host, host.comp, view
        self._queue: queue.Queue[Callable[[], None]] = queue.Queue()
        self.controller = Controller(
            self._queue.put, self._on_state, farm_status=farm_status, on_engines=view.show_engines
        )
        self.submission = FusionSubmission(self.comp, self._on_prepared, view.show_message)
        self.farm = FusionFarmSubmission(host, self.submission, self.controller, self._save_job)
        self._tools = PixelTools(self._queue.put)
        self._on_placed = on_placed
        self._open_questions = 0

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still to come, of the server or of a child process."""
        return self._open_questions > 0

    def report_errors(self, call: Callable[[], object]) -> bool:
        """Call a function, show the error if it raises one, and return whether it succeeded."""
        try:
            call()
        except Exception as exc:
            if not isinstance(exc, VoidBridgeError):
                log.exception("an action failed")
            self.view.show_message(artist_message(exc))
            return False
        return True

    def drain(self, wait_s: float = 0.0) -> None:
        """Run the calls that other threads have queued, and check for frames that the artist renders.

        Args:
            wait_s: how long to wait for the first call, in seconds.
        """
        try:
            call = self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait()
            while True:
                self.report_errors(call)
                call = self._queue.get_nowait()
        except queue.Empty:
            pass
        if self.submission.is_waiting:
            self.report_errors(self._check_frames)

    def resume(self) -> None:
        """Follow the composition's running jobs, and show finished results that no Loader shows yet."""
        for token, state in jobs_of(self.comp).items():
            if state.is_alive:
                self.view.show_state(token, state)
                self.controller.follow(state, self._settings_for(token, state))
            elif state.phase == "done" and not shows_job(self.comp, token, state) and plate_of_shot(self.comp, token):
                self.report_errors(lambda token=token, state=state: self._show_result(token, state))  # type: ignore[misc]

    def perform(self, action: str, choice: ToolChoice, settings: Callable[[], Settings], depth: str) -> None:
        """Perform the action of a button.

        Args:
            action: the name of the button.
            choice: the tools that are chosen.
            settings: returns the settings, or raises if they cannot be used; called by actions that need them.
            depth: the pixel type of the plate, one of `export.DEPTHS`.
        """
        token = self.token_for(choice)
        actions: Dict[str, Callable[[], None]] = {
            "submit": lambda: self.submit(choice, settings(), depth),
            "preview": lambda: self.preview(choice, settings()),
            "cancel": lambda: self.cancel(token),
            "reload": lambda: self.reload(token),
            "compare": lambda: self.compare(token),
            "open_folder": lambda: self.open_folder(token, settings()),
            "check_server": lambda: self.check_server(settings()),
            "free_gpu": lambda: self.free_gpu(settings()),
            "find_jobs": lambda: self.find_jobs(choice, settings()),
        }
        actions[action]()

    def submit(self, choice: ToolChoice, settings: Settings, depth: str) -> None:
        """Render plate and mattes, make a new version, and submit the job."""
        if settings.where == "farm":
            self.farm.start(choice, settings, depth)
        else:
            self.submission.start(choice, settings, depth)

    def cancel(self, token: str) -> None:
        """Cancel a shot's job, or the export that waits for the artist's render."""
        if self.submission.is_waiting:
            self._cancel_export()
            self.view.show_status("The export was cancelled.")
            return
        state = jobs_of(self.comp).get(token, JobState())
        if not state.is_alive:
            self.view.show_status("No job is running for this plate.")
            return
        show = self.view.show_status
        # The job of a farm has no server that answers; the next state says that it was cancelled.
        on_line = show if state.phase == "handed_over" else self._count_question(show)
        self.controller.cancel(state, self._settings_for(token, state), on_line)

    def reload(self, token: str) -> None:
        """Ask again for the state of a shot's job, or show its finished frames again."""
        state = self._job(token)
        if state.phase == "done":
            self._show_result(token, state)
        elif state.phase != "cancelled":
            self.controller.follow(state, self._settings_for(token, state))

    def preview(self, choice: ToolChoice, settings: Settings) -> None:
        """Make a picture of one frame in the named colour space, with the mattes over it."""
        job, frame, picture = preview_job(self.comp, choice, settings)
        self.view.show_status("Writing the preview...")
        self._tools.preview(job, frame, picture, settings, self._count_question(self._on_preview))

    def compare(self, token: str) -> None:
        """Make a movie of the finished job: before, after, wipe."""
        state = self._job(token)
        if state.phase != "done":
            raise UsageError("there is no finished result to compare; submit first")
        self.view.show_status("Writing the comparison...")
        self._tools.compare(job_file(state), self._settings_for(token, state), self._count_question(self._on_movie))

    def open_folder(self, token: str, settings: Settings) -> None:
        """Open the folder of a shot's result in the desktop, or the folder for results."""
        state = jobs_of(self.comp).get(token)
        show_folder(Path(Sequence.parse(state.output).folder) if state else output_root(self.comp, settings))

    def check_server(self, settings: Settings) -> None:
        """Show which server answers."""
        self.view.show_status("Asking...")
        self.controller.check(settings, self._count_question(self.view.show_status))

    def free_gpu(self, settings: Settings) -> None:
        """Ask the server to free the GPU memory of idle workers."""
        self.controller.free(settings, self._count_question(self.view.show_status))

    def find_jobs(self, choice: ToolChoice, settings: Settings) -> None:
        """List the server's jobs in a dialog, and adopt the one that the artist chooses."""

        def choose(jobs: Tuple[JobStatus, ...], error: str) -> None:
            if error or not jobs:
                self.view.show_message(error or "The server has no jobs.")
                return
            lines = [f"{job.id}  {job.state}  {job.frames_done}/{job.frames}" for job in jobs]
            answer = self.comp.AskUser(f"{TITLE}: find a job", numbered([dropdown("job", "job", lines, 0)]))
            if answer is not None:
                self.adopt(jobs[int(answer["job"])].id, choice, settings)

        self.controller.jobs(settings, self._count_question(choose))

    def adopt(self, id: str, choice: ToolChoice, settings: Settings) -> None:
        """Make a job of the server, for example of a lost composition, the job of the chosen plate.

        Args:
            id: the id of the job.
            choice: the plate and the mattes to store with it.
            settings: say which server has the job.
        """
        plate = plate_tool(self.comp, choice)

        def on_found(state: JobState, job: Job) -> None:
            token = ensure_shot_token(self.comp, plate)
            save_choice(self.comp, plate, choice, settings)
            self._save_job(token, state)
            self.controller.follow(state, settings)

        def on_answer(line: str) -> None:
            if line:
                self.view.show_status(line)

        self.controller.find(id, settings, on_found, self._count_question(on_answer))

    def unsent_shots(self) -> List[str]:
        """Return the tokens of the shots that the server or the farm does not have yet.

        Sending them ends with the script.
        """
        jobs = jobs_of(self.comp).items() if self.host.is_alive() else ()
        following = [(token, state) for token, state in jobs if self.controller.is_following(state.id)]
        return [token for token, s in following if s.phase == "sending" or (s.phase == "handed_over" and not s.farm)]

    def token_for(self, choice: ToolChoice) -> str:
        """Return the token of the chosen plate, or an empty string if it was never submitted."""
        tool = self.comp.FindTool(choice.plate) if choice.plate else None
        return shot_token(tool) if tool is not None else ""

    def close(self) -> None:
        """Discard exports that wait, and stop following jobs, which go on at their servers."""
        if self.host.is_alive():
            self.report_errors(self._cancel_export)
        self.controller.stop()

    def _on_prepared(self, prepared: PreparedShot) -> None:
        if prepared.order.settings.where == "farm":
            self.farm.add_export(prepared)
        else:
            self._save_job(prepared.token, self.controller.submit(prepared.order))

    def _save_job(self, token: str, state: JobState) -> None:
        save_job(self.comp, token, state)
        self.view.show_state(token, state)

    def _cancel_export(self) -> None:
        self.submission.cancel()
        self.farm.cancel()

    def _check_frames(self) -> None:
        missing = self.submission.check_frames()
        if self.submission.is_waiting:
            self.view.show_status(f"Waiting for Render All Savers: {missing} frames are missing.")
        else:
            self.farm.export_next()

    def _on_state(self, state: JobState) -> None:
        """Store and show a new state of a job, and its result when it is done."""
        if not self.host.is_alive():
            return
        for token in shots_with_job(self.comp, state.id):
            update_job(self.comp, token, state)
            self.view.show_state(token, state)
            if state.phase == "done":
                self._show_result(token, state)

    def _show_result(self, token: str, state: JobState) -> None:
        """Show the frames in a Loader, and the paste matte in another once it has been written beside them."""
        if not Sequence.parse(state.output).path(FrameRange.parse(state.frames).first).is_file():
            raise InputError(f"the frames are no longer at {state.output}; find the job again, or submit again")
        self._place_loader(token, state, state.output)

        def on_paste_matte(path: str, error: str) -> None:
            if error:
                self.view.show_message(f"The result is loaded, but its paste matte could not be written: {error}")
            elif self.host.is_alive() and state.id == jobs_of(self.comp).get(token, JobState()).id:
                self._place_loader(token, state, path, PASTE)

        settings, pattern = self._settings_for(token, state), paste_matte_pattern(state)
        self._tools.paste_sequence(job_file(state), pattern, settings, self._count_question(on_paste_matte))

    def _place_loader(self, token: str, state: JobState, pattern: str, kind: str = RESULT) -> None:
        place_loader(self.comp, token, state, kind)
        if self._on_placed is not None:
            self._on_placed(state, pattern)

    def _count_question(self, on_answer: Callable[..., None]) -> Callable[..., None]:
        """Count a question as open until `on_answer` is called, and return the function to call instead of it."""
        self._open_questions += 1

        def counted(*values: object) -> None:
            self._open_questions -= 1
            on_answer(*values)

        return counted

    def _on_preview(self, path: str, error: str) -> None:
        if error:
            self.view.show_message(error)
            return
        self.view.show_picture(path)
        self.view.show_status(f"The preview was written to {path}")

    def _on_movie(self, path: str, error: str) -> None:
        self.view.show_status(error or f"The comparison was written to {path}")

    def _job(self, token: str) -> JobState:
        state = jobs_of(self.comp).get(token)
        if state is None:
            raise UsageError("this plate has no job yet; submit first")
        return state

    def _settings_for(self, token: str, state: JobState) -> Settings:
        """Return the plate's settings with the server that has the job."""
        plate = plate_of_shot(self.comp, token)
        settings = saved_choice(self.comp, plate.Name)[1] if plate is not None else Settings()
        return state.settings_at_its_server(settings)
