"""Knobs: what all of them can do, and those that hold text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Optional

from tests.hosts.fake_nuke import constants
from tests.hosts.fake_nuke.api import ApiObject, current
from tests.hosts.fake_nuke.scope import expand, fill_frame, technical

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.nodes import Node

_PLAIN_WORD = re.compile(r"[\w./%#:+*-]+")


class Knob(ApiObject):
    """Base of all knobs. `_state` is what undo brings back; `_script` and `_load` are its form in a script."""

    _kind = ""
    _starts_line = True

    def __init__(self, name: str, label: Optional[str] = None) -> None:
        if not isinstance(name, str):
            raise TypeError(f"got the knob name {name!r}, expected text")
        self._name, self._label, self._hint = name, name if label is None else label, ""
        self._owner: Optional[Node] = None
        self._flags = constants.STARTLINE if self._starts_line else 0
        self._state: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._kind = cls.__name__

    def _check_alive(self) -> None:
        if self._owner is not None:
            self._owner._live()

    def Class(self) -> str:
        return self._kind

    def name(self) -> str:
        return self._name

    def label(self) -> str:
        return self._label

    def tooltip(self) -> str:
        return self._hint

    def setTooltip(self, tooltip: str) -> None:
        self._hint = _text(tooltip, self)

    def node(self) -> Optional[Node]:
        return self._owner

    def setFlag(self, flag: int) -> None:
        self._flags |= flag

    def clearFlag(self, flag: int) -> None:
        self._flags &= ~flag

    def getFlag(self, flag: int) -> bool:
        return bool(self._flags & flag)

    def visible(self) -> bool:
        return not self._flags & constants.INVISIBLE

    def value(self) -> Any:
        return self._state

    def getValue(self) -> Any:
        return self.value()

    def setValue(self, val: Any) -> bool:
        raise TypeError(f"a {self._kind} has no value to set")

    def toScript(self, quote: bool = False, context: Any = None) -> str:
        """Return the knob's value as a script has it; with `quote` as one word of a Tcl list."""
        return self._script() if quote else self._unquoted()

    def fromScript(self, script: str) -> None:
        self._change(lambda: self._load(script))

    def setExpression(self, expression: str, index: int = -1, view: Optional[str] = None) -> bool:
        raise TypeError(f"{self._name}: the fake has expressions only on knobs with numbers, not on a {self._kind}")

    def isAnimated(self, channel: int = -1) -> bool:
        return False

    def _change(self, change: Callable[[], None]) -> bool:
        """Run `change`, then tell undo and callbacks if it changed anything."""
        before = self._copied()
        change()
        after = self._copied()
        if before == after:
            return True
        current().knob_was_set(self, before, after)
        return True

    def _copied(self) -> Any:
        return self._state

    def _restore(self, state: Any) -> None:
        self._state = state

    def _script(self) -> str:
        return quoted("" if self._state is None else str(self._state))

    def _unquoted(self) -> str:
        return unquoted(self._script())

    def _load(self, script: str) -> None:
        self._state = unquoted(script)

    def _number(self, frame: float, view: str) -> float:
        """Return the value in an expression."""
        raise RuntimeError(f"{self._name}: a {self._kind} is no number")

    def _text_at(self, frame: float, view: str) -> str:
        """Return the text that [value] gives."""
        return str(self._state)

    def __repr__(self) -> str:
        return f"<{self._kind} {self._name}>"


def text_of(value: Any, knob: Knob) -> str:
    return _text(value, knob)


def _text(value: Any, knob: Knob) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{knob._name}: got {value!r}, expected text")
    return value


def _with(flags: int, flag: int, on: bool) -> int:
    return flags | flag if on else flags & ~flag


def quoted(text: str) -> str:
    """Return a text as one word of a script."""
    if _PLAIN_WORD.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("[", "\\[")
    return f'"{escaped}"'


def unquoted(word: str) -> str:
    if len(word) < 2 or word[0] != '"' or word[-1] != '"':
        return word
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], word[1:-1], flags=re.DOTALL)


class String_Knob(Knob):
    def __init__(self, name: str, label: Optional[str] = None, value: str = "") -> None:
        super().__init__(name, label)
        self._state = _text(value, self)

    def value(self) -> str:
        return str(self._state)

    def setValue(self, val: str, view: str = "default") -> bool:
        text = _text(val, self)
        return self._change(lambda: self._restore(text))


class EvalString_Knob(String_Knob):
    def evaluate(self) -> str:
        session = current()
        return expand(self._state, self._owner, session.frame, session.view)

    def _text_at(self, frame: float, view: str) -> str:
        return expand(self._state, self._owner, frame, view)


class Multiline_Eval_String_Knob(EvalString_Knob):
    pass


class File_Knob(EvalString_Knob):
    """A path. `value` and `getValue` give it in "technical notation" (%04d), not evaluated, as the vendor says."""

    def value(self) -> str:
        return technical(str(self._state))

    def getValue(self) -> str:
        return technical(str(self._state))

    def getEvaluatedValue(self) -> str:
        session = current()
        return technical(expand(self._state, self._owner, session.frame, session.view))

    def evaluate(self, frame: Optional[float] = None) -> Optional[str]:  # type: ignore[override]
        session = current()
        if not self._state:
            return None
        return self._path(session.frame if frame is None else frame, session.view)

    def _path(self, frame: float, view: str) -> str:
        return fill_frame(expand(self._state, self._owner, frame, view), int(frame), view)


class PythonKnob(String_Knob):
    """Python text that Nuke runs on an occasion, such as `knobChanged`."""


class Script_Knob(String_Knob):
    """A button. The fake runs no Tcl; the only built-in button that it knows is `reload` of a Read."""

    _starts_line = False

    def execute(self) -> None:
        read = self._owner
        if read is None or read._spec.name != "Read" or self._name != "reload":
            raise AssertionError(f"the fake does not know the button {self._name}")
        read["version"].setValue(int(read["version"].value()) + 1)


class PyScript_Knob(Script_Knob):
    def execute(self) -> None:
        current().run_in(self._owner, self, str(self._state))


class Text_Knob(Knob):
    """A line of text in a panel; without label and text, a divider."""

    def __init__(self, name: str, label: Optional[str] = None, value: str = "") -> None:
        super().__init__(name, label)
        self._state = _text(value, self)

    def setValue(self, val: str) -> bool:
        text = _text(val, self)
        return self._change(lambda: self._restore(text))


class Tab_Knob(Knob):
    def __init__(self, name: str, label: Optional[str] = None, flag: int = 0) -> None:
        super().__init__(name, label)
        self._group = flag


class FreeType_Knob(Knob):
    def setValue(self, val: Any) -> bool:
        return self._change(lambda: self._restore(val))


class Font_Knob(Knob):
    def setValue(self, val: str) -> bool:
        text = _text(val, self)
        return self._change(lambda: self._restore(text))


class Obsolete_Knob(Knob):
    """There so that old scripts load. It has no value."""
