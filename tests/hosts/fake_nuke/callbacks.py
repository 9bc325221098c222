"""Callbacks: those of `nuke.addOnCreate` and its like, and the Python texts of nodes for the same occasions.

An exception in one is raised to its cause (Nuke prints it and goes on), so that a test sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from tests.hosts.fake_nuke.api import current

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.groups import Group
    from tests.hosts.fake_nuke.knobs import Knob
    from tests.hosts.fake_nuke.nodes import Node

# The part of a function's name behind `add` and `remove`, and the knob whose text runs on the same occasion.
OCCASIONS = {
    "OnCreate": "onCreate",
    "OnUserCreate": "",
    "OnDestroy": "onDestroy",
    "OnScriptLoad": "onScriptLoad",
    "OnScriptSave": "onScriptSave",
    "OnScriptClose": "onScriptClose",
    "KnobChanged": "knobChanged",
    "UpdateUI": "updateUI",
    "BeforeRender": "beforeRender",
    "BeforeFrameRender": "beforeFrameRender",
    "AfterFrameRender": "afterFrameRender",
    "AfterRender": "afterRender",
}


@dataclass
class _Callback:
    call: Callable[..., Any]
    args: Tuple[Any, ...]
    kwargs: Dict[str, Any]
    node_class: str
    node: Optional[Node]

    def run(self) -> None:
        self.call(*self.args, **self.kwargs)

    def concerns(self, node: Node, node_class: str) -> bool:
        return self.node_class == node_class and self.node in (None, node)


@dataclass
class Context:
    """The context of a script: the group that it works in, and the node and knob of the callback that it runs for."""

    groups: List[Group] = field(default_factory=list)
    callers: List[Tuple[Node, Optional[Knob]]] = field(default_factory=list)

    @property
    def group(self) -> Group:
        return self.groups[-1] if self.groups else current().root

    def enter(self, group: Group) -> None:
        self.groups.append(group)

    def leave(self) -> None:
        if self.groups:
            self.groups.pop()

    def this_node(self) -> Node:
        return self.callers[-1][0] if self.callers else current().root

    def this_knob(self) -> Optional[Knob]:
        return self.callers[-1][1] if self.callers else None


class Callbacks:
    def __init__(self) -> None:
        self._added: Dict[str, List[_Callback]] = {name: [] for name in OCCASIONS}

    def add(
        self,
        occasion: str,
        call: Callable[..., Any],
        args: Any = (),
        kwargs: Optional[Dict[str, Any]] = None,
        nodeClass: str = "*",
        node: Optional[Node] = None,
    ) -> None:
        """Add a callback; an equal one is replaced."""
        if not callable(call):
            raise ValueError("call must be a callable")
        added = _callback(call, args, kwargs, nodeClass, node)
        self._added[occasion] = [*(each for each in self._added[occasion] if each != added), added]

    def run(self, occasion: str, node: Node, knob: Optional[Knob] = None) -> None:
        """Run the callbacks of an occasion on a node: those for its class, those for all classes, its own text."""
        for node_class in (node._spec.name, "*"):
            for each in [each for each in self._added[occasion] if each.concerns(node, node_class)]:
                in_context(node, knob, each.run)
        text_knob = node._own_knobs.get(OCCASIONS[occasion])
        if text_knob is not None and text_knob._state and node._alive:
            current().run_in(node, knob, str(text_knob._state))


def _callback(call: Callable[..., Any], args: Any, kwargs: Any, node_class: str, node: Optional[Node]) -> _Callback:
    return _Callback(call, args if isinstance(args, tuple) else (args,), dict(kwargs or {}), node_class, node)


def in_context(node: Node, knob: Optional[Knob], call: Callable[[], Any]) -> Any:
    """Run `call` with `node` as nuke.thisNode(), in the group that the node is in."""
    context = current().context
    context.callers.append((node, knob))
    context.enter(node._group or current().root)
    depth = len(context.groups)
    try:
        return call()
    finally:
        del context.groups[depth - 1 :]
        context.callers.pop()
