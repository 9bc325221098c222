"""The functions of the `nuke` module. Each class gathers some; its public methods are the module's functions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from tests.hosts.fake_nuke import constants, reads, render, script_text
from tests.hosts.fake_nuke.formats import Format, FrameRange, FrameRanges
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
    """Making, finding, choosing and removing nodes."""

    def createNode(self, typ: str, knobs: str = "", inpanel: bool = True) -> Node:
        session = self._session
        chosen = self.selectedNodes()
        node = session.make_node(typ, session.context.group)
        for index, source in enumerate(reversed(chosen)):
            if index < node.maxInputs():
                node.setInput(index, source)
        self._set_words(node, script_text.words(knobs))
        node.selectOnly()
        session.callbacks.run("OnUserCreate", node)
        session.callbacks.run("OnCreate", node)
        if inpanel:
            node.showControlPanel()
        return node

    def _set_words(self, node: Node, words: Sequence[str]) -> None:
        for name, value in zip(words[::2], words[1::2]):
            node[name].fromScript(value)
            if name == "file":
                reads.look_at_file(node, [])

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

    def selectAll(self) -> None:
        for node in self.allNodes():
            node.setSelected(True)

    def toNode(self, s: str) -> Optional[Node]:
        return self._session.find(s)

    def exists(self, s: str) -> bool:
        return self._session.find(s) is not None

    def delete(self, n: Optional[Node]) -> None:
        if n is not None:
            self._session.delete_node(n)

    def filename(self, node: Node, i: int = -1) -> Optional[str]:
        knob: Any = node._live()._find("file")
        if knob is None or not knob._state:
            return None
        path = str(knob.getEvaluatedValue())
        return fill_frame(path, self._session.frame, self._session.view) if i == constants.REPLACE else path

    def show(self, n: Node, forceFloat: bool = False) -> None:
        n.showControlPanel(forceFloat)

    def nodeCopy(self, s: str) -> None:
        Path(s).write_text(script_text.nodes_text(self.selectedNodes()), "utf-8")

    def nodePaste(self, s: str) -> Optional[Node]:
        for node in self.selectedNodes():
            node.setSelected(False)
        made = self._session.paste(Path(s).read_text("utf-8"), self._session.context.group)
        for node in made:
            node.setSelected(True)
        return made[-1] if made else None


class ScriptFunctions(_Functions):
    """The script as a whole."""

    def root(self) -> Root:
        return self._session.root

    def scriptName(self) -> str:
        name = str(self._session.root._own_knobs["name"]._state or "")
        if not name:
            raise RuntimeError("the script was never saved")
        return name

    def script_directory(self) -> str:
        return Path(self.scriptName()).parent.as_posix()

    def scriptSave(self, filename: Optional[str] = None) -> bool:
        """With a file name it writes there, and the script keeps its own name."""
        if filename is not None:
            self._session.write_script(filename)
        else:
            self._session.save_script(self.scriptName())
        return True

    def scriptSaveAs(self, filename: Optional[str] = None, overwrite: int = -1) -> None:
        if filename is None:
            raise AssertionError("the fake has no file dialog")
        if Path(filename).exists() and not self._may_overwrite(filename, overwrite):
            raise RuntimeError(f"{filename} exists")
        self._session.save_script(filename)

    def _may_overwrite(self, filename: str, overwrite: int) -> bool:
        """By default the artist is asked; in a terminal the answer is no."""
        if overwrite in (0, 1) or not self._session.gui:
            return overwrite == 1
        return self._session.dialogs.ask(f"Overwrite {filename}?")

    def scriptSaveToTemp(self, str: str) -> str:
        target = str or (Path(tempfile.mkdtemp(prefix="fake-nuke-")) / "script.nk").as_posix()
        self._session.write_script(target)
        return target

    def scriptOpen(self, filename: Optional[str] = None) -> None:
        if filename is None:
            raise AssertionError("the fake has no file dialog")
        self._session.open_script(filename)

    def scriptClear(self, *args: Any) -> None:
        self._session.clear_script()

    def scriptClose(self, *args: Any) -> bool:
        self._session.clear_script()
        return True

    def modified(self, state: Optional[bool] = None) -> bool:
        if state is not None:
            self._session.modified = bool(state)
        return self._session.modified

    def layers(self, node: Optional[Node] = None) -> List[str]:
        layers = self._session.layers
        if node is None:
            return layers.names()
        present = set(node.channels())
        return [name for name in layers.names() if present & set(layers.expand(name, []))]

    def channels(self, node: Optional[Node] = None) -> List[str]:
        return self._session.layers.channels() if node is None else node.channels()

    def views(self) -> List[str]:
        return list(self._session.views)

    def addView(self, s: str) -> None:
        self._session.add_view(s)

    def deleteView(self, s: str) -> None:
        self._session.views.remove(s)
        if self._session.view == s:  # which nobody can look at any more
            self._session.view = self._session.views[0]

    def addFormat(self, s: str) -> Format:
        self._session.formats.append(Format._parse(s))
        return self._session.formats[-1]

    def formats(self) -> List[Format]:
        return list(self._session.formats)

    def frame(self, f: Optional[int] = None) -> int:
        if f is not None:
            self._session.frame = int(f)
        return self._session.frame

    def undo(self) -> None:
        self._session.undo.undo()

    def redo(self) -> None:
        self._session.undo.redo()


class RenderFunctions(_Functions):
    """Executing Writes."""

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
        if isinstance(start, (FrameRange, FrameRanges)):
            # The other form: execute(node, ranges, views, continueOnError).
            frames = render.frames_of(start)
            views, go_on = (end if end is not None else views), bool(incr or continueOnError)
        else:
            frames, go_on = render.frames_of(start, end, incr), continueOnError
        render.execute([node], frames, views, go_on)

    def render(self, *args: Any, **kwargs: Any) -> None:
        self.execute(*args, **kwargs)

    def executeMultiple(
        self, nodes: Sequence[Node], ranges: Any, views: Optional[List[str]] = None, continueOnError: bool = False
    ) -> None:
        chosen = ranges if isinstance(ranges, (FrameRange, FrameRanges)) else FrameRanges(list(ranges))
        render.execute(list(nodes), render.frames_of(chosen), views, continueOnError)

    def executeBackgroundNuke(
        self,
        exe_path: str,
        nodes: Sequence[Node],
        frameRange: FrameRanges,
        views: List[str],
        limits: Dict[str, Any],
        continueOnError: bool = False,
        flipbookToRun: str = "",
        flipbookOptions: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Only recorded: the fake starts no second Nuke."""
        said = {"executable": exe_path, "nodes": list(nodes), "frames": frameRange, "views": views, "limits": limits}
        self._session.executed_in_background.append(said)


class ContextFunctions(_Functions):
    """Where a script runs."""

    def thisNode(self) -> Node:
        return self._session.context.this_node()

    def thisKnob(self) -> Optional[Knob]:
        return self._session.context.this_knob()

    def thisGroup(self) -> Group:
        return self._session.context.group

    def thisParent(self) -> Optional[Group]:
        return self._session.context.this_node()._group

    def thisRoot(self) -> Root:
        return self._session.root

    def thisClass(self) -> str:
        return self._session.context.this_node().Class()

    def thisView(self) -> str:
        return self._session.view
