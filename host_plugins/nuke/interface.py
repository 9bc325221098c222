"""Entries in Nuke's menus and callbacks of its interface: scripts that are opened, pasted or saved, and renders.

A render must not contain frames that the Viewer shows as the plate because they are not finished. Outside an interface
the node's own expressions prevent that, without the plug-in. Inside one, expressions cannot tell a render from a
Viewer, but Nuke's callbacks can.
"""

from __future__ import annotations

from contextlib import suppress
from typing import List, Optional

import nuke

from host_plugins.nuke.freshness import update_freshness
from host_plugins.nuke.inputs import upstream
from host_plugins.nuke.node import void_nodes
from host_plugins.nuke.panel import SHOW_CHOICES, STATE
from host_plugins.nuke.session import session

_CREATE = "import void_bridge_nuke; void_bridge_nuke.create()"
_SELFTEST = "import void_bridge_nuke; void_bridge_nuke.selftest()"
_rendered_nodes: List[nuke.Node] = []  # the VOIDRemoves upstream of the Write that is being executed


def add_menu() -> None:
    """Add VOIDRemove to the node menu, the self-test to the menu bar, and the callbacks to this session."""
    nuke.menu("Nodes").addMenu("VOID").addCommand("VOIDRemove", _CREATE)
    nuke.menu("Nuke").addMenu("VOID").addCommand("Self-test", _SELFTEST)
    nuke.addOnScriptLoad(on_script_load)
    nuke.addOnScriptSave(on_script_save)
    nuke.addOnCreate(on_create, nodeClass="Group")
    nuke.addBeforeRender(before_render)
    nuke.addBeforeFrameRender(before_frame)


def on_script_load() -> None:
    """Resume the jobs of every node and check whether its result is stale."""
    for node in void_nodes():
        session().resume(node)
        update_freshness(node)


def on_script_save() -> None:
    """Update the freshness of every node, so that a render of the saved script refuses stale results."""
    for node in void_nodes():
        update_freshness(node)


def on_create() -> None:
    """Resume the jobs of a node that was pasted."""
    node: Optional[nuke.Node] = nuke.thisNode()
    if node is not None and node.knob(STATE) and node[STATE].value():
        with suppress(ValueError):  # the node is not complete yet; loading the script resumes it
            session().resume(node)


def before_render() -> None:
    """Find the VOIDRemoves upstream of the Write that is about to be executed."""
    _rendered_nodes[:] = [node for node in upstream([nuke.thisNode()]) if node.knob(STATE)]


def before_frame() -> None:
    """Stop a render whose frame is not the finished, current result.

    Raises:
        RuntimeError: the frame is missing or stale, or the overlay is shown.
    """
    frame = nuke.frame()
    for node in _rendered_nodes:
        reason = _refusal(node, frame)
        if reason:
            raise RuntimeError(f"{node.name()}: {reason}. Submit again, or show 'original'")


def _refusal(node: nuke.Node, frame: int) -> str:
    """Return why a node's frame must not be rendered, or an empty text."""
    shown = str(node["show"].value())
    if shown == SHOW_CHOICES[0] or node["disable"].value():
        return ""
    if shown == SHOW_CHOICES[3]:
        return "'show' is set to the quadmask overlay, a still of one frame"
    if not node["void_bridge_ready"].getValueAt(frame):
        return f"the result does not have frame {frame} yet"
    fresh = node["void_bridge_fresh"].value() or node["use_stale"].value()
    return "" if fresh else "the result is stale"
