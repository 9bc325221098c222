"""The `VOIDRemove` group: its inputs and its image path.

    plate ──────────┬────────────────────────────────────────────── 0 original ─┐
                    ├─ B                                                        │
    result ─┬────── A  lay_over ── with_paste ── 1 ─┐                           ├─ pick ── output
            ├─ solid ── mask                        ├─ content ── guard ── 1 ───┘
            ├─ A fill ────────────────────────── 2 ─┤
    overlay ──────────────────────────────────── 3 ─┘

It holds only native nodes and expressions over hidden knobs, so that a comp renders without the plug-in:
- `lay_over` puts the result's RGB over the live plate wherever `void_bridge.paste` is above 0. The result is blended
  there already; mixing it once more by the same matte would fade its edge twice.
- In the interface a frame that is not finished shows the plate. In a render it is an error, as is a frame outside the
  job, a stale result or the overlay: `guard` and the Read raise it.
- `void_bridge.paste` stays in the stream, so that artists can paste or grade with it themselves.
"""

from __future__ import annotations

from typing import List

import nuke

from host_plugins.nuke.inputs import INPUTS, ROLES
from host_plugins.nuke.panel import STATE, add_panel

CLASS = "VOIDRemove"
LAYER = "void_bridge"
LAYER_CHANNELS = [f"{LAYER}.{name}" for name in (*ROLES, "paste")]
FILL_LAYER = "void_bridge_fill"
FILL_CHANNELS = [f"{FILL_LAYER}.{name}" for name in ("red", "green", "blue")]

_PICK = "parent.show > 0 && (!$gui || parent.show == 3 || parent.void_bridge_ready)"
_CONTENT = "parent.show > 1 ? parent.show - 1 : 0"
_GUARD = (
    "$gui || (parent.show != 3 && (parent.void_bridge_fresh || parent.use_stale)"
    " && frame >= parent.void_bridge_first && frame <= parent.void_bridge_last)"
)
_GUARD_MESSAGE = "VOIDRemove: the result is stale or does not have this frame. Submit again, or show 'original'."
_CHANGED = "__import__('void_bridge_nuke').knob_changed(nuke.thisNode(), nuke.thisKnob())"
_KNOB_CHANGED = f"try:\n    {_CHANGED}\nexcept ImportError:\n    pass"


def create() -> nuke.Node:
    """Create a node, with the selected node as its plate, as one step to undo."""
    with nuke.Undo():
        nuke.Undo.name(f"create {CLASS}")
        nuke.Layer(LAYER, LAYER_CHANNELS)
        nuke.Layer(FILL_LAYER, FILL_CHANNELS)
        selected = nuke.selectedNodes()
        group = nuke.nodes.Group(name=f"{CLASS}1")
        with group:
            _build()
        add_panel(group)
        group["knobChanged"].setValue(_KNOB_CHANGED)
        if selected:
            group.setInput(0, selected[0])
        group.showControlPanel()
    return group


def void_nodes() -> List[nuke.Node]:
    """Return every VOIDRemove of the script, in all groups."""
    return [node for node in nuke.allNodes("Group", recurseGroups=True) if node.knob(STATE)]


def inside(group: nuke.Node, name: str) -> nuke.Node:
    """Return a node of the image path by its name."""
    found = group.node(name)  # type: ignore[attr-defined]
    assert found is not None, f"{group.name()} holds no {name}"
    return found  # type: ignore[no-any-return]


def _build() -> None:
    for index, name in enumerate(INPUTS):
        nuke.nodes.Input(name=name, number=index)
    plate = nuke.toNode("plate")
    result = nuke.nodes.Read(name="result", on_error="error")
    solid = nuke.nodes.Expression(name="solid", inputs=[result])
    solid["channel0"].setValue("alpha")
    solid["expr0"].setValue(f"{LAYER}.paste > 0")
    lay_over = nuke.nodes.Keymix(name="lay_over", inputs=[plate, result, solid], channels="rgb", bbox="B")
    lay_over["maskChannel"].setValue("alpha")
    with_paste = nuke.nodes.Copy(name="with_paste", inputs=[lay_over, result], bbox="B")
    with_paste["from0"].setValue(f"{LAYER}.paste")
    with_paste["to0"].setValue(f"{LAYER}.paste")
    fill = nuke.nodes.Copy(name="fill", inputs=[plate, result], bbox="B")
    for index, name in enumerate(("red", "green", "blue")):
        fill[f"from{index}"].setValue(f"{FILL_LAYER}.{name}")
        fill[f"to{index}"].setValue(f"rgba.{name}")
    overlay = nuke.nodes.Read(name="overlay", on_error="error")
    content = nuke.nodes.Switch(name="content", inputs=[with_paste, fill, overlay])
    content["which"].setExpression(_CONTENT)
    guard = nuke.nodes.Assert(name="guard", inputs=[content])
    guard["expression"].setExpression(_GUARD)
    guard["message"].setValue(_GUARD_MESSAGE)
    pick = nuke.nodes.Switch(name="pick", inputs=[plate, guard])
    pick["which"].setExpression(_PICK)
    nuke.nodes.Output(name="output", inputs=[pick])
