"""The construction of a session's `nuke` module."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Callable, Dict

from tests.hosts.fake_nuke import constants
from tests.hosts.fake_nuke.api import ApiObject, guarded
from tests.hosts.fake_nuke.callbacks import OCCASIONS
from tests.hosts.fake_nuke.dialogs import Menu, MenuItem, Panel, ProgressTask
from tests.hosts.fake_nuke.formats import Format
from tests.hosts.fake_nuke.functions import (
    ContextFunctions,
    DialogFunctions,
    NodeFunctions,
    RenderFunctions,
    ScriptFunctions,
)
from tests.hosts.fake_nuke.groups import Gizmo, Group, Root, Viewer
from tests.hosts.fake_nuke.knobs import Knob
from tests.hosts.fake_nuke.layers import Layer
from tests.hosts.fake_nuke.nodes import Node
from tests.hosts.fake_nuke.other_knobs import CLASSES
from tests.hosts.fake_nuke.undo import Undo

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.session import FakeNuke

_FUNCTIONS = (NodeFunctions, ScriptFunctions, RenderFunctions, ContextFunctions, DialogFunctions)
_PLAIN_CLASSES = (
    *(Node, Group, Gizmo, Root, Viewer, Knob),
    *(Format, Layer, Undo, ProgressTask, Panel, Menu, MenuItem),
)


def make_module(session: FakeNuke) -> types.ModuleType:
    """Return the `nuke` module of a session."""
    nuke = types.ModuleType("nuke", "A fake of Nuke's module, for tests.")
    vars(nuke).update(constants.ALL, **_facts(session), **CLASSES)
    vars(nuke).update({each.__name__: each for each in _PLAIN_CLASSES})
    for functions in _FUNCTIONS:
        vars(nuke).update(_public(functions(session)))
    vars(nuke).update(_callback_functions(session))
    vars(nuke).update(nodes=Nodes(session), executeInMainThread=session.threads.post)
    return nuke


class Nodes(ApiObject):
    """The object `nuke.nodes`: `nuke.nodes.Blur(name="Blur1", inputs=[other], size=3)`."""

    def __init__(self, session: FakeNuke) -> None:
        self._session = session

    def __getattr__(self, item: str) -> Callable[..., Node]:
        if item.startswith("_"):
            raise AttributeError(item)
        return guarded(lambda **knobs: self._make(item, knobs), f"nuke.nodes.{item}")

    def _make(self, kind: str, knobs: Dict[str, Any]) -> Node:
        values = dict(knobs)
        node = self._session.make_node(kind, self._session.context.group, values.pop("name", ""))
        for index, source in enumerate(values.pop("inputs", ())):
            node.setInput(index, source)
        for name, value in values.items():
            node[name].setValue(value)
        self._session.callbacks.run("OnCreate", node)
        return node


def _public(functions: object) -> Dict[str, Callable[..., Any]]:
    names = [name for name in vars(type(functions)) if not name.startswith("_")]
    return {name: guarded(getattr(functions, name), f"nuke.{name}") for name in names}


def _facts(session: FakeNuke) -> Dict[str, Any]:
    version = {"Major": session.version, "Minor": 0, "Release": 1, "String": session.version_string}
    env = {
        "ExecutablePath": session.executable,
        **{f"NukeVersion{part}": value for part, value in version.items()},
        "PluginExt": "so",
        **{"LINUX": True, "WIN32": False, "MACOS": False},
        **{"gui": session.gui, "interactive": session.gui, "numCPUs": 2, "threads": 2},
        **dict.fromkeys(("nukex", "studio", "indie", "nc", "assist"), False),
    }
    return {
        "env": env,
        "EXE_PATH": session.executable,
        "GUI": session.gui,
        "INTERACTIVE": session.gui,
        **{f"NUKE_VERSION_{part.upper()}": value for part, value in version.items()},
        "NUM_CPUS": 2,
        "THREADS": 2,
        "rawArgs": [session.executable, *([] if session.gui else ["-t"])],
        "untitled": "Untitled",
    }


def _callback_functions(session: FakeNuke) -> Dict[str, Callable[..., Any]]:
    """Return addOnCreate and so on."""
    return {f"add{occasion}": guarded(_adder(session, occasion), f"nuke.add{occasion}") for occasion in OCCASIONS}


def _adder(session: FakeNuke, occasion: str) -> Callable[..., None]:
    def add(call: Any, args: Any = (), kwargs: Any = None, nodeClass: str = "*", node: Any = None) -> None:
        session.callbacks.add(occasion, call, args, kwargs, nodeClass, node)

    return add
