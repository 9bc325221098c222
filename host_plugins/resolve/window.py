"""The window in Fusion's UI manager: every setting of `control.settings`, buttons, and the state of the plate's job."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

from host_plugins.control.request import prompt_hint
from host_plugins.control.settings import Page, Settings, matte_specs, offered_specs, setting_specs, settings_from
from host_plugins.control.state import JobState
from host_plugins.resolve.choice import NONE, ROLES, ToolChoice, matte_names, plate_names
from host_plugins.resolve.comp_data import initial_choice, jobs_of, saved_choice
from host_plugins.resolve.export import COLOURSPACE_EXAMPLES, DEPTHS
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.session import BUTTONS, TITLE, FusionSession, OnPlaced
from void_bridge.options import Option

if TYPE_CHECKING:
    from fusionscript import Bmd, Fusion, Item, UIManager

WINDOW = "VoidRemove"
SIZE = [120, 60, 560, 980]
PAGES: Tuple[Page, ...] = ("remove", "server")
PICTURE_WIDTH = 520
TICK_MS = 200
FARM_JOB_TIP = "Farm and farm job id of a job that was submitted to a farm; select it to copy it."
_STILL_SENDING = "Frames are still being sent to the server; press Close again to stop sending them."
_STILL_SUBMITTING = "The farm has not answered yet; press Close again to close without its answer."

Element = Any  # a widget that is not in a window yet: AddWindow takes it
TOOL_TIPS = {
    "plate": "Tool whose image contains the object.",
    **{spec.name: f"{spec.tip} Choose a mask tool, or an image whose alpha is the matte." for spec in matte_specs()},
}


def elements(ui: UIManager) -> List[Element]:
    """Return the content of the window: two pages of settings, and the job's state below them."""
    pages = [ui.VGroup({"ID": f"page_{page}", "Spacing": 3}, _page(ui, page)) for page in PAGES]
    return [
        ui.VGroup(
            {"Spacing": 4},
            [
                ui.TabBar({"ID": "pages", "Weight": 0}),
                ui.Stack({"ID": "stack", "Weight": 1}, pages),
                ui.Label({"ID": "status", "Text": "No job yet.", "WordWrap": True, "Weight": 0}),
                ui.Label({"ID": "report", "Text": "", "WordWrap": True, "Weight": 0}),
                _labelled(ui, "farm job", ui.LineEdit({"ID": "farm_job", "ToolTip": FARM_JOB_TIP, "Weight": 1})),
                ui.Label({"ID": "picture", "Text": "", "Weight": 0}),
                ui.HGroup({"Weight": 0}, [ui.Button({"ID": "close", "Text": "Close"})]),
            ],
        )
    ]


def _page(ui: UIManager, page: Page) -> List[Element]:
    rows = _tool_rows(ui) if page == "remove" else []
    group = ""
    for spec in setting_specs(page):
        if spec.group != group:
            group = spec.group
            rows.append(_heading(ui, group))
        rows.append(_row(ui, spec))
        if spec.name == "folder":
            options = {"ID": "depth", "ToolTip": "Bit depth of the plate's EXR files: half or float.", "Weight": 1}
            rows.append(_labelled(ui, "plate bit depth", ui.ComboBox(options)))
        if spec.name == "prompt":
            rows.append(ui.Label({"ID": "prompt_hint", "Text": "", "Weight": 0}))
    buttons = [button for button in BUTTONS if button.page == page]
    row = [ui.Button({"ID": button.name, "Text": button.label, "ToolTip": button.tip}) for button in buttons]
    return [*rows, ui.HGroup({"Weight": 0}, row)]


def _tool_rows(ui: UIManager) -> List[Element]:
    rows = [_heading(ui, "Tools")]
    for name, tip in TOOL_TIPS.items():
        box = ui.ComboBox({"ID": f"tool_{name}", "ToolTip": tip, "Weight": 1})
        invert = ui.CheckBox({"ID": f"invert_{name}", "Text": "invert", "Weight": 0})
        rows.append(_labelled(ui, name, box, *([invert] if name in ROLES else [])))
    rows.append(ui.Button({"ID": "use_selection", "Text": "Use selected tools", "Weight": 0}))
    return rows


