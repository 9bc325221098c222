"""Without windows: the same settings in Fusion's AskUser dialog, and a loop that waits and prints.

The loop belongs to the script, which Fusion runs beside its interface. To stop it, run the script again and choose
"stop waiting"; the job goes on.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

from host_plugins.control.request import prompt_hint
from host_plugins.control.settings import Settings, setting_specs, settings_from
from host_plugins.control.state import JobState
from host_plugins.resolve.buttons import BUTTONS
from host_plugins.resolve.choice import NONE, ROLES, ToolChoice, matte_names, plate_names
from host_plugins.resolve.comp_data import STOP, jobs_of, saved_choice
from host_plugins.resolve.controls import Control, control, dropdown, notice, numbered, values_of
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.plan import DEPTHS
from host_plugins.resolve.session import FusionSession, OnPlaced
from host_plugins.resolve.window import TITLE
from host_plugins.resolve.windowed import initial_choice
from void_bridge.errors import UsageError
from void_bridge.protocol.messages import JobStatus

if TYPE_CHECKING:
    from fusionscript import Composition

ACTIONS: Tuple[Tuple[str, str], ...] = (
    ("submit", "Submit, and wait for the result"),
    ("leave", "Submit, and look later: run this script again"),
    ("reload", "Wait for this plate's job, or show its result again"),
    *((button.name, button.label) for button in BUTTONS if button.name not in ("submit", "reload")),
    ("stop", "Stop waiting, in the other run of this script"),
)
LOOK_S = 0.5

Controls = Dict[int, Control]


@dataclasses.dataclass(frozen=True)
class DialogState:
    """What a dialog shows. is_last: none follows."""

    choice: ToolChoice
    settings: Settings
    depth: str = DEPTHS[0]
    action: str = "submit"
    is_last: bool = False


class Dialogs:
    """The dialogs and the console as a `SessionView`."""

    def __init__(self, host: FusionHost, on_placed: Optional[OnPlaced] = None) -> None:
        self.host, self.comp = host, host.comp
        self.session = FusionSession(host, self, on_placed) if on_placed else FusionSession(host, self)
        self._told: List[str] = []
        self._said = ""

    def run(self, choice: Optional[ToolChoice] = None) -> None:
        """Ask, do, and ask again after everything that is not a submission. Cancel ends the script."""
        choice = choice or initial_choice(self.host)
        before, settings = saved_choice(self.comp, choice.plate)
        asked = DialogState(choice if choice.mattes else before, settings)
        self.session.resume()
        try:
            while not asked.is_last:
                asked = self._turn(asked)
        finally:
            self.session.close()

    def _turn(self, asked: DialogState) -> DialogState:
        """One dialog and what follows from it. Returns what the next one shows."""
        answer = self.comp.AskUser(TITLE, controls(self.comp, asked, self._notes()))
        if answer is None:
            return dataclasses.replace(asked, is_last=True)
        choice, depth, action = read_choice(self.comp, answer)
        went_well = self.session.report_errors(lambda: self._do(answer, choice, depth, action))
        is_last = went_well and action in ("submit", "leave", "reload", "stop")
        return DialogState(choice, read_settings(answer, asked.settings), depth, action, is_last)

    def show_line(self, text: str) -> None:
        self._print(text)

    def show_state(self, token: str, state: JobState) -> None:
        self._print(state.line)
        for line in state.report:
            self._print(line)

    def show_picture(self, path: str) -> None:
        self._told.append(f"The preview lies at {path}")

    def tell(self, text: str) -> None:
        self._told.append(text)
        self._print(text)

    def _do(self, answer: Mapping[str, Any], choice: ToolChoice, depth: str, action: str) -> None:
        settings = settings_from(values_of(answer, setting_specs()))
        session, token = self.session, self.session.token_for(choice)
        hint = prompt_hint(settings.prompt)
        if hint and action in ("submit", "leave"):
            self._print(hint)
        if action in ("submit", "leave"):
            session.submit(choice, settings, depth)
            self._until(self._is_away if action == "leave" else self._is_over)
        elif action == "stop":
            self.comp.SetData(STOP, 1)
        else:
            self._answer(action, choice, settings, token)

    def _answer(self, action: str, choice: ToolChoice, settings: Settings, token: str) -> None:
        """Do it, and wait for the answer."""
        session = self.session
        actions: Dict[str, Callable[[], None]] = {
            "preview": lambda: session.preview(choice, settings),
            "cancel": lambda: session.cancel(token),
            "reload": lambda: session.reload(token),
            "compare": lambda: session.compare(token),
            "open_folder": lambda: session.open_folder(token, settings),
            "check_server": lambda: session.check_server(settings),
            "free_gpu": lambda: session.free_gpu(settings),
            "find_jobs": lambda: session.find_jobs(settings, lambda jobs, words: self._found(jobs, words, choice)),
        }
        actions[action]()
        self._until(self._is_over if action == "reload" else lambda: not session.is_busy)

    def _found(self, jobs: Tuple[JobStatus, ...], words: str, choice: ToolChoice) -> None:
        if words or not jobs:
            self.tell(words or "The server has no jobs.")
            return
        lines = {i: f"{each.id}  {each.state}  {each.frames_done}/{each.frames}" for i, each in enumerate(jobs, 1)}
        control = {1: "job", 2: "Dropdown", "Name": "job", "Options": lines, "Default": 0}
        answer = self.comp.AskUser(f"{TITLE}: find a job", {1: control})
        if answer is not None:
            self.session.adopt(jobs[int(answer["job"])].id, choice, saved_choice(self.comp, choice.plate)[1])

    def _until(self, condition: Callable[[], bool]) -> None:
        """Drain until then, until somebody stops it in another run, or until the composition is closed."""
        self.comp.SetData(STOP, None)
        while self.host.is_alive() and not condition():
            if self.comp.GetData(STOP):
                self.comp.SetData(STOP, None)
                self._print("no longer waiting; run the script again to look after the job")
                return
            self.session.drain(LOOK_S)

    def _is_away(self) -> bool:
        return not self.session.submission.is_waiting and not self.session.sending()

    def _is_over(self) -> bool:
        following = self.session.controller.is_following
        busy = any(following(state.id) for state in jobs_of(self.comp).values() if state.is_alive)
        return not (busy or self.session.submission.is_waiting or self.session.is_busy)

    def _notes(self) -> str:
        notes, self._told = "\n".join(self._told), []
        return notes

    def _print(self, text: str) -> None:
        if text and text != self._said and self.host.is_alive():
            self._said = text
            self.comp.Print(f"VOID Remove: {text}\n")


def controls(comp: Composition, asked: DialogState, notes: str) -> Controls:
    """The dialog: what is to be done, the tools, and every setting under its own name."""
    found: List[Control] = []
    if notes:
        found.append(notice("notes", "Said", notes))
    found.append(
        dropdown("action", "do", [text for _, text in ACTIONS], [name for name, _ in ACTIONS].index(asked.action))
    )
    plates, mattes = [NONE, *plate_names(comp)], [NONE, *matte_names(comp)]
    found.append(dropdown("tool_plate", "plate", plates, _place(plates, asked.choice.plate)))
    for role in ROLES:
        found.append(dropdown(f"tool_{role}", role, mattes, _place(mattes, asked.choice.mattes.get(role, ""))))
        found.append({1: f"invert_{role}", 2: "Checkbox", "Name": f"{role} is drawn the other way"})
        found[-1]["Default"] = int(role in asked.choice.inverted)
    found += [control(spec, getattr(asked.settings, spec.name)) for spec in setting_specs()]
    found.append(dropdown("depth", "written as", list(DEPTHS), DEPTHS.index(asked.depth)))
    return numbered(found)


def read_choice(comp: Composition, answer: Mapping[str, Any]) -> Tuple[ToolChoice, str, str]:
    """The tools, the depth and the action that were chosen."""
    plates, mattes = [NONE, *plate_names(comp)], [NONE, *matte_names(comp)]
    chosen = {role: mattes[int(answer[f"tool_{role}"])] for role in ROLES}
    plate = plates[int(answer["tool_plate"])]
    choice = ToolChoice(
        "" if plate == NONE else plate,
        {role: name for role, name in chosen.items() if name != NONE},
        tuple(role for role in ROLES if answer[f"invert_{role}"]),
    )
    return choice, DEPTHS[int(answer["depth"])], ACTIONS[int(answer["action"])][0]


def read_settings(answer: Mapping[str, Any], before: Settings) -> Settings:
    """As they were typed, those that make no sense as they were before, so that the next dialog shows them."""
    settings = before
    for name, value in values_of(answer, setting_specs()).items():
        try:
            settings = dataclasses.replace(settings, **{name: getattr(settings_from({name: value}), name)})
        except UsageError:  # it has been told what is wrong with it
            continue
    return settings


def _place(names: List[str], name: str) -> int:
    return names.index(name) if name in names else 0


def run_dialogs(host: FusionHost, choice: Optional[ToolChoice] = None, on_placed: Optional[OnPlaced] = None) -> None:
    """Ask and do until the artist cancels the dialog or a submission is over."""
    Dialogs(host, on_placed).run(choice)
