"""The freshness of a node's result: whether plate, roto and settings are those that it was submitted with."""

from __future__ import annotations

import json
from typing import Dict, List

import nuke

from host_plugins.nuke.digest import digest_of
from host_plugins.nuke.inputs import INPUTS, ROLES
from host_plugins.nuke.panel import STATE, settings_of
from host_plugins.nuke.result import jobs_of, store_jobs
from void_bridge.errors import UsageError

# Settings about where a job runs and where its frames go; they change no pixel.
_NO_PIXELS = ("folder", "where", "address", "transport", "priority", "autostart")


def fingerprint(node: nuke.Node) -> str:
    """Return a text that identifies the node's inputs and settings, to be stored with a submission."""
    return json.dumps({"inputs": _inputs(node), "settings": _settings(node)})


def record_submitted(node: nuke.Node, submitted: str) -> None:
    """Store the fingerprint of the submission that the node shows, and mark the result as fresh."""
    node["void_bridge_submitted"].setValue(submitted)
    _set_fresh(node, True)


def update_freshness(node: nuke.Node) -> None:
    """Compare inputs and settings with those that were submitted."""
    submitted = _submitted(node)
    if submitted:
        _set_fresh(node, submitted == {"inputs": _inputs(node), "settings": _settings(node)})


def update_settings_freshness(node: nuke.Node) -> None:
    """Compare the settings alone, which is quick enough for every change of a knob; inputs are compared on saving."""
    submitted = _submitted(node)
    if submitted and submitted["settings"] != _settings(node):
        _set_fresh(node, False)
    elif submitted and not node["void_bridge_fresh"].value():
        update_freshness(node)


def _submitted(node: nuke.Node) -> Dict[str, str]:
    text = str(node["void_bridge_submitted"].value() or "")
    return dict(json.loads(text)) if text and node[STATE].value() else {}


def _set_fresh(node: nuke.Node, fresh: bool) -> None:
    if bool(node["void_bridge_fresh"].value()) != fresh:
        node["void_bridge_fresh"].setValue(fresh)
        store_jobs(node, jobs_of(node))


def _inputs(node: nuke.Node) -> str:
    nodes: List[nuke.Node] = [each for each in (node.input(i) for i in range(len(INPUTS))) if each is not None]
    connected = [str(node.input(i) is not None) for i in range(len(INPUTS))]
    return digest_of(nodes, *connected)


def _settings(node: nuke.Node) -> str:
    try:
        settings = settings_of(node).values()
    except UsageError:  # a value that cannot be read was typed, so it is not the submitted one
        return "unreadable"
    settings = {name: value for name, value in settings.items() if name not in _NO_PIXELS}
    mattes = [[role, node[f"{role}_channel"].value(), bool(node[f"{role}_invert"].value())] for role in ROLES]
    more = [str(node["views"].value()), bool(node["own_files"].value()), _frames(node)]
    return json.dumps([settings, mattes, *more], sort_keys=True)


def _frames(node: nuke.Node) -> str:
    """Return the script's frame range if the job uses it; the plate's range is among the inputs."""
    root = nuke.root()
    is_global = node["frames_from"].value() == "global"
    return f"{root['first_frame'].value()}-{root['last_frame'].value()}" if is_global else ""
