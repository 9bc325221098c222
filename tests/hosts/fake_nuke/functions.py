"""The functions of the `nuke` module. Each class gathers some; its public methods are the module's functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Sequence

from tests.hosts.fake_nuke import constants, render, script_text
from tests.hosts.fake_nuke.dialogs import Menu
from tests.hosts.fake_nuke.groups import Group, Root
from tests.hosts.fake_nuke.knobs import Knob
from tests.hosts.fake_nuke.nodes import Node
from tests.hosts.fake_nuke.scope import fill_frame
from tests.hosts.fake_nuke.script import below

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.session import FakeNuke


class _Functions:
    def __init__(self, session: FakeNuke) -> None:
        self._session = session


class NodeFunctions(_Functions):
    """Functions that create, find, select and delete nodes."""

    def createNode(self, typ: str, knobs: str = "", inpanel: bool = True) -> Node:
        session = self._session
        chosen = self.selectedNodes()
        node = session.make_node(typ, session.context.group)
        for index, source in enumerate(reversed(chosen)):
            if index < node.maxInputs():
                node.setInput(index, source)
        assert not knobs, "the fake reads no knobs of createNode"
        for each in self.allNodes():
            each.setSelected(each is node)
        session.callbacks.run("OnUserCreate", node)
        session.callbacks.run("OnCreate", node)
        if inpanel:
            node.showControlPanel()
        return node

    def allNodes(self, filter: str = "", group: Optional[Group] = None, recurseGroups: bool = False) -> List[Node]:
        start = self._session.context.group if group is None else group
        found = below(start) if recurseGroups else list(start._children)
        return [node for node in found if filter in ("", node._spec.name)]

    def selectedNodes(self, filter: str = "") -> List[Node]:
        return [node for node in self.allNodes(filter) if node.isSelected()]

    def selectedNode(self) -> Node:
        chosen = self.selectedNodes()
        if not chosen:
            raise ValueError("no node selected")
        return chosen[-1]

    def toNode(self, s: str) -> Optional[Node]:
        return self._session.find(s)

    def delete(self, n: Optional[Node]) -> None:
        if n is not None:
            self._session.delete_node(n)

    def filename(self, node: Node, i: int = -1) -> Optional[str]:
        knob: Any = node._live()._find("file")
        if knob is None or not knob._state:
            return None
        path = str(knob.getEvaluatedValue())
        return fill_frame(path, self._session.frame, self._session.view) if i == constants.REPLACE else path

    def nodeCopy(self, s: str) -> None:
        Path(s).write_text(script_text.nodes_text(self.selectedNodes()), "utf-8")

    def nodePaste(self, s: str) -> Optional[Node]:
        for node in self.selectedNodes():
            node.setSelected(False)
        nodes = self._session.paste(Path(s).read_text("utf-8"), self._session.context.group)
        for node in nodes:
            node.setSelected(True)
        return nodes[-1] if nodes else None


class ScriptFunctions(_Functions):
    """Functions of the script as a whole."""

    def root(self) -> Root:
        return self._session.root

    def scriptName(self) -> str:
        name = str(self._session.root._own_knobs["name"]._state or "")
        if not name:
            raise RuntimeError("the script was never saved")
        return name

    def scriptSave(self, filename: Optional[str] = None) -> bool:
        """Save the script; with a file name write it there, and the script keeps its own name."""
        if filename is not None:
            self._session.write_script(filename)
        else:
            self._session.save_script(self.scriptName())
        return True

    def scriptSaveAs(self, filename: Optional[str] = None, overwrite: int = -1) -> None:
        if filename is None:
            raise AssertionError("the fake has no file dialog")
        if Path(filename).exists() and overwrite != 1:
            raise RuntimeError(f"{filename} exists")
        self._session.save_script(filename)

    def scriptOpen(self, filename: Optional[str] = None) -> None:
        if filename is None:
            raise AssertionError("the fake has no file dialog")
        self._session.open_script(filename)

    def views(self) -> List[str]:
        return list(self._session.views)

    def addView(self, s: str) -> None:
        self._session.add_view(s)

    def deleteView(self, s: str) -> None:
        self._session.views.remove(s)
        if self._session.view == s:
            self._session.view = self._session.views[0]

    def frame(self, f: Optional[int] = None) -> int:
        if f is not None:
            self._session.frame = int(f)
        return self._session.frame

    def undo(self) -> None:
        self._session.undo.undo()


class RenderFunctions(_Functions):
    """Functions that execute Writes."""

    def execute(
        self,
        nameOrNode: Any,
        start: Any = None,
        end: Any = None,
        incr: Any = None,
        views: Optional[List[str]] = None,
        continueOnError: bool = False,
    ) -> None:
        node = self._session.find(nameOrNode) if isinstance(nameOrNode, str) else nameOrNode
        if node is None:
            raise RuntimeError(f"there is no node {nameOrNode}")
        first, last = self._session.root.firstFrame(), self._session.root.lastFrame()
        frames = range(first if start is None else start, (last if end is None else end) + 1, incr or 1)
        render.execute([node], frames, views, continueOnError)

    def executeMultiple(
        self, nodes: Sequence[Node], ranges: Any, views: Optional[List[str]] = None, continueOnError: bool = False
    ) -> None:
        frames = [frame for first, last, step in ranges for frame in range(first, last + 1, step)]
        render.execute(list(nodes), frames, views, continueOnError)


class ContextFunctions(_Functions):
    """The context that a script runs in."""

    def thisNode(self) -> Node:
        return self._session.context.this_node()

    def thisKnob(self) -> Optional[Knob]:
        return self._session.context.this_knob()

    def thisGroup(self) -> Group:
        return self._session.context.group


class DialogFunctions(_Functions):
    """Functions that show something or install into the interface."""

    def menu(self, name: str) -> Menu:
        if not self._session.gui:
            raise RuntimeError(f"menu {name}: there are no menus in nuke -t")
        return self._session.menus.setdefault(name, Menu(name))

    def message(self, prompt: str) -> None:
        self._session.dialogs.message(prompt)

    def ask(self, prompt: str) -> bool:
        return self._session.dialogs.ask(prompt)

    def getInput(self, prompt: str, default: str = "") -> Optional[str]:
        return self._session.dialogs.get_input(prompt, default)

    def tprint(self, *args: Any, sep: str = " ", end: str = "\n", file: Any = None) -> None:
        self._session.dialogs.printed.append(sep.join(str(arg) for arg in args))
