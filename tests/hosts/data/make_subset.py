"""Make nuke_nodes.json: the node classes that the plug-in and its tests use, out of the whole scan.

    python -m tests.hosts.data.make_subset WHOLE_SCAN.json

Kept: inputs, knob types, and the values of enumerations. Dropped: defaults and sample values, which say more about the
machine that was scanned than about Nuke.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict

SUBSET = Path(__file__).with_name("nuke_nodes.json")
CLASSES = (
    *("Assert", "Constant", "Copy", "Crop", "Dot", "Expression", "Grade", "Group", "Input", "Invert", "JoinViews"),
    *("Keymix", "Merge2", "NoOp", "Output", "Read", "Remove", "Roto", "Switch", "TimeOffset", "Viewer", "Write"),
)
WITH_VALUES = ("Enumeration_Knob", "Channel_Knob", "ChannelMask_Knob", "Pulldown_Knob", "Radio_Knob")


def subset(whole: Dict[str, Any]) -> Dict[str, Any]:
    """Return class -> {"inputs": [min, max], "knobs": {name: type, or [type, values]}}."""
    return {name: {"inputs": whole[name]["inputs"], "knobs": _knobs(whole[name]["knobs"])} for name in CLASSES}


def as_text(nodes: Dict[str, Any]) -> str:
    """Return JSON with one line a knob."""
    classes = (f"{json.dumps(name)}: {_class_text(spec)}" for name, spec in sorted(nodes.items()))
    return "{\n" + ",\n".join(classes) + "\n}\n"


def _class_text(spec: Dict[str, Any]) -> str:
    knobs = (f"  {json.dumps(name)}: {json.dumps(knob)}" for name, knob in sorted(spec["knobs"].items()))
    return f'{{"inputs": {json.dumps(spec["inputs"])}, "knobs": {{\n' + ",\n".join(knobs) + "\n}}"


def _knobs(knobs: Dict[str, Any]) -> Dict[str, Any]:
    return {name: _knob(spec) for name, spec in knobs.items()}


def _knob(spec: Any) -> Any:
    if isinstance(spec, str):
        return spec
    kind, values = spec
    return [kind, values] if kind in WITH_VALUES else kind


def main() -> None:
    whole = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    SUBSET.write_text(as_text(subset(whole)), "utf-8")


if __name__ == "__main__":
    main()