def _heading(ui: UIManager, text: str) -> Element:
    return ui.Label({"Text": f"<b>{text}</b>", "Weight": 0})


def _labelled(ui: UIManager, label: str, *widgets: Element) -> Element:
    return ui.HGroup({"Weight": 0}, [ui.Label({"Text": label, "Weight": 0, "MinimumSize": [130, 0]}), *widgets])


def _row(ui: UIManager, spec: Option) -> Element:
    options: Dict[str, Any] = {"ID": spec.name, "ToolTip": spec.tip, "Weight": 1}
    if spec.kind == "flag":
        return _labelled(ui, "", ui.CheckBox({**options, "Text": spec.label}))
    if spec.kind == "choice":
        return _labelled(ui, spec.label, ui.ComboBox(options))
    if spec.kind in ("integer", "number"):
        spin_box = ui.SpinBox if spec.kind == "integer" else ui.DoubleSpinBox
        return _labelled(ui, spec.label, spin_box({**options, "Minimum": spec.low, "Maximum": spec.high}))
    if spec.kind == "lines":
        return _labelled(ui, spec.label, ui.TextEdit({**options, "MaximumSize": [4096, 60]}))
    hint = f"required, {COLOURSPACE_EXAMPLES}" if spec.name == "colorspace" else ""
    line = ui.LineEdit({**options, "PlaceholderText": hint})
    if spec.kind in ("folder", "file"):
        return _labelled(ui, spec.label, line, ui.Button({"ID": f"browse_{spec.name}", "Text": "...", "Weight": 0}))
    return _labelled(ui, spec.label, line)


class Panel:
    """The values of the window's widgets.

    Args:
        items: the widgets by id.
    """

    def __init__(self, items: Dict[str, Item]) -> None:
        self.items = items
        self._tools: Dict[str, List[str]] = {}
        self._engines: Tuple[str, ...] = ()
        self._specs = setting_specs()
        for spec in self._specs:
            if spec.kind == "choice":
                _fill(items[spec.name], [text for _, text in spec.choices])
        _fill(items["depth"], DEPTHS)
        for page in PAGES:
            items["pages"].AddTab(page.capitalize())

    def set_tools(self, plates: List[str], mattes: List[str]) -> None:
        """Fill the lists of tools that can be chosen."""
        for name in TOOL_TIPS:
            self._tools[name] = [NONE, *(plates if name == "plate" else mattes)]
            _fill(self.items[f"tool_{name}"], self._tools[name])

    def set_choice(self, choice: ToolChoice) -> None:
        """Show a choice of tools; tools that are not in the lists are shown as none."""
        for name, tools in self._tools.items():
            chosen = choice.plate if name == "plate" else choice.mattes.get(name, "")
            self.items[f"tool_{name}"].CurrentIndex = tools.index(chosen) if chosen in tools else 0
        for role in ROLES:
            self.items[f"invert_{role}"].Checked = role in choice.inverted

    def choice(self) -> ToolChoice:
        """Return the choice of tools that the widgets show."""
        chosen = {name: tools[int(self.items[f"tool_{name}"].CurrentIndex)] for name, tools in self._tools.items()}
        mattes = {role: chosen[role] for role in ROLES if chosen[role] != NONE}
        inverted = tuple(role for role in ROLES if self.items[f"invert_{role}"].Checked)
        return ToolChoice("" if chosen["plate"] == NONE else chosen["plate"], mattes, inverted)

    def set_settings(self, settings: Settings) -> None:
        """Show settings."""
        self._offer_engines(settings)
        for spec in self._specs:
            _write(self.items[spec.name], spec, settings[spec.name])

    def set_engines(self, engines: Tuple[str, ...]) -> None:
        """Offer the engines of a server."""
        self._engines = engines
        self._offer_engines(self.settings())

    def _offer_engines(self, settings: Settings) -> None:
        self._specs = offered_specs(settings, self._engines)
        for spec in self._specs:
            if spec.is_open:
                _fill(self.items[spec.name], spec.values)
                _write(self.items[spec.name], spec, settings[spec.name])

    def settings(self) -> Settings:
        """Return the settings that the widgets show.

        Raises:
            UsageError: a value cannot be used.
        """
        return settings_from({spec.name: _read(self.items[spec.name], spec) for spec in self._specs})

    def depth(self) -> str:
        """Return the pixel type of the plate's export, one of `export.DEPTHS`."""
        return DEPTHS[int(self.items["depth"].CurrentIndex)]

    def turn_page(self) -> None:
        """Show the page of the current tab."""
        self.items["stack"].CurrentIndex = int(self.items["pages"].CurrentIndex)

    def show_job(self, state: JobState) -> None:
        """Show the state of a job."""
        self.items["status"].Text = html.escape(state.line or state.phase)
        self.items["farm_job"].Text = state.farm
        self.items["report"].Text = "<br>".join(html.escape(line) for line in state.report)

    def show_prompt_hint(self) -> None:
        """Show a hint if the prompt commands instead of describing."""
        hint = prompt_hint(self.items["prompt"].PlainText)
        if self.items["prompt_hint"].Text != hint:
            self.items["prompt_hint"].Text = hint


