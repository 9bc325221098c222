"""The script without windows: the same settings in Fusion's AskUser dialog, and a loop that waits and prints.

The loop belongs to the script, which Fusion runs beside its interface. To stop it, run the script again and choose
"Stop waiting"; the job goes on.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

from host_plugins.control.request import prompt_hint
from host_plugins.control.settings import Settings, offered_specs, settings_from
from host_plugins.control.state import JobState
from host_plugins.resolve.choice import NONE, ROLES, ToolChoice, matte_names, plate_names
from host_plugins.resolve.comp_data import STOP, initial_choice, jobs_of, saved_choice
from host_plugins.resolve.controls import Control, control, dropdown, notice, numbered, values_of
from host_plugins.resolve.export import DEPTHS
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.session import BUTTONS, TITLE, FusionSession, OnPlaced
from void_bridge.errors import UsageError
from void_bridge.options import Option

if TYPE_CHECKING:
    from fusionscript import Composition

ACTIONS: Tuple[Tuple[str, str], ...] = (
    ("submit", "Submit, and wait for the result"),
    ("leave", "Submit, and do not wait: run this script again for the result"),
    ("reload", "Wait for this plate's job, or show its result"),
    *((button.name, button.label) for button in BUTTONS if button.name not in ("submit", "reload")),
    ("stop", "Stop the run of this script that is waiting"),
)
POLL_S = 0.5


@dataclasses.dataclass(frozen=True)
class DialogState:
    """The values that a dialog shows.

    Attributes:
        choice: the tools.
        settings: the settings.
        depth: the pixel type of the plate, one of `export.DEPTHS`.
        action: the action that is chosen, one of ACTIONS.
        is_last: whether the script ends instead of showing it.
    """

    choice: ToolChoice
    settings: Settings
    depth: str = DEPTHS[0]
    action: str = "submit"
    is_last: bool = False


class Dialogs:
    """The dialogs and the console as a `SessionView`.

    Args:
        host: the application and the composition.
        on_placed: called after a Loader has got new files.
    """

    def __init__(self, host: FusionHost, on_placed: Optional[OnPlaced] = None) -> None:
        self.host, self.comp = host, host.comp
        self.session = FusionSession(host, self, on_placed)
        self._messages: List[str] = []
        self._last_line = ""
        self._report: Tuple[str, ...] = ()
        self._engines: Tuple[str, ...] = ()

    def run(self, choice: Optional[ToolChoice] = None) -> None:
        """Show dialogs and perform their actions until the artist cancels one or a submission is over.

        Args:
            choice: the tools to start with; by default the selected ones.
        """
        choice = choice or initial_choice(self.comp)
        last, settings = saved_choice(self.comp, choice.plate)
        state = DialogState(choice if choice.mattes else last, settings)
        self.session.resume()
        try:
            while not state.is_last:
                state = self._show_dialog(state)
        finally:
            self.session.close()

    def _show_dialog(self, state: DialogState) -> DialogState:
        """Show one dialog, perform its action, and return the values of the next dialog."""
        specs = offered_specs(state.settings, self._engines)
        answer = self.comp.AskUser(TITLE, controls(self.comp, state, "\n".join(self._messages), specs))
        self._messages = []
        if answer is None:
            return dataclasses.replace(state, is_last=True)
        choice, depth, action = read_choice(self.comp, answer)
        values = values_of(answer, specs)
        succeeded = self.session.report_errors(lambda: self._perform(values, choice, depth, action))
        is_last = succeeded and action in ("submit", "leave", "reload", "stop")
        return DialogState(choice, read_settings(values, state.settings), depth, action, is_last)

    def show_status(self, text: str) -> None:
        """Print one line about the current action."""
        self._print(text)

    def show_state(self, token: str, state: JobState) -> None:
        """Print the state of a job."""
        self._print(state.line)
        for line in state.report:
            if line not in self._report:
                self._print(line)
        self._report = state.report

    def show_picture(self, path: str) -> None:
        """Show the path of a PNG in the next dialog."""
        self._messages.append(f"The preview was written to {path}")

    def show_engines(self, engines: Tuple[str, ...]) -> None:
        """Offer the engines of a server that answered, in the next dialog."""
        self._engines = engines

    def show_message(self, text: str) -> None:
        """Show a message in the next dialog, and print it."""
        self._messages.append(text)
        self._print(text)

    def _perform(self, values: Mapping[str, object], choice: ToolChoice, depth: str, action: str) -> None:
        """Perform the action of a dialog, and wait until it is over or answered."""
        settings = settings_from(values)
        if action == "stop":
            self.comp.SetData(STOP, 1)
            return
        if action in ("submit", "leave"):
            self._print(prompt_hint(settings["prompt"]))
        self.session.perform("submit" if action == "leave" else action, choice, lambda: settings, depth)
        if action == "leave":
            self._wait(self._is_sent)
        else:
            self._wait(self._is_over if action in ("submit", "reload") else lambda: not self.session.is_busy)

    def _wait(self, condition: Callable[[], bool]) -> None:
        """Drain the session's queue until a condition holds, another run stops the waiting, or the comp is closed."""
        self.comp.SetData(STOP, None)
        while self.host.is_alive() and not condition():
            if self.comp.GetData(STOP):
                self.comp.SetData(STOP, None)
                self._print("stopped waiting; run the script again to see the job")
                return
            self.session.drain(POLL_S)

    def _is_sent(self) -> bool:
        return not self.session.submission.is_waiting and not self.session.unsent_shots()

    def _is_over(self) -> bool:
        is_following = self.session.controller.is_following
        runs = any(is_following(state.id) for state in jobs_of(self.comp).values() if state.is_alive)
        return not (runs or self.session.submission.is_waiting or self.session.is_busy)

    def _print(self, text: str) -> None:
        """Print a line unless it was the last one."""
        if text and text != self._last_line and self.host.is_alive():
            self._last_line = text
            self.comp.Print(f"VOID Remove: {text}\n")


