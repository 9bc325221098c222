"""The entry in Nuke's menus, for an interface only."""

from __future__ import annotations

import nuke

from host_plugins.nuke import renders
from host_plugins.nuke.session import add_callbacks

_CREATE = "import void_bridge_nuke; void_bridge_nuke.create()"
_SELFTEST = "import void_bridge_nuke; void_bridge_nuke.selftest()"


def add_menu() -> None:
    """Add VOIDRemove to the node menu, the self-test to the menu bar, and the callbacks to this session."""
    nodes = nuke.menu("Nodes").addMenu("VOID")
    nodes.addCommand("VOIDRemove", _CREATE)
    nuke.menu("Nuke").addMenu("VOID").addCommand("Self-test", _SELFTEST)
    add_callbacks()
    renders.add_callbacks()
