"""Groups, the root of a script, and viewers."""

from __future__ import annotations

from typing import Any, List, Optional

from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.data import NodeSpec
from tests.hosts.fake_nuke.nodes import Node, unique


class Group(Node):
    """A node that holds nodes. Its inputs are its Input nodes, in the order of their `number`."""

    _is_group = True

    def __init__(self, spec: NodeSpec, group: Optional[Group]) -> None:
        super().__init__(spec, group)
        self._children: List[Node] = []

    def begin(self) -> Group:
        current().context.enter(self)
        return self

    def end(self) -> None:
        current().context.leave()

    def __enter__(self) -> Group:
        return self.begin()

    def __exit__(self, type: Any, value: Any, traceback: Any) -> None:
        current().context.leave()

    def node(self, s: str) -> Optional[Node]:
        """Return the node of a (dotted) name inside this group."""
        found: Optional[Node] = self
        for name in s.split("."):
            found = found._child(name) if isinstance(found, Group) else None
        return found

    def nodes(self) -> List[Node]:
        return list(self._children)

    def _child(self, name: str) -> Optional[Node]:
        return next((node for node in self._children if node._name == name), None)

    def _input_nodes(self) -> List[Node]:
        found = [node for node in self._children if node._spec.name == "Input"]
        return sorted(found, key=lambda node: node._own_knobs["number"]._number(0, ""))

    def _output_node(self) -> Optional[Node]:
        return next((node for node in self._children if node._spec.name == "Output"), None)

    def _max_inputs(self) -> int:
        return len(self._input_nodes())

    def _free_name(self, name: str) -> str:
        return unique(name, {node._name for node in self._children})


class Gizmo(Group):
    """There for isinstance; the fake makes none."""


class Viewer(Node):
    pass


class Root(Group):
    """The script itself."""

    def name(self) -> str:
        """Return the script's file; `Root` while it was never saved."""
        return str(self._own_knobs["name"]._state or "") or "Root"

    def firstFrame(self) -> int:
        return int(self["first_frame"].value())

    def lastFrame(self) -> int:
        return int(self["last_frame"].value())

    def modified(self) -> bool:
        return current().modified

    def setModified(self, modified: bool) -> None:
        current().modified = bool(modified)

    def _full_name(self) -> str:
        return "root"
