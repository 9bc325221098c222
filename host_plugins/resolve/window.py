"""The window: every setting of `control.settings`, built from its definitions, in Fusion's UI manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Tuple

from host_plugins.control.request import prompt_hint
from host_plugins.control.settings import Page, Settings, SettingSpec, setting_specs, settings_from
from host_plugins.resolve.buttons import BUTTONS
from host_plugins.resolve.choice import NONE, ROLES, ToolChoice
from host_plugins.resolve.colour import EXAMPLES
from host_plugins.resolve.plan import DEPTHS

if TYPE_CHECKING:
    from fusionscript import Item, UIManager

WINDOW = "VoidRemove"
TITLE = "VOID Remove"
SIZE = [120, 60, 560, 980]
PAGES: Tuple[Page, ...] = ("remove", "server")
PICTURE_WIDTH = 520
FARM_JOB_TIP = "Who has a job that was submitted to a farm: the farm, and its number for the job, to be copied."

Element = Any  # what the UI manager's makers return; nothing but AddWindow takes it
TOOL_LABELS = {"plate": "plate", "remove": "remove", "affected": "affected", "keep": "keep"}
TOOL_TIPS = {
    "plate": "The tool whose picture is to be cleaned.",
    "remove": "The object: a mask tool, or a picture whose alpha is the matte.",
    "affected": "Where things are touched, and where they will go: where they start, move and land.",
    "keep": "Wins over everything: a foreground actor.",
}


def elements(ui: UIManager) -> List[Element]:
    """What is in the window: two pages of settings, and below them what the script says."""
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
    heading = ""
    for spec in setting_specs(page):
        if spec.group != heading:
            heading = spec.group
            rows.append(_heading(ui, heading))
        rows.append(_row(ui, spec))
        if spec.name == "folder":
            options = {"ID": "depth", "ToolTip": "Of the plate that is rendered: EXR half or float.", "Weight": 1}
            rows.append(_labelled(ui, "written as", ui.ComboBox(options)))
        if spec.name == "prompt":
            rows.append(ui.Label({"ID": "prompt_hint", "Text": "", "Weight": 0}))
    buttons = [button for button in BUTTONS if button.page == page]
    row = [ui.Button({"ID": button.name, "Text": button.label, "ToolTip": button.tip}) for button in buttons]
    return [*rows, ui.HGroup({"Weight": 0}, row)]


def _tool_rows(ui: UIManager) -> List[Element]:
    rows = [_heading(ui, "Tools")]
    for name, label in TOOL_LABELS.items():
        box = ui.ComboBox({"ID": f"tool_{name}", "ToolTip": TOOL_TIPS[name], "Weight": 1})
        invert = ui.CheckBox({"ID": f"invert_{name}", "Text": "invert", "Weight": 0})
        rows.append(_labelled(ui, label, box, *([invert] if name in ROLES else [])))
    rows.append(ui.Button({"ID": "use_selection", "Text": "Use selected tools", "Weight": 0}))
    return rows


def _heading(ui: UIManager, text: str) -> Element:
    return ui.Label({"Text": f"<b>{text}</b>", "Weight": 0})


def _labelled(ui: UIManager, label: str, *rest: Element) -> Element:
    return ui.HGroup({"Weight": 0}, [ui.Label({"Text": label, "Weight": 0, "MinimumSize": [130, 0]}), *rest])


def _row(ui: UIManager, spec: SettingSpec) -> Element:
    options: Dict[str, Any] = {"ID": spec.name, "ToolTip": spec.tip, "Weight": 1}
    if spec.kind == "flag":
        return _labelled(ui, "", ui.CheckBox({**options, "Text": spec.label}))
    if spec.kind == "choice":
        return _labelled(ui, spec.label, ui.ComboBox(options))
    if spec.kind in ("integer", "number"):
        make = ui.SpinBox if spec.kind == "integer" else ui.DoubleSpinBox
        return _labelled(ui, spec.label, make({**options, "Minimum": spec.low, "Maximum": spec.high}))
    if spec.kind == "lines":
        return _labelled(ui, spec.label, ui.TextEdit({**options, "MaximumSize": [4096, 60]}))
    hint = f"has to be said, {EXAMPLES}" if spec.name == "colorspace" else ""
    line = ui.LineEdit({**options, "PlaceholderText": hint})
    if spec.kind in ("folder", "file"):
        return _labelled(ui, spec.label, line, ui.Button({"ID": f"browse_{spec.name}", "Text": "...", "Weight": 0}))
    return _labelled(ui, spec.label, line)


class Panel:
    """Reads and writes the window's widgets."""

    def __init__(self, items: Dict[str, Item]) -> None:
        self.items = items
        self._plates: List[str] = []
        self._mattes: List[str] = []
        for spec in setting_specs():
            for _, text in spec.choices:
                items[spec.name].AddItem(text)
        for text in DEPTHS:
            items["depth"].AddItem(text)
        for page in ("Remove", "Server"):
            items["pages"].AddTab(page)

    def offer(self, plates: List[str], mattes: List[str]) -> None:
        """Which tools can be chosen."""
        self._plates, self._mattes = [NONE, *plates], [NONE, *mattes]
        for name in TOOL_LABELS:
            box = self.items[f"tool_{name}"]
            box.Clear()
            for text in self._names(name):
                box.AddItem(text)

    def choose(self, choice: ToolChoice) -> None:
        for name in TOOL_LABELS:
            wanted = choice.plate if name == "plate" else choice.mattes.get(name, "")
            names = self._names(name)
            self.items[f"tool_{name}"].CurrentIndex = names.index(wanted) if wanted in names else 0
        for role in ROLES:
            self.items[f"invert_{role}"].Checked = role in choice.inverted

    def choice(self) -> ToolChoice:
        chosen = {name: self._names(name)[int(self.items[f"tool_{name}"].CurrentIndex)] for name in TOOL_LABELS}
        mattes = {role: chosen[role] for role in ROLES if chosen[role] != NONE}
        inverted = tuple(role for role in ROLES if self.items[f"invert_{role}"].Checked)
        return ToolChoice("" if chosen["plate"] == NONE else chosen["plate"], mattes, inverted)

    def set(self, settings: Settings) -> None:
        for spec in setting_specs():
            _write(self.items[spec.name], spec, getattr(settings, spec.name))

    def settings(self) -> Settings:
        """Raises UsageError: a value that makes no sense."""
        return settings_from({spec.name: _read(self.items[spec.name], spec) for spec in setting_specs()})

    def depth(self) -> str:
        return DEPTHS[int(self.items["depth"].CurrentIndex)]

    def show_hint(self) -> None:
        """What the model makes of words like 'remove'."""
        hint = prompt_hint(self.items["prompt"].PlainText)
        if self.items["prompt_hint"].Text != hint:
            self.items["prompt_hint"].Text = hint

    def _names(self, name: str) -> List[str]:
        return self._plates if name == "plate" else self._mattes


def _read(item: Item, spec: SettingSpec) -> object:
    readers: Dict[str, Callable[[], object]] = {
        "flag": lambda: item.Checked,
        "choice": lambda: spec.choices[int(item.CurrentIndex)][0],
        "integer": lambda: int(item.Value),
        "number": lambda: item.Value,
        "lines": lambda: item.PlainText,
    }
    return readers.get(spec.kind, lambda: item.Text)()


def _write(item: Item, spec: SettingSpec, value: Any) -> None:
    if spec.kind == "flag":
        item.Checked = value
    elif spec.kind == "choice":
        item.CurrentIndex = [each for each, _ in spec.choices].index(value)
    elif spec.kind in ("integer", "number"):
        item.Value = value
    elif spec.kind == "lines":
        item.PlainText = value
    else:
        item.Text = value
