"""VOID Bridge in Nuke, for scripts and buttons.

import void_bridge_nuke
node = void_bridge_nuke.create()
void_bridge_nuke.render(node)        under nuke -t: submits, waits, shows the result
void_bridge_nuke.selftest()          in an interface: what could not be verified without Nuke, as a report
"""

from host_plugins.nuke.actions import (
    cancel,
    check_server,
    compare,
    find_jobs,
    free_gpu,
    knob_changed,
    open_folder,
    preview,
    reload,
    submit,
)
from host_plugins.nuke.node import create, void_nodes
from host_plugins.nuke.selftest import selftest
from host_plugins.nuke.terminal import render

__all__ = [
    "cancel",
    "check_server",
    "compare",
    "create",
    "find_jobs",
    "free_gpu",
    "knob_changed",
    "open_folder",
    "preview",
    "reload",
    "render",
    "selftest",
    "submit",
    "void_nodes",
]
