"""Knobs for channels, formats and views, and knobs whose values the fake does not know."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Type

from tests.hosts.fake_nuke import array_knobs, knobs, number_knobs
from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.data import KnobSpec
from tests.hosts.fake_nuke.formats import Format
from tests.hosts.fake_nuke.knobs import Knob, quoted, text_of, unquoted

PROJECT_FORMAT = "2048 1556 1 2K_Super_35(full-ap)"


class Channel_Knob(Knob):
    """A channel or layer. Stricter than Nuke: it has to be one of the script's (see `nuke.Layer`)."""

    def __init__(self, name: str, label: Optional[str] = None, depth: int = 4) -> None:
        super().__init__(name, label)
        self._state = "none"

    def value(self) -> str:
        return str(self._state)

    def setValue(self, name: str) -> bool:
        text = text_of(name, self)
        for word in self._names(text):
            current().layers.require(word, self._name)
        return self._change(lambda: self._restore(text))

    def _names(self, text: str) -> List[str]:
        return [text]

    def _load(self, script: str) -> None:
        text = unquoted(script)
        for word in self._names(text):
            current().layers.require(word, self._name)
        self._state = text


class ChannelMask_Knob(Channel_Knob):
    """Layers and channels, with blanks between."""

    def _names(self, text: str) -> List[str]:
        return text.strip("{}").split()


class Format_Knob(Knob):
    def __init__(self, name: str, label: Optional[str] = None) -> None:
        super().__init__(name, label)

    def value(self) -> Format:
        return self._format()

    def setValue(self, val: Any) -> bool:
        text = self._as_text(val)
        return self._change(lambda: self._restore(text))

    def _format(self) -> Format:
        """Return the format, or the project's if none was set."""
        if self._state:
            return Format._parse(self._state)
        root = current().root._find("format")
        return Format._parse(root._state if root is not None and root._state else PROJECT_FORMAT)

    def _as_text(self, val: Any) -> str:
        if isinstance(val, Format):
            return val._text()
        text = text_of(val, self)
        named = [each for each in current().formats if each._name == text]
        return named[0]._text() if named else Format._parse(text)._text()

    def _load(self, script: str) -> None:
        text = unquoted(script)
        self._state = Format._parse(text)._text() if text else None


class MultiView_Knob(Knob):
    """Names of views, with blanks between; none set means all."""

    def __init__(self, name: str, label: Optional[str] = None) -> None:
        super().__init__(name, label)
        self._state = ""

    def value(self) -> str:
        return " ".join(self._chosen())

    def setValue(self, val: str) -> bool:
        text = text_of(val, self)
        unknown = [view for view in text.split() if view not in current().views]
        if unknown:
            raise ValueError(f"{self._name}: got the views {unknown}, expected some of {current().views}")
        return self._change(lambda: self._restore(text))

    def _chosen(self) -> List[str]:
        return self._state.split() or list(current().views)


class Opaque_Knob(Knob):
    """A built-in knob whose value only Nuke understands (curves, lists of links, ...). It keeps a text."""

    def setValue(self, val: Any, *_: Any) -> bool:
        raise TypeError(f"{self._name}: the fake knows nothing of {self._kind}")


CLASSES: Dict[str, Type[Knob]] = {
    name: value
    for module in (knobs, array_knobs, number_knobs)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Knob)
}
CLASSES.update({c.__name__: c for c in (Channel_Knob, ChannelMask_Knob, Format_Knob, MultiView_Knob)})


def make_knob(spec: KnobSpec) -> Knob:
    """Create a built-in knob at its default."""
    knob = CLASSES.get(spec.kind, Opaque_Knob)(spec.name)
    knob._kind = spec.kind
    if isinstance(knob, number_knobs.Enumeration_Knob):
        knob._values_list, knob._open = list(spec.values), spec.open
    if isinstance(knob, Channel_Knob):
        knob._state = spec.default or "none"
    elif spec.default is not None:
        _set_default(knob, spec.default)
    return knob


def _set_default(knob: Knob, default: Any) -> None:
    if isinstance(knob, number_knobs.Enumeration_Knob):
        knob._state[0].constant = float(knob._index(default))
    elif isinstance(knob, array_knobs.Array_Knob):
        knob._assign([float(number) for number in (default if isinstance(default, list) else [default])], -1, 0)
    else:
        knob._load(quoted(default))
