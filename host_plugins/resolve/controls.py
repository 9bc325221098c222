"""Controls of Fusion's AskUser dialog for settings, and reading its answers."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

from host_plugins.control.settings import SettingSpec
from host_plugins.resolve.export import COLOURSPACE_EXAMPLES

_SCREW_TO = 10_000  # a thumbwheel for numbers up to here, text beyond

Control = Dict[Any, Any]


def numbered(controls: Sequence[Control]) -> Dict[int, Control]:
    """As AskUser takes them, from 1."""
    return dict(enumerate(controls, 1))


def notice(name: str, label: str, text: str, lines: int = 3) -> Control:
    """Text to be read."""
    return {1: name, 2: "Text", "Name": label, "Default": text, "Lines": lines, "ReadOnly": True, "Wrap": True}


def control(spec: SettingSpec, value: Any) -> Control:
    """One setting, under its own name."""
    named = {1: spec.name, "Name": spec.label}
    if spec.kind == "choice":
        return dropdown(spec.name, spec.label, [text for _, text in spec.choices], _index(spec, value))
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
    """default: the place of what is shown first, from 0."""
    return {1: name, 2: "Dropdown", "Name": label, "Options": dict(enumerate(texts, 1)), "Default": default}


def values_of(answer: Mapping[str, Any], specs: Sequence[SettingSpec]) -> Dict[str, object]:
    """The settings in an answer, as plain values; Fusion gives every number as a float."""
    values: Dict[str, object] = {}
    for spec in specs:
        value = answer[spec.name]
        if spec.kind == "choice":
            value = spec.choices[int(value)][0]
        elif spec.kind == "flag":
            value = bool(value)
        elif spec.kind == "integer" and isinstance(value, float):
            value = int(value)
        values[spec.name] = value
    return values


def _index(spec: SettingSpec, value: str) -> int:
    return [each for each, _ in spec.choices].index(value)
