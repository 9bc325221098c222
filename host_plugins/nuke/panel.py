"""The node's panel: the settings that all hosts share, as knobs, and knobs that only Nuke has."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import nuke

from host_plugins.control.settings import Settings, matte_specs, offered_specs, setting_specs, settings_from
from host_plugins.control.state import JobState
from void_bridge.errors import UsageError
from void_bridge.options import Option

SHOW_CHOICES = ("original", "result", "unmasked fill", "quadmask overlay")
BACKGROUND_CHOICES = ("off", "render licence (nuke_r)", "interactive licence (nuke_i)")
STATE = "void_bridge_state"
FARM_JOB = "farm_job"

_MAKERS: Dict[str, Callable[[Option], nuke.Knob]] = {
    **dict.fromkeys(("text", "size", "auto"), lambda spec: nuke.String_Knob(spec.name, spec.label)),
    "lines": lambda spec: nuke.Multiline_Eval_String_Knob(spec.name, spec.label),
    "integer": lambda spec: nuke.Int_Knob(spec.name, spec.label),
    "number": lambda spec: nuke.Double_Knob(spec.name, spec.label),
    "flag": lambda spec: nuke.Boolean_Knob(spec.name, spec.label),
    "choice": lambda spec: nuke.Enumeration_Knob(spec.name, spec.label, list(spec.values)),
    "folder": lambda spec: nuke.File_Knob(spec.name, spec.label),
    "file": lambda spec: nuke.File_Knob(spec.name, spec.label),
}


class NodeButton(NamedTuple):
    """A button of the panel.

    Attributes:
        name: the knob's name, and the function of `void_bridge_nuke` that it calls.
        label: the text on the button.
        tip: the tooltip.
        new_line: whether it starts a line.
    """

    name: str
    label: str
    tip: str
    new_line: bool = False


BUTTONS = (
    NodeButton(
        "submit", "Submit", "Write plate and roto, and submit the job. Every submission is a new version.", True
    ),
    NodeButton("cancel", "Cancel", "Stop this node's job. Finished frames stay on disk."),
    NodeButton("reload", "Reload", "Update the job's status, and read the finished frames again."),
    NodeButton("preview", "Preview quadmask", "Show the quadmask that the model would get for this frame.", True),
    NodeButton("compare", "Compare", "Write a movie: before, after, and a wipe."),
    NodeButton("open_folder", "Open folder", "Show the folder of the result."),
)
SERVER_BUTTONS = (
    NodeButton("check_server", "Check", "Check which server answers, and list its engines.", True),
    NodeButton("free_gpu", "Free GPU", "Release the GPU memory of idle workers."),
    NodeButton(
        "find_jobs", "Find jobs...", "Show a job of the server in this node, for example one whose node was deleted."
    ),
)


def add_panel(group: nuke.Node) -> None:
    """Give a new group all its knobs."""
    group.addKnob(nuke.Tab_Knob("void_tab", "VOIDRemove"))
    _add_mattes(group)
    _add_settings(group, setting_specs("remove"))
    _add_nuke_only(group)
    _add_buttons(group, BUTTONS)
    _add_state(group)
    group.addKnob(nuke.Tab_Knob("server_tab", "Server"))
    _add_settings(group, setting_specs("server"))
    _add_buttons(group, SERVER_BUTTONS)
    _add(group, nuke.Text_Knob("server_line", "", " "), "Last answer of the server.")


def settings_of(group: nuke.Node) -> Settings:
    """Return the values of the knobs. File knobs are evaluated, since they may contain expressions.

    Raises:
        UsageError: a value is not valid.
    """
    existing = [spec for spec in setting_specs() if group.knob(spec.name)]  # an older version's node lacks newer knobs
    return settings_from({spec.name: _value(group[spec.name], spec) for spec in existing})


def show_engines(group: nuke.Node, engines: Sequence[str]) -> None:
    """Offer the engines of a server, and the one that is chosen."""
    settings = settings_of(group)
    for spec in offered_specs(settings, engines):
        knob: Any = group[spec.name]
        if spec.is_open and list(spec.values) != knob.values():
            knob.setValues(list(spec.values))
            knob.setValue(settings[spec.name])


def server_settings(group: nuke.Node, state: JobState) -> Settings:
    """Return the node's settings with the address of the server that has the job. Raises as `settings_of`."""
    return state.settings_at_its_server(settings_of(group))


def views_of(group: nuke.Node) -> Tuple[str, ...]:
    """Return the views to process, one job each.

    Raises:
        UsageError: the script does not have a view.
    """
    known = list(nuke.views())
    wanted = str(group["views"].value()).replace(",", " ").split() or known[:1]
    for view in wanted:
        if view not in known:
            raise UsageError(f"views: got {view!r}, expected one of {', '.join(known)}")
    return tuple(wanted)


