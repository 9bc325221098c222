"""Whether a node's result still is what its plate, roto and settings would give."""

from __future__ import annotations

import json
from typing import Dict, List

import nuke

from host_plugins.nuke.digest import digest_of
from host_plugins.nuke.inputs import INPUTS, ROLES
from host_plugins.nuke.panel import STATE, settings_of
from void_bridge.errors import UsageError

# Where a job runs and where it goes change no pixel.
_ELSEWHERE = ("folder", "where", "address", "transport", "priority", "autostart")


def fingerprint(node: nuke.Node) -> str:
    """What a submission at this moment is made of, to be noted with it."""
    return json.dumps({"inputs": _inputs(node), "settings": _settings(node)})


def record_submitted(node: nuke.Node, made: str) -> None:
    """Remember what the node's result is made of, as `fingerprint` said when it was asked for."""
    node["void_bridge_submitted"].setValue(made)
    _set_fresh(node, True)


def update_freshness(node: nuke.Node) -> None:
    """Look at inputs and settings again."""
    submitted = _submitted(node)
    if submitted:
        _set_fresh(node, submitted == {"inputs": _inputs(node), "settings": _settings(node)})


def update_settings_freshness(node: nuke.Node) -> None:
    """Look at the settings alone, which is quick: for every change of a knob. Inputs are looked at when saving."""
    submitted = _submitted(node)
    if submitted and submitted["settings"] != _settings(node):
        _set_fresh(node, False)
    elif submitted and not node["void_bridge_fresh"].value():
        update_freshness(node)


def _submitted(node: nuke.Node) -> Dict[str, str]:
    text = str(node["void_bridge_submitted"].value() or "")
    return dict(json.loads(text)) if text and node[STATE].value() else {}


def _set_fresh(node: nuke.Node, fresh: bool) -> None:
    from host_plugins.nuke.result import jobs_of, store_jobs

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
    except UsageError:  # something that cannot be read was typed: not what was submitted
        return "unreadable"
    kept = {name: value for name, value in settings.items() if name not in _ELSEWHERE}
    mattes = [[role, node[f"{role}_channel"].value(), bool(node[f"{role}_invert"].value())] for role in ROLES]
    more = [str(node["views"].value()), bool(node["own_files"].value()), _frames(node)]
    return json.dumps([kept, mattes, *more], sort_keys=True)


def _frames(node: nuke.Node) -> str:
    """What the range comes to: the script's may have changed. The plate's is among the inputs."""
    root = nuke.root()
    is_global = node["frames_from"].value() == "global"
    return f"{root['first_frame'].value()}-{root['last_frame'].value()}" if is_global else ""
