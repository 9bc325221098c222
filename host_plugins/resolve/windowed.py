"""Running the window: its events, and the timer by which news from other threads reach Fusion's own."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple

from host_plugins.control.settings import setting_specs
from host_plugins.control.state import JobState
from host_plugins.resolve.buttons import BUTTONS
from host_plugins.resolve.choice import ToolChoice, matte_names, plate_names, selected_choice
from host_plugins.resolve.comp_data import LAST, jobs_of, saved_choice, text_data
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.session import FusionSession, OnPlaced
from host_plugins.resolve.window import PICTURE_WIDTH, SIZE, TITLE, WINDOW, Panel, elements
from void_bridge.protocol.messages import JobStatus

if TYPE_CHECKING:
    from fusionscript import Bmd, Fusion, UIManager

TICK_MS = 200
_STILL_SENDING = "Frames are still on their way to the server; Close once more stops that."
_STILL_SUBMITTING = "The farm has not answered yet; Close once more does not wait for that."


class RemoveWindow:
    """The window as a `SessionView`."""

    def __init__(self, host: FusionHost, ui: UIManager, bmd: Bmd, on_placed: Optional[OnPlaced] = None) -> None:
        self.host = host
        self._dispatcher = bmd.UIDispatcher(ui)
        self.window = self._dispatcher.AddWindow({"ID": WINDOW, "WindowTitle": TITLE, "Geometry": SIZE}, elements(ui))
        self.panel = Panel(self.window.GetItems())
        self.session = FusionSession(host, self, on_placed) if on_placed else FusionSession(host, self)
        self._timer = ui.Timer({"ID": "void_news", "Interval": TICK_MS})
        self._asked_to_close = False
        self._plate = ""

    def run(self, choice: Optional[ToolChoice] = None) -> None:
        """Until the window is closed. choice: of tools, instead of those that are selected."""
        self._connect()
        try:
            self._offer(choice or initial_choice(self.host))
            self.session.resume()
            self.window.Show()
            if self._timer is not None:
                self._timer.Start()
            self._dispatcher.RunLoop()
        finally:
            if self._timer is not None:
                self._timer.Stop()
            self.session.close()
            self.window.Hide()

    def show_line(self, text: str) -> None:
        self.panel.items["status"].Text = html.escape(text)

    def show_state(self, token: str, state: JobState) -> None:
        if token == self.session.token_for(self.panel.choice()):
            self._show(state)

    def show_picture(self, path: str) -> None:
        source = html.escape(Path(path).as_posix(), quote=True)
        self.panel.items["picture"].Text = f"<img src='{source}' width='{PICTURE_WIDTH}'>"

    def tell(self, text: str) -> None:
        self.panel.items["status"].Text = f"<b>{html.escape(text)}</b>"
        if self.host.is_alive():
            self.host.comp.Print(f"VOID Remove: {text}\n")

    def _show(self, state: JobState) -> None:
        items = self.panel.items
        items["status"].Text = html.escape(state.line or state.phase)
        items["farm_job"].Text = state.farm
        items["report"].Text = "<br>".join(html.escape(line) for line in state.report)

    def _connect(self) -> None:
        on = self.window.On
        for button in BUTTONS:
            getattr(on, button.name).Clicked = self._pressed(button.name)
        for spec in setting_specs():
            if spec.kind in ("folder", "file"):
                getattr(on, f"browse_{spec.name}").Clicked = self._browse(spec.name, spec.kind)
        on.use_selection.Clicked = self._use_selection
        on.close.Clicked = self._close
        getattr(on, WINDOW).Close = self._close
        on.pages.CurrentChanged = lambda event: self._turn_page()
        # A timer that stands alone belongs to the dispatcher; its events do not come through the window.
        self._dispatcher.On.Timeout = self._tick

    def _use_selection(self, event: Any) -> None:
        self.session.report_errors(lambda: self._offer(initial_choice(self.host)))

    def _pressed(self, name: str) -> Callable[[Any], None]:
        return lambda event: self._do(name)

    def _do(self, name: str) -> None:
        self._asked_to_close = False
        self.session.report_errors(lambda: self._act(name))

    def _act(self, name: str) -> None:
        session, choice = self.session, self.panel.choice()
        token = session.token_for(choice)
        actions: Dict[str, Callable[[], None]] = {
            "submit": lambda: session.submit(choice, self.panel.settings(), self.panel.depth()),
            "preview": lambda: session.preview(choice, self.panel.settings()),
            "cancel": lambda: session.cancel(token),
            "reload": lambda: session.reload(token),
            "compare": lambda: session.compare(token),
            "open_folder": lambda: session.open_folder(token, self.panel.settings()),
            "check_server": lambda: session.check_server(self.panel.settings()),
            "free_gpu": lambda: session.free_gpu(self.panel.settings()),
            "find_jobs": lambda: session.find_jobs(self.panel.settings(), self._found),
        }
        actions[name]()

    def _found(self, jobs: Tuple[JobStatus, ...], words: str) -> None:
        """Let the artist choose one of the server's jobs."""
        if words or not jobs:
            self.tell(words or "The server has no jobs.")
            return
        lines = {i: f"{each.id}  {each.state}  {each.frames_done}/{each.frames}" for i, each in enumerate(jobs, 1)}
        control = {1: "job", 2: "Dropdown", "Name": "job", "Options": lines, "Default": 0}
        answer = self.host.comp.AskUser(f"{TITLE}: find a job", {1: control})
        if answer is not None:
            self.session.adopt(jobs[int(answer["job"])].id, self.panel.choice(), self.panel.settings())

    def _offer(self, choice: ToolChoice) -> None:
        """Fill the lists of tools, and show what was chosen for this plate last time."""
        comp = self.host.comp
        before, settings = saved_choice(comp, choice.plate)
        self.panel.offer(plate_names(comp), matte_names(comp))
        self.panel.choose(choice if choice.mattes else before)
        self.panel.set(settings)
        self._show_plate(choice.plate)

    def _show_plate(self, plate: str) -> None:
        self._plate = plate
        self._show(jobs_of(self.host.comp).get(self.session.token_for(ToolChoice(plate)), JobState(line="No job yet.")))

    def _turn_page(self) -> None:
        self.panel.items["stack"].CurrentIndex = int(self.panel.items["pages"].CurrentIndex)

    def _browse(self, name: str, kind: str) -> Callable[[Any], None]:
        def ask(event: Any) -> None:
            fusion: Fusion = self.host.fusion
            item = self.panel.items[name]
            found = (fusion.RequestDir if kind == "folder" else fusion.RequestFile)(item.Text)
            if found:
                item.Text = str(found)

        return ask

    def _tick(self, event: Any) -> None:
        if not self.host.is_alive():  # the composition was closed; its job goes on
            self._dispatcher.ExitLoop()
            return
        self.session.drain()
        self.panel.show_hint()
        plate = self.panel.choice().plate
        if plate != self._plate:
            self._show_plate(plate)

    def _close(self, event: Any) -> None:
        away = self.session.sending()
        if away and not self._asked_to_close:
            self._asked_to_close = True
            jobs = jobs_of(self.host.comp)
            at_farm = all(jobs[token].at_farm for token in away)
            self.tell(_STILL_SUBMITTING if at_farm else _STILL_SENDING)
            return
        self._dispatcher.ExitLoop()


def initial_choice(host: FusionHost) -> ToolChoice:
    """The tools that are selected; without a plate among them that of last time, if it is still there."""
    chosen = selected_choice(host.comp)
    last = text_data(host.comp, LAST)
    if chosen.plate or not last or host.comp.FindTool(last) is None:
        return chosen
    return ToolChoice(last, chosen.mattes)


def run_window(
    host: FusionHost, ui: UIManager, bmd: Bmd, choice: Optional[ToolChoice] = None, on_placed: Optional[OnPlaced] = None
) -> None:
    """Show the window, or bring the one to the front that is open already."""
    there = ui.FindWindow(WINDOW)
    if there is not None:
        there.Show()
        there.Raise()
        return
    RemoveWindow(host, ui, bmd, on_placed).run(choice)
