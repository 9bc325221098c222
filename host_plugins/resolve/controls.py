"""Controls of Fusion's AskUser dialog for settings, and the settings in its answers."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

from host_plugins.resolve.export import COLOURSPACE_EXAMPLES
from void_bridge.options import Option

_SCREW_TO = 10_000  # a thumbwheel for numbers up to here, text beyond

Control = Dict[Any, Any]


def numbered(controls: Sequence[Control]) -> Dict[int, Control]:
    """Return controls as AskUser takes them, numbered from 1."""
    return dict(enumerate(controls, 1))


def notice(name: str, label: str, text: str, lines: int = 3) -> Control:
    """Return a control that shows text."""
    return {1: name, 2: "Text", "Name": label, "Default": text, "Lines": lines, "ReadOnly": True, "Wrap": True}


def control(spec: Option, value: Any) -> Control:
    """Return the control of a setting, under the setting's name."""
    named = {1: spec.name, "Name": spec.label}
    if spec.kind == "choice":
        return dropdown(spec.name, spec.label, [text for _, text in spec.choices], spec.values.index(value))
    if spec.kind == "flag":
        return {**named, 2: "Checkbox", "Default": int(value)}
    if spec.kind in ("integer", "number") and spec.high <= _SCREW_TO:
        limits = {"Min": spec.low, "Max": spec.high, "Integer": spec.kind == "integer"}
        return {**named, 2: "Screw", "Default": value, **limits}
    if spec.kind in ("folder", "file"):
        return {**named, 2: "PathBrowse" if spec.kind == "folder" else "FileBrowse", "Default": value}
    if spec.name == "colorspace":
        named["Name"] = f"{spec.label} ({COLOURSPACE_EXAMPLES})"
    lines = 3 if spec.kind == "lines" else 1
    return {**named, 2: "Text", "Default": str(value), "Lines": lines, "Wrap": lines > 1}


def dropdown(name: str, label: str, texts: Sequence[str], default: int) -> Control:
    """Return a list of choices.

    Args:
        name: the name of the control.
        label: the name that the artist reads.
        texts: the choices.
        default: the index of the choice that is shown first, from 0.
    """
    return {1: name, 2: "Dropdown", "Name": label, "Options": dict(enumerate(texts, 1)), "Default": default}


def values_of(answer: Mapping[str, Any], specs: Sequence[Option]) -> Dict[str, object]:
    """Return the settings in an answer, the choices by name. Every other number is a float, as Fusion returns it."""
    return {
        spec.name: spec.values[int(answer[spec.name])] if spec.kind == "choice" else answer[spec.name] for spec in specs
    }