def controls(comp: Composition, state: DialogState, messages: str, specs: Tuple[Option, ...]) -> Dict[int, Control]:
    """Return the controls of the dialog: messages, the action, the tools, and every setting under its own name."""
    found: List[Control] = [notice("notes", "message", messages)] if messages else []
    actions = [name for name, _ in ACTIONS]
    found.append(dropdown("action", "do", [text for _, text in ACTIONS], actions.index(state.action)))
    plates, mattes = [NONE, *plate_names(comp)], [NONE, *matte_names(comp)]
    found.append(dropdown("tool_plate", "plate", plates, _index(plates, state.choice.plate)))
    for role in ROLES:
        found.append(dropdown(f"tool_{role}", role, mattes, _index(mattes, state.choice.mattes.get(role, ""))))
        is_inverted = int(role in state.choice.inverted)
        label = f"invert {role}"
        found.append({1: f"invert_{role}", 2: "Checkbox", "Name": label, "Default": is_inverted})
    found += [control(spec, state.settings[spec.name]) for spec in specs]
    found.append(dropdown("depth", "plate bit depth", list(DEPTHS), DEPTHS.index(state.depth)))
    return numbered(found)


def read_choice(comp: Composition, answer: Mapping[str, Any]) -> Tuple[ToolChoice, str, str]:
    """Return the tools, the depth and the action of an answered dialog."""
    plates, mattes = [NONE, *plate_names(comp)], [NONE, *matte_names(comp)]
    chosen = {role: mattes[int(answer[f"tool_{role}"])] for role in ROLES}
    plate = plates[int(answer["tool_plate"])]
    choice = ToolChoice(
        "" if plate == NONE else plate,
        {role: name for role, name in chosen.items() if name != NONE},
        tuple(role for role in ROLES if answer[f"invert_{role}"]),
    )
    return choice, DEPTHS[int(answer["depth"])], ACTIONS[int(answer["action"])][0]


def read_settings(values: Mapping[str, object], before: Settings) -> Settings:
    """Return the settings to show next: those of a dialog, where a value cannot be used the one from before."""
    settings = before
    for name, value in values.items():
        try:
            settings = settings.replace(**{name: value})
        except UsageError:  # the error has been shown
            continue
    return settings


def _index(names: List[str], name: str) -> int:
    return names.index(name) if name in names else 0
