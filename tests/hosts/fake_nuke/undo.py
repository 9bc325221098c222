"""Undo: a change is recorded as a call that takes it back; changes are gathered into named steps."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, List

from tests.hosts.fake_nuke.api import ApiObject, current

Change = Callable[[], None]  # takes the change back


@dataclass
class Step:
    name: str = ""
    changes: List[Change] = field(default_factory=list)


class UndoStack:
    """The steps that `nuke.undo()` takes back, the last first."""

    def __init__(self) -> None:
        self.steps: List[Step] = []
        self.disabled = 0
        self._open: List[Step] = []
        self._quiet = 0

    def record(self, back: Change) -> None:
        if self.disabled or self._quiet:
            return
        if self._open:
            self._open[0].changes.append(back)
        else:
            self.steps.append(Step("", [back]))

    def begin(self, name: str = "") -> None:
        self._open.append(Step(name))

    def name(self, name: str) -> None:
        if self._open:
            self._open[0].name = name

    def end(self) -> None:
        """End a step; steps within steps belong to the outermost."""
        if not self._open:
            raise RuntimeError("Undo.end() without Undo.begin()")
        step = self._open.pop()
        if not self._open and step.changes:
            self.steps.append(step)

    def undo(self) -> None:
        if self.steps:
            step = self.steps.pop()
            self._take_back(step)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Record nothing that happens inside."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    def _take_back(self, step: Step) -> None:
        with self.quiet():
            for back in reversed(step.changes):
                back()


class Undo(ApiObject):
    """An undo step: `with nuke.Undo():` and `nuke.Undo.name("...")` in it; disable and enable nest.

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
    def name(name: str) -> None:
        current().undo.name(name)

    @staticmethod
    def disable() -> None:
        current().undo.disabled += 1

    @staticmethod
    def enable() -> None:
        current().undo.disabled -= 1
