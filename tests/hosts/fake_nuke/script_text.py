"""Scripts as text. The form is the fake's own. It holds what a .nk file holds and no more: classes, knobs that differ
from their default (values, expressions, animation), user knobs with their kind and flags, connections, groups, layers.

    layer void_bridge void_bridge.remove void_bridge.paste
    node Group "VOIDRemove1"
    user {"kind": "Int_Knob", "name": "handles", ...}
    knob handles 8
    input 0 Read1
    node Input plate
    end
    end
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Optional, Tuple

from tests.hosts.fake_nuke import constants
from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.array_knobs import Array_Knob
from tests.hosts.fake_nuke.data import exr_knobs, node_specs
from tests.hosts.fake_nuke.knobs import Knob, Tab_Knob
from tests.hosts.fake_nuke.number_knobs import Enumeration_Knob
from tests.hosts.fake_nuke.other_knobs import CLASSES, make_knob

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.groups import Group
    from tests.hosts.fake_nuke.nodes import Node

_HEAD = "# a script of the fake Nuke"
_NEVER = ("name", "selected")
Table = Dict[str, "Node"]
Link = Tuple["Node", int, Table, str]


def script() -> str:
    """Return the text of the script that is open."""
    session = current()
    lines = [_HEAD, f"views {' '.join(session.views)}"]
    lines += [f"layer {name} {' '.join(channels)}" for name, channels in session.layers.own().items()]
    lines += ["root", *knob_lines(session.root).splitlines(), "end"]
    lines += [line for node in session.root._children for line in _node_lines(node)]
    return "\n".join(lines) + "\n"


def nodes_text(nodes: Iterable[Node]) -> str:
    """Return the text of some nodes, as copying puts it on the clipboard. Connections to nodes outside are left out."""
    chosen = list(nodes)
    names = {node._name for node in chosen}
    layers = [f"layer {name} {' '.join(channels)}" for name, channels in current().layers.own().items()]
    return "\n".join([_HEAD, *layers, *(line for node in chosen for line in _node_lines(node, names))]) + "\n"


def knob_lines(node: Node, everything: bool = False, definitions: bool = True) -> str:
    """Return a node's knobs, one a line, without those at their default."""
    lines = [_user_line(node._own_knobs[name]) for name in node._user_knobs] if definitions else []
    defaults = _default_scripts(current().version, node._spec.name)
    for name, knob in node._visible_knobs().items():
        text = knob._script()
        changed = everything or name in node._user_knobs or text != defaults.get(name)
        if changed and name not in _NEVER and not knob._flags & constants.DO_NOT_WRITE:
            lines.append(f"knob {json.dumps(name)} {text}")
    return "\n".join(lines)


def read_script(text: str) -> List[Node]:
    """Fill the empty script that is open; returns every node, those inside before their groups."""
    return _Reader(text, current().root).read()


def read_nodes(text: str, group: Group) -> List[Node]:
    """Add the nodes of a text to a group, under free names."""
    return _Reader(text, group).read()


def read_knob_lines(node: Node, text: str) -> None:
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "user":
            _add_user_knob(node, json.loads(rest))
        elif word == "knob":
            _load_knob(node, rest)


def _node_lines(node: Node, names: Optional[set[str]] = None) -> Iterator[str]:
    yield f"node {node._spec.name} {node._name}"
    yield from knob_lines(node).splitlines()
    for index, source in sorted(node._inputs.items()):
        if source is not None and (names is None or source._name in names):
            yield f"input {index} {source._name}"
    if node._drawing:
        yield f"drawing {node._drawing} {json.dumps(_boxes(node._drawing))}"
    if node._is_group:
        for child in node._children:  # type: ignore[attr-defined]
            yield from _node_lines(child)
    yield "end"


def _user_line(knob: Knob) -> str:
    facts: Dict[str, Any] = {"kind": knob._kind, "name": knob._name, "label": knob._label}
    facts.update(flags=knob._flags, tooltip=knob._hint)
    if isinstance(knob, Enumeration_Knob):
        facts["values"] = knob._values_list
    elif isinstance(knob, Array_Knob):
        facts.update(size=len(knob._state), range=knob._range)
    elif isinstance(knob, Tab_Knob):
        facts["group"] = knob._group
    return f"user {json.dumps(facts)}"


