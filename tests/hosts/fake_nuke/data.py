"""The known facts about Nuke's nodes, from ../data: classes, inputs, knobs with their types and values."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Tuple

_FOLDER = Path(__file__).parents[1] / "data"
DYNAMIC_INPUTS = 10000


@dataclass(frozen=True)
class KnobSpec:
    """values: of an enumeration, as Nuke tells them: name, label, ?, aliases, with tabs between.
    open: the values come from an OCIO config, so that others may be set too. of_views: they are the script's views."""

    name: str
    kind: str
    values: Tuple[str, ...] = ()
    default: Any = None
    open: bool = False


@dataclass(frozen=True)
class NodeSpec:
    name: str
    min_inputs: int
    max_inputs: int
    knobs: Tuple[KnobSpec, ...]


@functools.cache
def raw(name: str) -> Dict[str, Any]:
    """Return one of the JSON files."""
    loaded: Dict[str, Any] = json.loads((_FOLDER / name).read_text("utf-8"))
    return loaded


@functools.cache
def node_specs(version: int) -> Dict[str, NodeSpec]:
    """Return every class that the fake knows. Built-in knobs are those of Nuke 17 in every version; Root's differ."""
    specs = {name: _node_spec(name, facts) for name, facts in raw("nuke_nodes.json").items()}
    specs["Root"] = NodeSpec("Root", 0, 0, _root_knobs(version))
    specs["Preferences"] = NodeSpec("Preferences", 0, 0, tuple(k for k in specs["NoOp"].knobs if k.name == "name"))
    return specs


@functools.cache
def exr_knobs(node_class: str) -> Tuple[KnobSpec, ...]:
    """Return the knobs that a Read or Write has only while its file is an EXR."""
    facts = raw("nuke_extra.json")
    table = {"Read": facts["exr_read"], "Write": facts["exr_write"]}.get(node_class, {})
    return tuple(_extra_spec(name, spec) for name, spec in table.items())


def _root_knobs(version: int) -> Tuple[KnobSpec, ...]:
    facts = raw("nuke_extra.json")
    common = [KnobSpec(name, kind) for name, kind in _LOOKS.items()]
    own = [_extra_spec(name, spec) for name, spec in facts["root"].items()]
    configs = tuple(facts["ocio_configs"][str(version)])
    return (*common, *own, KnobSpec(facts["ocio_config_knob"][str(version)], "Enumeration_Knob", configs))


_LOOKS = {"label": "Multiline_Eval_String_Knob", "knobChanged": "PythonKnob", "onCreate": "PythonKnob"}


def _extra_spec(name: str, facts: Dict[str, Any]) -> KnobSpec:
    values = tuple(facts.get("values", ()))
    return KnobSpec(name, facts["type"], values, facts.get("default"), facts.get("open", False))


def _node_spec(name: str, facts: Dict[str, Any]) -> NodeSpec:
    extra = raw("nuke_extra.json")
    defaults = {**extra["defaults"]["*"], **extra["defaults"].get(name, {})}
    knobs = []
    for knob, spec in facts["knobs"].items():
        kind, values = (spec, ()) if isinstance(spec, str) else (spec[0], tuple(str(value) for value in spec[1]))
        knobs.append(KnobSpec(knob, kind, values, defaults.get(knob), knob in extra["open_enumerations"]))
    low, high = facts["inputs"]
    return NodeSpec(name, low, high, tuple(knobs))
