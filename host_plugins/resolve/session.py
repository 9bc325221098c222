"""One run of the script in one composition: what its buttons do, and the news of its jobs.

Everything here runs on the script's own thread. The controller's threads put their calls into a queue, which `drain`
empties: a window's timer calls it, or the loop of a script without windows.
"""

from __future__ import annotations

import logging
import queue
from pathlib import Path
from typing import Callable, List, Protocol, Tuple

from host_plugins.control.controller import Controller
from host_plugins.control.desktop import show_folder
from host_plugins.control.error_messages import artist_message
from host_plugins.control.job_follower import job_file
from host_plugins.control.settings import Settings
from host_plugins.control.state import JobState
from host_plugins.control.tools import Tools
from host_plugins.farm.host_submission import news
from host_plugins.resolve.choice import ToolChoice, plate_tool
from host_plugins.resolve.comp_data import (
    ensure_shot_token,
    jobs_of,
    plate_of_shot,
    save_choice,
    save_job,
    save_job_news,
    saved_choice,
    shot_token,
    shots_with_job,
)
from host_plugins.resolve.farm import FarmSubmission
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.plan import DEPTHS, output_root
from host_plugins.resolve.result import PASTE, paste_matte_pattern, place, shows_job
from host_plugins.resolve.submit import FusionSubmission, PreparedShot, preview_job
from void_bridge.errors import InputError, UsageError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.job import Job
from void_bridge.protocol.messages import JobStatus
from void_bridge.sequence import Sequence

log = logging.getLogger(__name__)

OnPlaced = Callable[[JobState, str], None]  # the job, the pattern of what a Loader shows now


class SessionView(Protocol):
    """What shows things to the artist: a window, or dialogs and the console."""

    def show_line(self, text: str) -> None:
        """One line about how things stand."""

    def show_state(self, token: str, state: JobState) -> None:
        """How a shot's job stands."""

    def show_picture(self, path: str) -> None:
        """A PNG."""

    def tell(self, text: str) -> None:
        """Something that has to be read."""