@functools.cache
def _default_scripts(version: int, node_class: str) -> Dict[str, str]:
    specs = (*node_specs(version)[node_class].knobs, *exr_knobs(node_class))
    return {spec.name: make_knob(spec)._script() for spec in specs}


class _Reader:
    """Makes the nodes of a text. Connections are made at the end, when all nodes are there."""

    def __init__(self, text: str, group: Group) -> None:
        self._lines = iter([line for line in text.splitlines() if line and not line.startswith("#")])
        self._group = group
        self._made: List[Node] = []
        self._links: List[Link] = []

    def read(self) -> List[Node]:
        self._read_group(self._group)
        for node, index, table, name in self._links:
            node._inputs[index] = table[name]
        return self._made

    def _read_group(self, group: Group) -> None:
        """Read up to the line that ends the group. Names are looked up among the nodes of the text."""
        table: Dict[str, Node] = {}
        for line in self._lines:
            word, _, rest = line.strip().partition(" ")
            if word == "end":
                return
            if word == "node":
                kind, name = rest.split()
                node = table[name] = current().make_node(kind, group, name)
                self._read_node(node, table)
            else:
                self._read_head(word, rest)

    def _read_head(self, word: str, rest: str) -> None:
        if word == "views":
            current().views[:] = rest.split()
        elif word == "layer":
            name, *channels = rest.split()
            current().layers.add(name, channels)
        elif word == "root":
            self._read_node(current().root, {})
        else:
            raise RuntimeError(f"cannot read the script's line {word} {rest}")

    def _read_node(self, node: Node, table: Dict[str, Node]) -> None:
        inner: Dict[str, Node] = {}
        for line in self._lines:
            word, _, rest = line.strip().partition(" ")
            if word == "end":
                break
            if word == "node":
                kind, name = rest.split()
                inner[name] = current().make_node(kind, node, name)  # type: ignore[arg-type]
                self._read_node(inner[name], inner)
            elif word == "input":
                index, name = rest.split()
                self._links.append((node, int(index), table, name))
            elif word == "drawing":
                _read_drawing(node, rest)
            else:
                read_knob_lines(node, line)
        if node._group is not None:
            self._made.append(node)


def _boxes(drawing: str) -> Any:
    """Return the boxes of a drawing by frame; None for a function, which only this process knows."""
    boxes = current().drawings[drawing]
    return None if callable(boxes) else {str(frame): list(box) for frame, box in boxes.items()}


def _read_drawing(node: Node, rest: str) -> None:
    node._drawing, _, facts = rest.partition(" ")
    boxes = json.loads(facts)
    if node._drawing not in current().drawings:
        if boxes is None:
            raise RuntimeError(
                f"{node._full_name()}: its boxes are a function of another process; give fake.draw a dict"
            )
        current().drawings[node._drawing] = {int(frame): tuple(box) for frame, box in boxes.items()}


def _add_user_knob(node: Node, facts: Dict[str, Any]) -> None:
    if facts["name"] in node._user_knobs:
        return
    knob = CLASSES[facts["kind"]](facts["name"], facts["label"])
    knob._flags, knob._hint = facts["flags"], facts["tooltip"]
    if isinstance(knob, Enumeration_Knob):
        knob._values_list = list(facts["values"])
    elif isinstance(knob, Array_Knob):
        knob._state = [type(knob._state[0])() for _ in range(facts["size"])]
        knob._range = tuple(facts["range"])
    elif isinstance(knob, Tab_Knob):
        knob._group = facts["group"]
    node._attach(knob, node._own_knobs)
    node._user_knobs.append(knob._name)


def _load_knob(node: Node, rest: str) -> None:
    name, end = json.JSONDecoder().raw_decode(rest)
    knob = node._own_knobs.get(name) or node._exr_knobs.get(name)
    if knob is None:
        raise RuntimeError(f"{node._full_name()}: no knob {name} in this version")
    knob._load(rest[end + 1 :])
