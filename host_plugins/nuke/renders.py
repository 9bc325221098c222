"""Renders inside an interface: frames that the Viewer shows as the plate must not go out as if they were the result.

Outside an interface the node's own expressions see to that, without the plug-in. Inside, they cannot tell a render from
a Viewer; Nuke's callbacks can.
"""

from __future__ import annotations

from typing import List

import nuke

from host_plugins.nuke.inputs import upstream
from host_plugins.nuke.panel import SHOW_CHOICES, STATE

_feeding: List[nuke.Node] = []


def add_callbacks() -> None:
    nuke.addBeforeRender(before_render)
    nuke.addBeforeFrameRender(before_frame)


def before_render() -> None:
    """Note the VOIDRemoves that feed the Write that is about to be executed."""
    _feeding[:] = [node for node in upstream([nuke.thisNode()]) if node.knob(STATE)]


def before_frame() -> None:
    """Raises RuntimeError: this frame of a result is missing or stale, or the overlay is shown."""
    frame = nuke.frame()
    for node in _feeding:
        words = _refused(node, frame)
        if words:
            raise RuntimeError(f"{node.name()}: {words}. Submit again, or show 'original'")


def _refused(node: nuke.Node, frame: int) -> str:
    shown = str(node["show"].value())
    if shown == SHOW_CHOICES[0] or node["disable"].value():
        return ""
    if shown == SHOW_CHOICES[3]:
        return "the quadmask overlay is shown, which is a still of one frame"
    if not node["void_bridge_ready"].getValueAt(frame):
        return f"the result does not have frame {frame} (yet)"
    fresh = node["void_bridge_fresh"].value() or node["use_stale"].value()
    return "" if fresh else "the result is stale"
