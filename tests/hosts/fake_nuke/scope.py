"""The values of names in expressions and of [Tcl] in texts, for a node, a frame and a view."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.curves import number_text
from tests.hosts.fake_nuke.expressions import ExpressionError, evaluate, names_in

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.knobs import Knob
    from tests.hosts.fake_nuke.nodes import Node

_FRAME = re.compile(r"%(?:0?(\d+))?d")
_HASHES = re.compile(r"#+")


class NodeScope:
    """Names as a knob of `node` sees them."""

    def __init__(self, node: Node, frame: float, view: str) -> None:
        self._node, self._frame, self._view = node, frame, view

    def value(self, name: str) -> Any:
        if name == "frame":
            return float(self._frame)
        if name == "$gui":
            return float(current().gui)
        return self.value_at(name, self._frame)

    def value_at(self, name: str, frame: float) -> Any:
        knob = find_knob(self._node, name)
        if knob is None:
            raise ExpressionError(f"{self._node._full_name()}: Nothing is named {name!r}")
        return knob._number(frame, self._view)

    def tcl(self, command: str) -> str:
        return run_tcl(command, self._node, self._frame, self._view)


def find_knob(node: Node, name: str) -> Optional[Knob]:
    """Return the knob of `knob`, `this.knob`, `parent.knob`, `node.knob`, `group.node.knob` or `root.knob`, or None."""
    *path, knob_name = name.split(".")
    owner: Optional[Node] = node
    if path:
        owner = find_node(node, path)
    return owner._find(knob_name) if owner is not None else None


def find_node(node: Node, path: List[str]) -> Optional[Node]:
    """Return the node of a path seen from `node`: the first name is a neighbour, the next ones are inside it."""
    found: Optional[Node] = node
    holder: Any = node._group
    for name in path:
        if name == "root":
            found = current().root
        elif name == "parent":
            found = found._group if found is not None else None
        elif name != "this":
            found = holder._child(name) if holder is not None and holder._is_group else None
        if found is None:
            return None
        holder = found
    return found


def nodes_in(text: str, node: Node) -> List[Node]:
    """Return the other nodes that an expression of `node` names."""
    owners = []
    for name in names_in(text):
        knob = find_knob(node, name)
        if knob is not None and knob._owner is not None and knob._owner is not node:
            owners.append(knob._owner)
    return owners


def expand(text: str, node: Optional[Node], frame: float, view: str) -> str:
    """Return `text` with every [Tcl command] replaced by its result."""
    result, position = "", 0
    while position < len(text):
        letter = text[position]
        if letter == "\\" and text[position + 1 : position + 2] in ("[", "]"):
            result, position = result + text[position + 1], position + 2
        elif letter == "[":
            end = _closing(text, position)
            result += run_tcl(text[position + 1 : end], node, frame, view)
            position = end + 1
        else:
            result, position = result + letter, position + 1
    return result


def fill_frame(path: str, frame: int, view: str) -> str:
    """Return a path with the frame for %04d or ####, the view's name for %V and its first letter for %v."""
    path = path.replace("%V", view).replace("%v", view[:1])
    path = _FRAME.sub(lambda found: f"{frame:0{int(found[1] or 1)}d}", path)
    return _HASHES.sub(lambda found: f"{frame:0{len(found[0])}d}", path)


def technical(path: str) -> str:
    """Return the vendor's "technical notation": %04d where a user may write ####."""
    return _HASHES.sub(lambda found: f"%0{len(found[0])}d", path)


def run_tcl(command: str, node: Optional[Node], frame: float, view: str) -> str:
    """Run a Tcl command. Raises ExpressionError: the fake does not know it."""
    words = _words(command, node, frame, view)
    name, rest = (words[0], words[1:]) if words else ("", [])
    if name == "value" and len(rest) == 1:
        return _value(rest[0], node, frame, view)
    if name == "file" and len(rest) == 2:
        return _file(rest[0], rest[1])
    if name == "frame" and not rest:
        return number_text(frame)
    if name == "expr" and node is not None:
        return number_text(float(evaluate(" ".join(rest), NodeScope(node, frame, view))))
    raise ExpressionError(f"the fake does not know the command [{command}]")


def _value(name: str, node: Optional[Node], frame: float, view: str) -> str:
    knob = find_knob(node or current().root, name)
    if knob is None:
        raise ExpressionError(f"[value {name}]: Nothing is named {name!r}")
    return knob._text_at(frame, view)


def _file(what: str, path: str) -> str:
    if what == "dirname":
        return posixpath.dirname(path) or "."
    if what == "tail":
        return posixpath.basename(path)
    if what in ("rootname", "extension"):
        root, extension = posixpath.splitext(path)
        return root if what == "rootname" else extension
    raise ExpressionError(f"the fake does not know [file {what}]")


def _words(command: str, node: Optional[Node], frame: float, view: str) -> List[str]:
    words: List[str] = []
    position = 0
    while position < len(command):
        if command[position].isspace():
            position += 1
            continue
        word, position = _word(command, position, node, frame, view)
        words.append(word)
    return words


def _word(command: str, position: int, node: Optional[Node], frame: float, view: str) -> Tuple[str, int]:
    end = position
    while end < len(command) and not command[end].isspace():
        end = _closing(command, end) + 1 if command[end] == "[" else end + 1
    return expand(command[position:end], node, frame, view), end


def _closing(text: str, start: int) -> int:
    depth = 0
    for position in range(start, len(text)):
        depth += {"[": 1, "]": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise ExpressionError(f"no closing bracket in {text!r}")