class FusionSession:
    """The buttons raise; call them through `report_errors`, which turns that into words.

    Args:
        on_placed: told what is new in the composition.
    """

    def __init__(self, host: FusionHost, front: SessionView, on_placed: OnPlaced = lambda state, pattern: None) -> None:
        self.host, self.comp, self.front = host, host.comp, front
        self._queue: queue.Queue[Callable[[], None]] = queue.Queue()
        self.controller = Controller(self._queue.put, self._news, farm_status=news)
        self.submission = FusionSubmission(self.comp, self._ready, front.tell)
        self.farm = FarmSubmission(host, self.submission, self.controller, self._remember)
        self._tools = Tools(self._queue.put)
        self._on_placed = on_placed
        self._asked = 0  # questions that have not been answered

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still to come: a preview, a word from the server."""
        return self._asked > 0

    def report_errors(self, call: Callable[[], object]) -> bool:
        """Do it, and tell what goes wrong. Returns whether it went well."""
        try:
            call()
        except Exception as exc:
            if not isinstance(exc, VoidBridgeError):
                log.exception("an action failed")
            self.front.tell(artist_message(exc))
            return False
        return True

    def drain(self, wait_s: float = 0.0) -> None:
        """Run what other threads want done here, waiting a while for the first of it, and look after an export."""
        try:
            call = self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait()
            while True:
                self.report_errors(call)
                call = self._queue.get_nowait()
        except queue.Empty:
            pass
        if self.submission.is_waiting:
            self.report_errors(self._look_for_frames)

    def resume(self) -> None:
        """Pick up what the composition remembers: jobs that run, and results that are home and not shown yet."""
        for token, state in jobs_of(self.comp).items():
            if state.is_alive:
                self.front.show_state(token, state)
                self.controller.follow(state, self._settings_for(token, state))
            elif state.phase == "done" and not shows_job(self.comp, token, state) and plate_of_shot(self.comp, token):
                self.report_errors(lambda token=token, state=state: self._place(token, state))  # type: ignore[misc]

    def submit(self, choice: ToolChoice, settings: Settings, depth: str = DEPTHS[0]) -> None:
        """Render plate and mattes, make a new version, and hand the job over."""
        if settings.where == "farm":
            self.farm.start(choice, settings, depth)
        else:
            self.submission.start(choice, settings, depth)

    def cancel(self, token: str) -> None:
        """Ask for the end of a shot's job, or stop waiting for frames."""
        if self.submission.is_waiting:
            self._give_up()
            self.front.show_line("The export was cancelled.")
            return
        state = jobs_of(self.comp).get(token, JobState())
        if not state.is_alive:
            self.front.show_line("Nothing runs for this plate.")
            return
        show = self.front.show_line
        # A job that was handed over has no server to answer; its state tells.
        on_line = show if state.phase == "handed_over" else self._once(show)
        self.controller.cancel(state, self._settings_for(token, state), on_line)

    def reload(self, token: str) -> None:
        """Ask again how the job stands, and show its frames again."""
        state = self._state(token)
        if state.phase == "done":
            self._place(token, state)
        elif state.phase != "cancelled":
            self.controller.follow(state, self._settings_for(token, state))

    def preview(self, choice: ToolChoice, settings: Settings) -> None:
        """One frame as the model would see it: through the colour space that was named, with the mattes over it."""
        job, frame, picture = preview_job(self.comp, choice, settings)
        self.front.show_line("Making the preview...")
        self._tools.preview(job, frame, picture, settings, self._once(self._on_preview))

    def compare(self, token: str) -> None:
        """Have a movie made of the finished job: before, after, wipe."""
        state = self._state(token)
        if state.phase != "done":
            raise UsageError("there is no finished result to compare; submit first")
        self.front.show_line("Making the comparison...")
        self._tools.compare(job_file(state), self._settings_for(token, state), self._once(self._on_movie))

    def open_folder(self, token: str, settings: Settings) -> None:
        """Show the folder of a shot's result, or that where results go."""
        state = jobs_of(self.comp).get(token)
        show_folder(Path(Sequence.parse(state.output).folder) if state else output_root(self.comp, settings))

    def check_server(self, settings: Settings) -> None:
        """Say which server answers."""
        self.front.show_line("Asking...")
        self.controller.check(settings, self._once(self.front.show_line))

    def free_gpu(self, settings: Settings) -> None:
        """Have idle workers give their GPU memory back."""
        self.controller.free(settings, self._once(self.front.show_line))

    def find_jobs(self, settings: Settings, on_found: Callable[[Tuple[JobStatus, ...], str], None]) -> None:
        """List the server's jobs."""
        self.controller.jobs(settings, self._once(on_found))

    def adopt(self, id: str, choice: ToolChoice, settings: Settings) -> None:
        """Show a job that the server knows, by its number, beside a plate: one whose composition is gone, say."""
        plate = plate_tool(self.comp, choice)

        def found(state: JobState, job: Job) -> None:
            token = ensure_shot_token(self.comp, plate)
            save_choice(self.comp, plate, choice, settings)
            self._remember(token, state)
            self.controller.follow(state, settings)

        settled = self._once(lambda: None)

        def missed(line: str) -> None:
            settled()
            if line:
                self.front.show_line(line)

        self.controller.find(id, settings, found, missed)

    def sending(self) -> List[str]:
        """The shots that are on their way to the server or the farm; that ends with this script."""
        jobs = jobs_of(self.comp).items() if self.host.is_alive() else ()
        away = [(token, state) for token, state in jobs if self.controller.is_following(state.id)]
        return [token for token, s in away if s.phase == "sending" or (s.phase == "handed_over" and not s.farm)]

    def token_for(self, choice: ToolChoice) -> str:
        """Of the plate that is chosen, empty where it has never been submitted."""
        tool = self.comp.FindTool(choice.plate) if choice.plate else None
        return shot_token(tool) if tool is not None else ""

    def close(self) -> None:
        """Jobs go on at their servers; the composition is as it was."""
        if self.host.is_alive():
            self.report_errors(self._give_up)
        self.controller.stop()

    def _ready(self, prepared: PreparedShot) -> None:
        if prepared.order.settings.where == "farm":
            self.farm.take(prepared)
        else:
            self._remember(prepared.token, self.controller.submit(prepared.order))

    def _remember(self, token: str, state: JobState) -> None:
        save_job(self.comp, token, state)
        self.front.show_state(token, state)

    def _give_up(self) -> None:
        self.submission.give_up()
        self.farm.give_up()

    def _look_for_frames(self) -> None:
        missing = self.submission.look()
        if self.submission.is_waiting:
            self.front.show_line(f"Waiting for Render All Savers: {missing} frames to come.")
        else:
            self.farm.go_on()

    def _news(self, state: JobState) -> None:
        if not self.host.is_alive():
            return
        for token in shots_with_job(self.comp, state.id):
            save_job_news(self.comp, token, state)
            self.front.show_state(token, state)
            if state.phase == "done":
                self._place(token, state)

    def _place(self, token: str, state: JobState) -> None:
        """The frames now; the paste matte when it has been written beside them."""
        if not Sequence.parse(state.output).path(FrameRange.parse(state.frames).first).is_file():
            raise InputError(f"the frames are not at {state.output} any more; find the job again, or submit again")
        place(self.comp, token, state)
        self._on_placed(state, state.output)

        def written(path: str, words: str) -> None:
            if words:
                self.front.tell(f"The result is there, its paste matte is not: {words}")
            elif self.host.is_alive() and state.id == jobs_of(self.comp).get(token, JobState()).id:
                place(self.comp, token, state, PASTE)
                self._on_placed(state, path)

        settings = self._settings_for(token, state)
        self._tools.paste_sequence(job_file(state), paste_matte_pattern(state), settings, self._once(written))

    def _once(self, answer: Callable[..., None]) -> Callable[..., None]:
        """`answer`, counted as a question until it comes."""
        self._asked += 1

        def counted(*values: object) -> None:
            self._asked -= 1
            answer(*values)

        return counted

    def _on_preview(self, path: str, words: str) -> None:
        if words:
            self.front.tell(words)
            return
        self.front.show_picture(path)
        self.front.show_line(f"The preview is {path}")

    def _on_movie(self, path: str, words: str) -> None:
        self.front.show_line(words or f"The comparison is {path}")

    def _state(self, token: str) -> JobState:
        state = jobs_of(self.comp).get(token)
        if state is None:
            raise UsageError("this plate has no job yet; submit first")
        return state

    def _settings_for(self, token: str, state: JobState) -> Settings:
        """The plate's settings, but with the server that has the job."""
        owner = plate_of_shot(self.comp, token)
        settings = saved_choice(self.comp, owner.Name)[1] if owner is not None else Settings()
        return state.settings_at_its_server(settings)
