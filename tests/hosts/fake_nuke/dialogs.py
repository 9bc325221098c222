"""Messages and questions, progress bars, panels and menus. Tests read them and answer."""

from __future__ import annotations

import shlex
from typing import Any, Callable, Dict, List, Optional, Union

from tests.hosts.fake_nuke.api import ApiObject, current


class Dialogs:
    """messages: texts shown, questions included, in order. answers: what the artist will answer, first to last."""

    def __init__(self) -> None:
        self.messages: List[str] = []
        self.answers: List[Any] = []
        self.printed: List[str] = []
        self.progress: List[ProgressTask] = []
        self.panels: List[Panel] = []
        self.cancels: Callable[[ProgressTask], bool] = lambda task: False

    def message(self, prompt: str) -> None:
        self.messages.append(_text(prompt))

    def ask(self, prompt: str) -> bool:
        return bool(self._answer(prompt))

    def get_input(self, prompt: str, default: str = "") -> Optional[str]:
        """Return the artist's text, or None for Cancel."""
        answer = self._answer(prompt)
        return None if answer is None else str(answer)

    def show(self, panel: Panel) -> Any:
        """Return the artist's values by label over those shown, or None for Cancel."""
        self.panels.append(panel)
        return self._answer(panel.title())

    def _answer(self, prompt: str) -> Any:
        self.messages.append(_text(prompt))
        if not current().gui:
            raise AssertionError(f"there is no artist to answer in nuke -t: {prompt}")
        if not self.answers:
            raise AssertionError(f"the test gave no answer to: {prompt}")
        return self.answers.pop(0)


class ProgressTask(ApiObject):
    """A bar with a Cancel button. Tests read title, percents and texts, each in the order in which they were set."""

    def __init__(self, name: str) -> None:
        self.title = _text(name)
        self.percents: List[int] = []
        self.texts: List[str] = []
        current().dialogs.progress.append(self)

    def setProgress(self, percent: int) -> None:
        if not isinstance(percent, int):
            raise TypeError(f"setProgress: got {percent!r}, expected a whole number")
        self.percents.append(percent)

    def setMessage(self, message: str) -> None:
        self.texts.append(_text(message))

    def isCancelled(self) -> bool:
        return bool(current().dialogs.cancels(self))


class Panel(ApiObject):
    """A modal dialog of labelled controls, with the buttons Cancel and OK. Tests read `shown`.

    Sources: learn.foundry.com/nuke/developers/17.1/pythondevguide/_autosummary/nuke.Panel.html (methods; show() tells
    how it was closed), .../13.1/pythondevguide/_modules/nukescripts/panel_test.html (calls; value() may be None),
    .../16.0/pythondevguide/custom_panels.html (a pulldown's items are words in one text). Items with spaces stand in
    quotes and the first is shown, as in public scripts [inferred]; the fake gives None for an empty line.
    """

    def __init__(self, name: str = "") -> None:
        self._title = _text(name)
        self._choices: Dict[str, List[str]] = {}
        self.shown: Dict[str, Any] = {}
        self._values: Dict[str, Any] = {}

    def title(self) -> str:
        return self._title

    def addSingleLineInput(self, name: str, value: str) -> bool:
        return self._add(name, _text(value))

    def addBooleanCheckBox(self, name: str, value: bool) -> bool:
        return self._add(name, bool(value))

    def addEnumerationPulldown(self, name: str, value: str) -> bool:
        self._choices[name] = shlex.split(_text(value))
        return self._add(name, self._choices[name][0])

    def show(self) -> int:
        """Show the panel and return 1 for OK, 0 for Cancel."""
        answer = current().dialogs.show(self)
        if answer is None:
            return 0
        unknown = set(answer) - set(self.shown)
        assert not unknown, f"the panel has no {unknown}, only {list(self.shown)}"
        self._values = {**self.shown, **answer}
        for name, items in self._choices.items():
            assert self._values[name] in items, f"{name} offers {items}, got {self._values[name]!r}"
        return 1

    def value(self, name: str) -> Any:
        value = self._values[name]
        return None if value == "" else value

    def _add(self, name: str, value: Any) -> bool:
        assert name not in self.shown, f"two controls are called {name}"
        self.shown[_text(name)] = value
        return True


class MenuItem(ApiObject):
    def __init__(self, name: str, command: Union[str, Callable[[], Any], None] = None, shortcut: str = "") -> None:
        self._item, self._command, self._shortcut, self._on = name, command, shortcut, True

    def invoke(self) -> None:
        """Run the command, as a click does: a text runs as Python, anything else is called."""
        if isinstance(self._command, str):
            current().run_text(self._command)
        elif self._command is not None:
            self._command()


class Menu(MenuItem):
    """Names may be paths: `addCommand("VOID Bridge/Remove")` makes the menu on the way."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._items: Dict[str, MenuItem] = {}

    def addMenu(self, name: str, icon: str = "", tooltip: str = "", index: int = -1) -> Menu:
        head, _, rest = name.partition("/")
        menu = self._items.get(head)
        if not isinstance(menu, Menu):
            menu = self._items[head] = Menu(head)
        return menu.addMenu(rest) if rest else menu

    def addCommand(
        self,
        name: str,
        command: Union[str, Callable[[], Any], None] = None,
        shortcut: str = "",
        icon: str = "",
        tooltip: str = "",
        index: int = -1,
        readonly: bool = False,
    ) -> MenuItem:
        path, _, last = name.rpartition("/")
        menu = self.addMenu(path) if path else self
        item = menu._items[last] = MenuItem(last, command, shortcut)
        return item

    def findItem(self, name: str) -> Optional[MenuItem]:
        head, _, rest = name.partition("/")
        found = self._items.get(head)
        return found.findItem(rest) if rest and isinstance(found, Menu) else found


def _text(prompt: Any) -> str:
    if not isinstance(prompt, str):
        raise TypeError(f"got {prompt!r}, expected text")
    return prompt
