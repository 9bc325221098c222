"""Knobs that hold one number or a few: whole ones, switches, choices, positions, colours."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.array_knobs import Array_Knob, Field
from tests.hosts.fake_nuke.knobs import quoted, text_of, unquoted


class Double_Knob(Array_Knob):
    pass


class Int_Knob(Array_Knob):
    """Takes whole numbers only; Nuke may be more patient."""

    def __init__(self, name: str, label: Optional[str] = None, value: int = 0) -> None:
        super().__init__(name, label)
        self._state[0].constant = self._numbers(value)[0]

    def value(self, *_: Any) -> int:
        return int(self.getValue(0))

    def _accepts(self, value: Any) -> bool:
        return isinstance(value, int)


class Boolean_Knob(Array_Knob):
    def __init__(self, name: str, label: Optional[str] = None, value: bool = False) -> None:
        super().__init__(name, label)
        self._state[0].constant = self._numbers(value)[0]

    def value(self, *_: Any) -> bool:
        return bool(self.getValue(0))

    def _accepts(self, value: Any) -> bool:
        return isinstance(value, (bool, int))

    def _numbers(self, val: Any) -> List[float]:
        return [float(bool(number)) for number in super()._numbers(val)]

    def _load_field(self, field: Field, text: str) -> None:
        super()._load_field(field, {"true": "1", "false": "0"}.get(text, text))

    def _text_at(self, frame: float, view: str) -> str:
        return "true" if self._number(frame, view) else "false"


class Disable_Knob(Boolean_Knob):
    pass


class Unsigned_Knob(Array_Knob):
    def value(self, *_: Any) -> Any:
        return int(self.getValue(0))

    def _accepts(self, value: Any) -> bool:
        return isinstance(value, int) and value >= 0


class ColorChip_Knob(Unsigned_Knob):
    """A colour as 0xRRGGBBAA."""


class Enumeration_Knob(Unsigned_Knob):
    """A choice, by value or index. Stricter than Nuke: a value that is not in the list is refused with the list."""

    _open = False

    def __init__(self, name: str, label: Optional[str] = None, values: Sequence[str] = ()) -> None:
        super().__init__(name, label)
        self._values_list = [text_of(value, self) for value in values]

    def value(self, *_: Any) -> str:
        session = current()
        return self._text_at(session.frame, session.view)

    def values(self) -> List[str]:
        return self._choices()

    def setValues(self, items: Sequence[str]) -> None:
        self._values_list = [text_of(item, self) for item in items]

    def setValue(self, val: Any, chan: int = -1, *_: Any) -> bool:
        index = self._index(val) if isinstance(val, str) else int(self._numbers(val)[0])
        if index >= len(self._choices()):
            raise ValueError(f"{self._name}: got {val!r}, expected one of {self._plain_choices()}")
        return self._change(lambda: self._assign([float(index)], -1, current().frame))

    def _choices(self) -> List[str]:
        return self._values_list

    def _plain_choices(self) -> List[str]:
        return [choice.split("\t")[0] for choice in self._choices()]

    def _index(self, text: str) -> int:
        for index, choice in enumerate(self._choices()):
            value, *more = choice.split("\t")
            aliases = more[2].split(",") if len(more) > 2 else []
            if text in (value, *aliases):
                return index
        if self._open and "\t" not in text:
            self._values_list.append(text)
            return len(self._values_list) - 1
        raise ValueError(f"{self._name}: got {text!r}, expected one of {self._plain_choices()}")

    def _text_at(self, frame: float, view: str) -> str:
        choices = self._plain_choices()
        index = int(self._number(frame, view))
        return choices[index] if 0 <= index < len(choices) else ""

    def _script(self) -> str:
        field = self._state[0]
        return super()._script() if field.expression or field.curve else quoted(self._text_at(0, ""))

    def _unquoted(self) -> str:
        field = self._state[0]
        return super()._unquoted() if field.expression or field.curve else self._text_at(0, "")

    def _load(self, script: str) -> None:
        if script.startswith("{"):
            super()._load(script)
        elif unquoted(script) or self._choices():
            self._state = [Field(float(self._index(unquoted(script))))]


class Pulldown_Knob(Enumeration_Knob):
    pass


class Radio_Knob(Enumeration_Knob):
    pass


class OneView_Knob(Enumeration_Knob):
    """One of the script's views."""

    def _choices(self) -> List[str]:
        return current().views


class XY_Knob(Array_Knob):
    _size, _always_list = 2, True


class XYZ_Knob(Array_Knob):
    _size, _always_list = 3, True


class UV_Knob(Array_Knob):
    _size, _always_list = 2, True


class WH_Knob(Array_Knob):
    _size = 2


class BBox_Knob(Array_Knob):
    """x, y, r, t: left, bottom, right, top, the last two exclusive."""

    _size, _always_list = 4, True


class Box3_Knob(Array_Knob):
    _size, _always_list = 6, True


class Color_Knob(Array_Knob):
    _size = 3


class AColor_Knob(Color_Knob):
    _size = 4


class IArray_Knob(Array_Knob):
    pass
