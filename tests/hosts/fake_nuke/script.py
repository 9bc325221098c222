"""The script that is open: its nodes, views, layers and undo, and how it is saved, loaded and closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Type

from tests.hosts.fake_nuke import script_text
from tests.hosts.fake_nuke.callbacks import Callbacks, Context
from tests.hosts.fake_nuke.data import node_specs
from tests.hosts.fake_nuke.formats import Format
from tests.hosts.fake_nuke.groups import Group, Root, Viewer
from tests.hosts.fake_nuke.layers import Layers
from tests.hosts.fake_nuke.nodes import Node
from tests.hosts.fake_nuke.other_knobs import PROJECT_FORMAT
from tests.hosts.fake_nuke.undo import UndoStack

_NODE_CLASSES: Dict[str, Type[Node]] = {"Group": Group, "Viewer": Viewer}


class OpenScript:
    """Part of FakeNuke. Everything here starts anew when a script is closed or opened."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.callbacks = Callbacks()
        self._start()

    def _start(self) -> None:
        self.layers, self.undo, self.context = Layers(), UndoStack(), Context()
        self.views: List[str] = ["main"]
        self.view, self.frame = "main", 1
        self.formats: List[Format] = [Format._parse(PROJECT_FORMAT), Format(1920, 1080, 1, "HD_1080")]
        self.read_cache: Dict[Any, Any] = {}
        specs = node_specs(self.version)
        self.root = Root(specs["Root"], None)
        self.preferences = Node(specs["Preferences"], None)
        self.modified = False

    def touched(self) -> None:
        self.modified = True

    # --- nodes ----------------------------------------------------------------------------------------------------

    def every_node(self) -> List[Node]:
        """Return all nodes of the script, groups before their contents."""
        return below(self.root)

    def find(self, path: str, group: Optional[Group] = None) -> Optional[Node]:
        """Find the node of a (dotted) name, first in `group` and then from the root."""
        special = {"root": self.root, "Root": self.root, "preferences": self.preferences}
        if path in special:
            return special[path]
        inside = path[len("root.") :] if path.startswith("root.") else path
        return (group or self.context.group).node(inside) or self.root.node(inside)

    def make_node(self, kind: str, group: Group, name: str = "") -> Node:
        """Create a node, before any callback. Raises RuntimeError: no such class."""
        spec = node_specs(self.version).get(kind)
        if spec is None or kind in ("Root", "Preferences"):
            raise RuntimeError(f"{kind}: Unknown command (the fake knows the node classes of ../data/nuke_nodes.json)")
        node = _NODE_CLASSES.get(kind, Node)(spec, group)
        node._own_knobs["name"]._state = group._free_name(name or f"{kind.rstrip('0123456789')}1")
        if kind == "Input":
            taken = [int(node._own_knobs["number"]._number(0, "")) for node in group._input_nodes()]
            node._own_knobs["number"]._state[0].constant = float(max(taken, default=-1) + 1)
        group._children.append(node)
        self.undo.record(lambda: self._detach(node))
        self.touched()
        return node

    def delete_node(self, node: Node) -> None:
        """Delete a node and disconnect the nodes below it."""
        group = node._live()._group
        if group is None:
            raise ValueError("the root cannot be deleted")
        inside = below(node) if isinstance(node, Group) else []
        for each in reversed([node, *inside]):
            self.callbacks.run("OnDestroy", each)
        for other in group._children:
            for index in [index for index, source in other._inputs.items() if source is node]:
                self._disconnect(other, index, node)
        self._detach(node)
        self.undo.record(lambda: self._attach(node))
        self.touched()

    def _disconnect(self, node: Node, index: int, source: Node) -> None:
        node._connect(index, None)
        self.undo.record(lambda: node._connect(index, source))

    def _detach(self, node: Node) -> None:
        assert node._group is not None
        node._group._children.remove(node)
        _set_alive(node, False)

    def _attach(self, node: Node) -> None:
        assert node._group is not None
        node._group._children.append(node)
        _set_alive(node, True)

    def paste(self, text: str, group: Group) -> List[Node]:
        """Create nodes from a text, under free names, and return those that are directly in the group."""
        nodes = script_text.read_nodes(text, group)
        for node in nodes:
            self.callbacks.run("OnCreate", node)
        return [node for node in nodes if node._group is group]

    # --- files ----------------------------------------------------------------------------------------------------

    def save_script(self, path: str) -> None:
        self.root._own_knobs["name"]._state = Path(path).as_posix()
        self.write_script(path)
        self.modified = False

    def write_script(self, path: str) -> None:
        """Write the script somewhere; it keeps its name."""
        self.callbacks.run("OnScriptSave", self.root)
        _write_text(path, script_text.script())

    def open_script(self, path: str) -> None:
        text = _read_text(path)
        self.clear_script()
        with self.undo.quiet():
            nodes = script_text.read_script(text)
            self.root._own_knobs["name"]._state = Path(path).as_posix()
            self.view = self.views[0]
            for node in nodes:
                self.callbacks.run("OnCreate", node)
            self.callbacks.run("OnScriptLoad", self.root)
        self.modified = False

    def clear_script(self) -> None:
        """Close the script: callbacks, then every node object is dead."""
        self.callbacks.run("OnScriptClose", self.root)
        for node in reversed(self.every_node()):
            self.callbacks.run("OnDestroy", node)
        for node in (*self.every_node(), self.root):
            node._alive = False
        self._start()

    def add_view(self, name: str) -> None:
        if name not in self.views:
            self.views.append(name)


def below(group: Group) -> List[Node]:
    """Return all nodes in a group, groups before their contents."""
    found: List[Node] = []
    for node in group._children:
        found.append(node)
        found += below(node) if isinstance(node, Group) else []
    return found


def _set_alive(node: Node, alive: bool) -> None:
    node._alive = alive
    for child in node._children if isinstance(node, Group) else ():
        _set_alive(child, alive)


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError as exc:
        raise RuntimeError(f"Can't read {path}: {exc.strerror}") from exc


def _write_text(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, "utf-8")
    except OSError as exc:
        raise RuntimeError(f"Can't write {path}: {exc.strerror}") from exc