def _fill(box: Item, texts: Sequence[str]) -> None:
    """Replace the entries of a list, and show the first one."""
    box.Clear()
    for text in texts:
        box.AddItem(text)
    box.CurrentIndex = 0


def _read(item: Item, spec: Option) -> object:
    """Return the value of a setting's widget."""
    readers: Dict[str, Callable[[], object]] = {
        "flag": lambda: item.Checked,
        "choice": lambda: spec.values[int(item.CurrentIndex)],
        "integer": lambda: item.Value,
        "number": lambda: item.Value,
        "lines": lambda: item.PlainText,
    }
    return readers.get(spec.kind, lambda: item.Text)()


def _write(item: Item, spec: Option, value: Any) -> None:
    """Show a value in a setting's widget."""
    if spec.kind == "flag":
        item.Checked = value
    elif spec.kind == "choice":
        item.CurrentIndex = spec.values.index(value)
    elif spec.kind in ("integer", "number"):
        item.Value = value
    elif spec.kind == "lines":
        item.PlainText = value
    else:
        item.Text = value


class RemoveWindow:
    """The window as a `SessionView`, with a timer on which the calls of other threads run.

    Args:
        host: the application and the composition.
        ui: its UI manager.
        bmd: its module.
        on_placed: called after a Loader has got new files.
    """

    def __init__(self, host: FusionHost, ui: UIManager, bmd: Bmd, on_placed: Optional[OnPlaced] = None) -> None:
        self.host = host
        self._dispatcher = bmd.UIDispatcher(ui)
        self.window = self._dispatcher.AddWindow({"ID": WINDOW, "WindowTitle": TITLE, "Geometry": SIZE}, elements(ui))
        self.panel = Panel(self.window.GetItems())
        self.session = FusionSession(host, self, on_placed)
        self._timer = ui.Timer({"ID": "void_news", "Interval": TICK_MS})
        self._asked_to_close = False
        self._plate = ""

    def run(self, choice: Optional[ToolChoice] = None) -> None:
        """Show the window until it is closed.

        Args:
            choice: the tools to start with; by default the selected ones.
        """
        self._connect()
        try:
            self._show_choice(choice or initial_choice(self.host.comp))
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

    def show_status(self, text: str) -> None:
        """Show one line about the current action."""
        self.panel.items["status"].Text = html.escape(text)

    def show_state(self, token: str, state: JobState) -> None:
        """Show the state of a job if its shot's plate is chosen."""
        if token == self.session.token_for(self.panel.choice()):
            self.panel.show_job(state)

    def show_picture(self, path: str) -> None:
        """Show a PNG."""
        source = html.escape(Path(path).as_posix(), quote=True)
        self.panel.items["picture"].Text = f"<img src='{source}' width='{PICTURE_WIDTH}'>"

    def show_engines(self, engines: Tuple[str, ...]) -> None:
        """Offer the engines of a server that answered."""
        self.panel.set_engines(engines)

    def show_message(self, text: str) -> None:
        """Show a message in bold, and in the console."""
        self.panel.items["status"].Text = f"<b>{html.escape(text)}</b>"
        if self.host.is_alive():
            self.host.comp.Print(f"VOID Remove: {text}\n")

    def _connect(self) -> None:
        """Connect the events of the widgets and of the timer."""
        on = self.window.On
        for button in BUTTONS:
            getattr(on, button.name).Clicked = self._press(button.name)
        for spec in setting_specs():
            if spec.kind in ("folder", "file"):
                getattr(on, f"browse_{spec.name}").Clicked = self._browse(spec.name, spec.kind)
        on.use_selection.Clicked = self._use_selection
        on.close.Clicked = self._close
        getattr(on, WINDOW).Close = self._close
        on.pages.CurrentChanged = lambda event: self.panel.turn_page()
        # The timer is no part of the window, so its events come through the dispatcher.
        self._dispatcher.On.Timeout = self._tick

    def _use_selection(self, event: Any) -> None:
        self.session.report_errors(lambda: self._show_choice(initial_choice(self.host.comp)))

    def _press(self, action: str) -> Callable[[Any], None]:
        """Return the handler of a button."""

        def perform() -> None:
            self.session.perform(action, self.panel.choice(), self.panel.settings, self.panel.depth())

        def on_click(event: Any) -> None:
            self._asked_to_close = False
            self.session.report_errors(perform)

        return on_click

    def _show_choice(self, choice: ToolChoice) -> None:
        """Fill the lists of tools, and show a choice with the settings and mattes that its plate had last time."""
        comp = self.host.comp
        last, settings = saved_choice(comp, choice.plate)
        self.panel.set_tools(plate_names(comp), matte_names(comp))
        self.panel.set_choice(choice if choice.mattes else last)
        self.panel.set_settings(settings)
        self._show_plate(choice.plate)

    def _show_plate(self, plate: str) -> None:
        """Show the state of a plate's job."""
        self._plate = plate
        token = self.session.token_for(ToolChoice(plate))
        self.panel.show_job(jobs_of(self.host.comp).get(token, JobState(line="No job yet.")))

    def _browse(self, name: str, kind: str) -> Callable[[Any], None]:
        """Return the handler of a button that asks for a path."""

        def on_click(event: Any) -> None:
            fusion: Fusion = self.host.fusion
            item = self.panel.items[name]
            path = (fusion.RequestDir if kind == "folder" else fusion.RequestFile)(item.Text)
            if path:
                item.Text = str(path)

        return on_click

    def _tick(self, event: Any) -> None:
        if not self.host.is_alive():  # the composition was closed; its job goes on
            self._dispatcher.ExitLoop()
            return
        self.session.drain()
        self.panel.show_prompt_hint()
        plate = self.panel.choice().plate
        if plate != self._plate:
            self._show_plate(plate)

    def _close(self, event: Any) -> None:
        """Close the window; while shots are being sent, warn first and close at the second request."""
        unsent = self.session.unsent_shots()
        if unsent and not self._asked_to_close:
            self._asked_to_close = True
            jobs = jobs_of(self.host.comp)
            at_farm = all(jobs[token].at_farm for token in unsent)
            self.show_message(_STILL_SUBMITTING if at_farm else _STILL_SENDING)
            return
        self._dispatcher.ExitLoop()


def run_window(
    host: FusionHost,
    ui: UIManager,
    bmd: Bmd,
    choice: Optional[ToolChoice] = None,
    on_placed: Optional[OnPlaced] = None,
) -> None:
    """Show the window until it is closed, or raise the one that another run of the script has open.

    Args:
        host: the application and the composition.
        ui: its UI manager.
        bmd: its module.
        choice: the tools to start with; by default the selected ones.
        on_placed: called after a Loader has got new files.
    """
    window = ui.FindWindow(WINDOW)
    if window is not None:
        window.Show()
        window.Raise()
        return
    RemoveWindow(host, ui, bmd, on_placed).run(choice)
