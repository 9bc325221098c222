"""The names of Nuke in a plug-in's source (classes, knobs, values of enumerations), checked against the vendor's data.

The check follows a variable to the class of its node; where it cannot, a knob has to be one of some class that the
plug-in uses, of the root, or of the plug-in's own panel.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Set

from tests.hosts.fake_nuke.data import KnobSpec, exr_knobs, node_specs

_ARGUMENTS = {"name", "inputs", "xpos", "ypos"}  # that nuke.nodes.X(...) takes beside knobs


@dataclass
class Names:
    """The names of one version of Nuke. own: knobs that the plug-in itself adds."""

    version: int
    own: Set[str] = field(default_factory=set)

    def knobs(self, node_class: str) -> Dict[str, KnobSpec]:
        if not self.has(node_class):
            return {}
        specs = (*node_specs(self.version)[node_class].knobs, *exr_knobs(node_class))
        return {spec.name: spec for spec in specs}

    def has(self, node_class: str) -> bool:
        return node_class in node_specs(self.version)


def faults(files: List[Path], names: Names) -> List[str]:
    """Return one line for each name that Nuke does not have."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in files}
    named = {name: cls for tree in trees.values() for name, cls in _named_nodes(tree)}
    used = {cls for tree in trees.values() for cls in _classes(tree) if names.has(cls)}
    return [fault for file, tree in trees.items() for fault in _Reader(file.name, tree, names, named, used).faults()]


class _Reader:
    def __init__(self, file: str, tree: ast.AST, names: Names, named: Dict[str, str], used: Set[str]) -> None:
        self._file, self._tree, self._names, self._named = file, tree, names, named
        self._anywhere = {knob for cls in used | {"Group", "Read", "Root"} for knob in names.knobs(cls)} | names.own

    def faults(self) -> Iterator[str]:
        for function in (node for node in ast.walk(self._tree) if isinstance(node, (ast.FunctionDef, ast.Module))):
            variables = dict(_variables(function, self._named))
            for node in _own_nodes(function):
                if isinstance(node, ast.Call):
                    yield from self._made(node)
                    yield from self._set(node, variables)
                if isinstance(node, ast.Subscript):
                    yield from self._knob(node, variables)

    def _made(self, call: ast.Call) -> Iterator[str]:
        cls = _made_class(call)
        if cls is None:
            return
        if not self._names.has(cls):
            yield self._fault(call, f"no node class {cls}")
            return
        knobs = self._names.knobs(cls)
        for keyword in call.keywords:
            if keyword.arg not in knobs and keyword.arg not in _ARGUMENTS:
                yield self._fault(call, f"{cls} has no knob {keyword.arg}")
            elif keyword.arg in knobs:
                yield from self._value(call, cls, knobs[str(keyword.arg)], keyword.value)

    def _knob(self, node: ast.Subscript, variables: Dict[str, str]) -> Iterator[str]:
        if not (isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)):
            return
        name, cls = node.slice.value, _class_of(node.value, variables, self._named)
        if cls and name not in self._names.knobs(cls) and name not in self._names.own:
            yield self._fault(node, f"{cls} has no knob {name}")
        is_node = isinstance(node.value, ast.Name) and node.value.id in _NODE_VARIABLES
        if not cls and is_node and name not in self._anywhere:
            yield self._fault(node, f"no node of the plug-in has a knob {name}")

    def _set(self, call: ast.Call, variables: Dict[str, str]) -> Iterator[str]:
        target = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr == "setValue" else None
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant) and call.args:
            cls = _class_of(target.value, variables, self._named)
            spec = self._names.knobs(cls).get(str(target.slice.value)) if cls else None
            if cls and spec:
                yield from self._value(call, cls, spec, call.args[0])

    def _value(self, node: ast.AST, cls: str, spec: KnobSpec, value: ast.expr) -> Iterator[str]:
        if spec.kind != "Enumeration_Knob" or spec.open or not isinstance(value, ast.Constant):
            return
        allowed = {part for text in spec.values for part in text.split("\t") if part}
        if str(value.value) not in allowed:
            yield self._fault(node, f"{cls}.{spec.name} takes no {value.value!r}")

    def _fault(self, node: ast.AST, words: str) -> str:
        return f"{self._file}:{getattr(node, 'lineno', 0)}: {words}"


_NODE_VARIABLES = {"node", "group", "read", "write", "root", "plate", "source", "stream"}


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without the functions inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef):
            yield child
            yield from _own_nodes(child)


def _variables(function: ast.AST, named: Dict[str, str]) -> Iterator[tuple[str, str]]:
    for node in _own_nodes(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            cls = _class_of(node.value, {}, named)
            if cls:
                yield node.targets[0].id, cls


def _class_of(node: ast.expr, variables: Dict[str, str], named: Dict[str, str]) -> Optional[str]:
    if isinstance(node, ast.Name):
        return variables.get(node.id)
    if not isinstance(node, ast.Call):
        return None
    if ast.unparse(node.func) == "nuke.root":
        return "Root"
    if ast.unparse(node.func) == "inside" and isinstance(node.args[-1], ast.Constant):
        return named.get(str(node.args[-1].value))
    return _made_class(node)


def _made_class(call: ast.Call) -> Optional[str]:
    """Return the class of a call `nuke.nodes.X(...)`."""
    text = ast.unparse(call.func)
    return text.rpartition(".")[2] if text.startswith("nuke.nodes.") else None


def _named_nodes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        cls = _made_class(node) if isinstance(node, ast.Call) else None
        for keyword in node.keywords if cls and isinstance(node, ast.Call) else ():
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                yield str(keyword.value.value), str(cls)


def _classes(tree: ast.AST) -> Set[str]:
    return {cls for node in ast.walk(tree) if isinstance(node, ast.Call) and (cls := _made_class(node))}
