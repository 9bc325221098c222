"""Computing a node's image at a frame: from the outputs up, only what is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.formats import Format
from tests.hosts.fake_nuke.image import Image, black

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.nodes import Node

Operation = Callable[["Work"], Image]
OPERATIONS: Dict[str, Operation] = {}


def operation(*classes: str) -> Callable[[Operation], Operation]:
    """Register what computes nodes of these classes."""

    def register(function: Operation) -> Operation:
        OPERATIONS.update(dict.fromkeys(classes, function))
        return function

    return register


class Evaluator:
    """Computes each node once for a frame and view."""

    def __init__(self) -> None:
        self._done: Dict[Tuple[int, float, str], Image] = {}

    def image(self, node: Node, frame: float, view: str) -> Image:
        """Return a node's image. Raises RuntimeError as Nuke's render does, and for settings that it does not know."""
        key = id(node), frame, view
        if key not in self._done:
            self._done[key] = self._computed(Work(self, node, frame, view))
        return self._done[key]

    def _computed(self, work: Work) -> Image:
        node = work.node._live()
        if node._find("disable") is not None and work.flag("disable"):
            return work.input(0)
        compute = OPERATIONS.get(node._spec.name)
        if compute is None:
            raise work.error(f"the fake cannot compute a {node._spec.name}")
        return compute(work)


class Work:
    """One node at one frame: its inputs and knobs."""

    def __init__(self, evaluator: Evaluator, node: Node, frame: float, view: str) -> None:
        self.evaluator, self.node, self.frame, self.view = evaluator, node, frame, view

    def has(self, index: int) -> bool:
        return self.node._inputs.get(index) is not None

    def input(self, index: int, frame: Optional[float] = None, view: Optional[str] = None) -> Image:
        """Return the image of an input; black in the project's format if nothing is connected."""
        source = self.node._inputs.get(index)
        if source is None:
            return black(root_format())
        return self.evaluator.image(source, self.frame if frame is None else frame, view or self.view)

    def number(self, knob: str) -> float:
        return float(self.knob(knob)._number(self.frame, self.view))

    def numbers(self, knob: str) -> List[float]:
        found = self.knob(knob)
        return [found._field_number(index, self.frame, self.view) for index in range(len(found._state))]

    def flag(self, knob: str) -> bool:
        return bool(self.number(knob))

    def text(self, knob: str) -> str:
        return str(self.knob(knob)._text_at(self.frame, self.view))

    def channels(self, knob: str, present: List[str]) -> List[str]:
        return current().layers.expand(self.text(knob), present)

    def channel(self, knob: str) -> Optional[str]:
        """Return the one channel that a knob names, or None."""
        chosen = self.channels(knob, [])
        return chosen[0] if chosen else None

    def knob(self, name: str) -> Any:
        found = self.node._find(name)
        assert found is not None, f"{self.node._full_name()} has no knob {name}"
        return found

    def require(self, knob: str, *values: Any) -> None:
        """Refuse settings that the fake does not compute."""
        found = self.text(knob)
        if found not in values:
            raise self.error(f"the fake computes {knob} = {' or '.join(map(repr, values))} only, got {found!r}")

    def error(self, text: str) -> RuntimeError:
        return RuntimeError(f"{self.node._full_name()}: {text}")


def root_format() -> Format:
    knob: Any = current().root._find("format")
    fmt: Format = knob._format()
    return fmt
