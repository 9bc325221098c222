"""What can be undone: each change knows how to take itself back, and changes are gathered into named steps."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, List, Optional, Tuple

from tests.hosts.fake_nuke.api import ApiObject, current

Change = Tuple[Callable[[], None], Callable[[], None]]


@dataclass
class Step:
    name: str = ""
    changes: List[Change] = field(default_factory=list)


class UndoStack:
    """`steps` are what `nuke.undo()` takes back, the last first."""

    def __init__(self) -> None:
        self.steps: List[Step] = []
        self.undone: List[Step] = []
        self.disabled = 0
        self._open: List[Step] = []
        self._quiet = 0

    def record(self, back: Callable[[], None], again: Callable[[], None]) -> None:
        if self.disabled or self._quiet:
            return
        if self._open:
            self._open[0].changes.append((back, again))
        else:
            self.steps.append(Step("", [(back, again)]))
        self.undone.clear()

    def begin(self, name: str = "") -> None:
        self._open.append(Step(name))

    def name(self, name: str) -> None:
        if self._open:
            self._open[0].name = name

    def end(self) -> None:
        """Steps within steps belong to the outermost."""
        if not self._open:
            raise RuntimeError("Undo.end() without Undo.begin()")
        step = self._open.pop()
        if not self._open and step.changes:
            self.steps.append(step)

    def cancel(self) -> None:
        if self._open:
            self._take_back(self._open.pop())

    def undo(self) -> None:
        if self.steps:
            step = self.steps.pop()
            self._take_back(step)
            self.undone.append(step)

    def redo(self) -> None:
        if self.undone:
            step = self.undone.pop()
            with self.quiet():
                for _, again in step.changes:
                    again()
            self.steps.append(step)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Nothing that happens in here is recorded."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    def _take_back(self, step: Step) -> None:
        with self.quiet():
            for back, _ in reversed(step.changes):
                back()


class Undo(ApiObject):
    """`with nuke.Undo():` and `nuke.Undo.name("...")` in it, or begin and end; disable and enable nest.

    The vendor's pages give the class no argument; scripts in the wild give it a name, which the fake takes too.
    """

    def __init__(self, name: str = "") -> None:
        self._step = name

    def __enter__(self) -> Undo:
        current().undo.begin(self._step)
        return self

    def __exit__(self, type: Any, value: Any, traceback: Any) -> None:
        current().undo.end()

    @staticmethod
    def begin(name: Optional[str] = None) -> None:
        current().undo.begin(name or "")

    @staticmethod
    def name(name: str) -> None:
        current().undo.name(name)

    @staticmethod
    def end() -> None:
        current().undo.end()

    @staticmethod
    def new() -> None:
        current().undo.end()
        current().undo.begin()

    @staticmethod
    def cancel() -> None:
        current().undo.cancel()

    @staticmethod
    def undo() -> None:
        current().undo.undo()

    @staticmethod
    def redo() -> None:
        current().undo.redo()

    @staticmethod
    def disable() -> None:
        current().undo.disabled += 1

    @staticmethod
    def enable() -> None:
        current().undo.disabled -= 1

    @staticmethod
    def disabled() -> bool:
        return current().undo.disabled > 0

    @staticmethod
    def undoSize() -> int:
        return len(current().undo.steps)

    @staticmethod
    def redoSize() -> int:
        return len(current().undo.undone)