def _value(knob: Any, spec: Option) -> object:
    if spec.kind in ("folder", "file"):
        return knob.evaluate()
    return knob.value()


def _add(group: nuke.Node, knob: Any, tip: str, *flags: int) -> Any:
    knob.setTooltip(tip)
    for flag in flags:
        knob.setFlag(flag)
    group.addKnob(knob)
    return knob


def _add_mattes(group: nuke.Node) -> None:
    _heading(group, "Mattes")
    for spec in matte_specs():
        knob = nuke.Channel_Knob(f"{spec.name}_channel", spec.label)
        _add(group, knob, f"{spec.tip} Channel of the input '{spec.label}'.").setValue("alpha")
        tip = f"Invert the {spec.label} matte."
        invert = _add(group, nuke.Boolean_Knob(f"{spec.name}_invert", "invert"), tip)
        invert.clearFlag(nuke.STARTLINE)


def _add_settings(group: nuke.Node, specs: Tuple[Option, ...]) -> None:
    heading = ""
    for spec in specs:
        if spec.group != heading:
            heading = spec.group
            _heading(group, heading)
        knob = _add(group, _MAKERS[spec.kind](spec), spec.tip, nuke.STARTLINE, nuke.NO_ANIMATION)
        if spec.kind == "integer":
            knob.setRange(spec.low, spec.high)
        if spec.default != "":
            knob.setValue(spec.default)
        if spec.name == "prompt":
            _add(group, nuke.Text_Knob("prompt_hint", "", " "), "Warning about words such as 'remove' in the prompt.")


def _add_nuke_only(group: nuke.Node) -> None:
    _add(
        group,
        nuke.String_Knob("views", "views"),
        "Views to process, one job each. Empty: the first view.",
        nuke.STARTLINE,
    )
    own = "Send the plate's own EXR files if the input is a Read that does not change them. Off: always render."
    _add(group, nuke.Boolean_Knob("own_files", "send the plate's own files", True), own, nuke.STARTLINE)
    tip = (
        "Render plate and roto in a second Nuke, so that you can go on working. It uses a licence of the chosen kind "
        "while it renders."
    )
    _add(group, nuke.Enumeration_Knob("background", "background export", list(BACKGROUND_CHOICES)), tip, nuke.STARTLINE)
    _heading(group, "Result")
    shown = "Image that this node outputs. If the result is selected, a render fails at missing or stale frames."
    _add(group, nuke.Enumeration_Knob("show", "show", list(SHOW_CHOICES)), shown)
    stale = "Render the result even if plate, roto or settings have changed since."
    _add(group, nuke.Boolean_Knob("use_stale", "use a stale result"), stale)


def _add_buttons(group: nuke.Node, buttons: Tuple[NodeButton, ...]) -> None:
    for button in buttons:
        command = f"import void_bridge_nuke; void_bridge_nuke.{button.name}(nuke.thisNode())"
        knob = nuke.PyScript_Knob(button.name, button.label, command)
        _add(group, knob, button.tip, *([nuke.STARTLINE] if button.new_line else []))


def _add_state(group: nuke.Node) -> None:
    """Add the knobs of status and report, and hidden knobs for the image path and the next session."""
    _add(group, nuke.Text_Knob("status", "", "No job yet."), "Status of the job.", nuke.STARTLINE)
    _add(group, nuke.Text_Knob("report", "", " "), "Report of the finished job, with its warnings.", nuke.STARTLINE)
    tip = "Farm and farm job id of a job that was submitted to a farm, for other jobs to depend on."
    _add(group, nuke.String_Knob(FARM_JOB, "farm job"), tip, nuke.STARTLINE, nuke.READ_ONLY, nuke.NO_UNDO)
    hidden: List[Any] = [
        nuke.String_Knob(STATE),
        nuke.String_Knob("void_bridge_submitted"),
        nuke.Double_Knob("void_bridge_ready"),
        nuke.Int_Knob("void_bridge_first"),
        nuke.Int_Knob("void_bridge_last"),
        nuke.Boolean_Knob("void_bridge_fresh", "", True),
    ]
    for knob in hidden:
        _add(group, knob, "Internal data of VOIDRemove.", nuke.INVISIBLE, nuke.NO_UNDO)


def _heading(group: nuke.Node, text: str) -> None:
    group.addKnob(nuke.Text_Knob(f"heading_{text.lower()}", f"<b>{text}</b>"))
