"""Nodes: their knobs, inputs and positions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Dict, List, Optional, Union

from tests.hosts.fake_nuke import questions
from tests.hosts.fake_nuke.answers import Answers
from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.data import NodeSpec, exr_knobs
from tests.hosts.fake_nuke.knobs import Knob
from tests.hosts.fake_nuke.other_knobs import make_knob

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.groups import Group

_NAME = re.compile(r"[A-Za-z_]\w*")


class Node(Answers):
    """Made by `nuke.nodes` and `nuke.createNode`. A deleted one refuses every call, as a detached PythonObject does."""

    _is_group = False

    def __init__(self, spec: NodeSpec, group: Optional[Group]) -> None:
        self._spec, self._group, self._alive = spec, group, True
        self._inputs: Dict[int, Optional[Node]] = {}
        self._own_knobs: Dict[str, Knob] = {}
        self._exr_knobs: Dict[str, Knob] = {}
        self._user_knobs: List[str] = []
        self._panel_shown = False
        self._drawing = ""
        for knob_spec in spec.knobs:
            self._attach(make_knob(knob_spec), self._own_knobs)
        for knob_spec in exr_knobs(spec.name):
            self._attach(make_knob(knob_spec), self._exr_knobs)

    def Class(self) -> str:
        return self._spec.name

    def name(self) -> str:
        return str(self._own_knobs["name"]._state)

    def fullName(self) -> str:
        return self._full_name()

    def setName(self, name: str, uncollide: bool = True, updateExpressions: bool = False) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"got the node name {name!r}, expected letters, digits and underscores")
        group = self._group
        taken = {node._name for node in group._children if node is not self} if group is not None else set()
        if name in taken and not uncollide:
            raise ValueError(f"there is a node {name} already")
        knob = self._own_knobs["name"]
        knob._change(lambda: knob._restore(unique(name, taken)))

    def parent(self) -> Optional[Group]:
        return self._group

    def knob(self, p: Union[str, int], follow_link: bool = True) -> Optional[Knob]:
        return self._find(p)

    def __getitem__(self, name: str) -> Knob:
        found = self._find(name)
        if found is None:
            raise NameError(f"knob {name} does not exist")
        return found

    def knobs(self) -> Dict[str, Knob]:
        return self._visible_knobs()

    def addKnob(self, knob: Knob) -> None:
        """Add a user knob. Stricter than Nuke about names: those that its own dialog would take."""
        if not _NAME.fullmatch(knob._name):
            raise ValueError(f"got the knob name {knob._name!r}, expected letters, digits and underscores")
        if self._find(knob._name) is not None:
            raise ValueError(f"{self._name} has a knob {knob._name} already")
        self._own_knobs[knob._name] = knob
        knob._owner = self
        self._user_knobs.append(knob._name)
        current().undo.record(lambda: self._remove(knob))
        current().touched()

    def input(self, index: int) -> Optional[Node]:
        return self._inputs.get(index)

    def inputs(self) -> int:
        connected = [index for index, node in self._inputs.items() if node is not None]
        return max(self._spec.min_inputs, *(index + 1 for index in connected)) if connected else self._spec.min_inputs

    def maxInputs(self) -> int:
        return self._max_inputs()

    def setInput(self, i: int, node: Optional[Node]) -> bool:
        """Connect an input. Stricter than Nuke: a missing input, a node of another group and a loop are refused."""
        if not 0 <= i < self._max_inputs():
            raise ValueError(f"{self._name} has {self._max_inputs()} inputs, got input {i}")
        if node is not None and node._live()._group is not self._group:
            raise ValueError(f"{node._full_name()} lies in another group than {self._full_name()}")
        if node is not None and questions.depends_on(node, self):
            raise ValueError(f"{self._name} cannot have {node._name} as an input: it looks at it")
        before = self._inputs.get(i)
        self._inputs[i] = node
        if before is not node:
            current().undo.record(lambda: self._connect(i, before))
            current().inputs_changed(self)
        return True

    def isSelected(self) -> bool:
        return bool(self._own_knobs["selected"]._number(0, ""))

    def setSelected(self, selected: bool) -> None:
        self["selected"].setValue(bool(selected))

    def xpos(self) -> int:
        return int(self._own_knobs["xpos"]._number(0, ""))

    def ypos(self) -> int:
        return int(self._own_knobs["ypos"]._number(0, ""))

    def setXpos(self, x: int) -> None:
        self["xpos"].setValue(int(x))

    def setYpos(self, y: int) -> None:
        self["ypos"].setValue(int(y))

    def setXYpos(self, x: int, y: int) -> None:
        self.setXpos(x)
        self.setYpos(y)

    def showControlPanel(self, forceFloat: bool = False) -> None:
        self._panel_shown = current().gui
        current().panel_opened(self)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{self._spec.name} {self._full_name()}>" if self._alive else "<a deleted node>"

    @property
    def _name(self) -> str:
        return str(self._own_knobs["name"]._state or "")

    def _full_name(self) -> str:
        group = self._group
        return self._name if group is None or group._group is None else f"{group._full_name()}.{self._name}"

    def _check_alive(self) -> None:
        self._live()

    def _live(self) -> Node:
        if not self._alive:
            raise ValueError("A PythonObject is not attached to a node")
        return self

    def _find(self, name: str) -> Optional[Knob]:
        found = self._own_knobs.get(name)
        if found is None and name in self._exr_knobs and self._shows_exr_knobs():
            return self._exr_knobs[name]
        return found

    def _visible_knobs(self) -> Dict[str, Knob]:
        return {**self._own_knobs, **self._exr_knobs} if self._shows_exr_knobs() else dict(self._own_knobs)

    def _shows_exr_knobs(self) -> bool:
        if not self._exr_knobs:
            return False
        kind = self._own_knobs["file_type"]._text_at(0, "").strip()
        return kind == "exr" or (not kind and str(self._own_knobs["file"]._state or "").lower().endswith(".exr"))

    def _max_inputs(self) -> int:
        return self._spec.max_inputs if self._spec.name != "JoinViews" else len(current().views)

    def _attach(self, knob: Knob, table: Dict[str, Knob]) -> None:
        table[knob._name] = knob
        knob._owner = self

    def _connect(self, index: int, node: Optional[Node]) -> None:
        self._inputs[index] = node

    def _remove(self, knob: Knob) -> None:
        del self._own_knobs[knob._name]
        self._user_knobs.remove(knob._name)
        knob._owner = None


def unique(name: str, taken: set[str]) -> str:
    """Return `name`, or the same with the next number that is free."""
    if name not in taken:
        return name
    stem = name.rstrip("0123456789") or name
    number = int(name[len(stem) :] or 0)
    while f"{stem}{number + 1}" in taken:
        number += 1
    return f"{stem}{number + 1}"
