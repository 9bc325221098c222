"""Numbers in knobs, with expressions and animation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.curves import Curve, number_text, parse_curve, split_fields
from tests.hosts.fake_nuke.expressions import evaluate
from tests.hosts.fake_nuke.knobs import Knob, text_of
from tests.hosts.fake_nuke.scope import NodeScope

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass
class Field:
    """One number of a knob. An expression wins over a curve, a curve over the constant."""

    constant: float = 0.0
    curve: Optional[Curve] = None
    expression: str = ""

    def copy(self) -> Field:
        return Field(self.constant, self.curve.copy() if self.curve else None, self.expression)

    def text(self) -> str:
        if self.expression:
            return f"{{{self.expression}}}"
        return f"{{{self.curve.text()}}}" if self.curve else number_text(self.constant)


class Array_Knob(Knob):
    _size = 1
    _always_list = False

    def __init__(self, name: str, label: Optional[str] = None, size: int = 0) -> None:
        super().__init__(name, label)
        self._state = [Field() for _ in range(size or self._size)]
        self._range: Tuple[float, float] = (0.0, 1.0)

    def value(self, index: int = -1, *_: Any) -> Any:
        return self.getValue(index)

    def getValue(self, channel: int = -1, *_: Any) -> Any:
        session = current()
        return self._values(session.frame, session.view, channel)

    def getValueAt(self, frame: float, index: int = -1, view: Optional[str] = None) -> Any:
        return self._values(frame, view or current().view, index)

    def setValue(self, val: Any, chan: int = -1, *_: Any) -> bool:
        numbers = self._numbers(val)
        return self._change(lambda: self._assign(numbers, chan, current().frame))

    def setExpression(self, expression: str, channel: int = -1, view: Optional[str] = None) -> bool:
        text = text_of(expression, self)
        return self._change(lambda: self._express(text, channel))

    def isAnimated(self, channel: int = -1) -> bool:
        return any(field.curve or field.expression for _, field in self._chosen(channel))

    def setRange(self, min: float, max: float) -> None:
        self._range = (float(min), float(max))

    def _numbers(self, val: Any) -> List[float]:
        values = list(val) if isinstance(val, (list, tuple)) else [val]
        if len(values) > max(1, len(self._state)):
            raise TypeError(f"{self._name}: got {len(values)} numbers, expected at most {len(self._state)}")
        for value in values:
            if not self._accepts(value):
                raise TypeError(f"{self._name}: a {self._kind} does not take {value!r}")
        return [float(value) for value in values]

    def _accepts(self, value: Any) -> bool:
        return isinstance(value, (int, float))

    def _assign(self, numbers: List[float], channel: int, frame: float, keyed: bool = False) -> None:
        for index, field in self._chosen(channel):
            if channel < 0 and 1 < len(numbers) <= index:
                continue
            number = numbers[index] if channel < 0 and len(numbers) > 1 else numbers[0]
            if field.curve or keyed:
                field.curve = field.curve or Curve()
                field.curve.set(frame, number)
            else:
                field.constant = number

    def _express(self, text: str, channel: int) -> None:
        for _, field in self._chosen(channel):
            field.expression = text

    def _chosen(self, channel: int) -> List[Tuple[int, Field]]:
        chosen = list(enumerate(self._state))
        return chosen if channel < 0 else [chosen[channel]]

    def _values(self, frame: float, view: str, channel: int = -1) -> Any:
        if channel >= 0:
            return self._field_number(channel, frame, view)
        values = [self._field_number(index, frame, view) for index in range(len(self._state))]
        return values[0] if not self._always_list and len(set(values)) == 1 else values

    def _field_number(self, index: int, frame: float, view: str) -> float:
        field = self._state[index]
        if field.expression:
            assert self._owner is not None, f"{self._name} has an expression and no node"
            return float(evaluate(field.expression, NodeScope(self._owner, frame, view)))
        constant: float = field.constant
        return float(field.curve.value(frame)) if field.curve else constant

    def _number(self, frame: float, view: str) -> float:
        return self._field_number(0, frame, view)

    def _text_at(self, frame: float, view: str) -> str:
        return " ".join(number_text(self._field_number(index, frame, view)) for index in range(len(self._state)))

    def _copied(self) -> List[Field]:
        return [field.copy() for field in self._state]

    def _restore(self, state: List[Field]) -> None:
        self._state = [field.copy() for field in state]

    def _unquoted(self) -> str:
        return " ".join(field.text() for field in self._state)

    def _script(self) -> str:
        texts = [field.text() for field in self._state]
        return texts[0] if len(texts) == 1 and texts[0][0] != "{" else "{" + " ".join(texts) + "}"

    def _load(self, script: str) -> None:
        texts = split_fields(script)
        if len(self._state) == 1 and not script.strip().startswith("{"):
            texts = (script.strip(),)
        elif len(texts) == 1 and not texts[0].startswith("curve"):
            # One pair of braces around everything, as in a saved script.
            texts = split_fields(texts[0]) if len(self._state) > 1 or texts[0].startswith("{") else texts
        if len(texts) > len(self._state):
            raise ValueError(f"{self._name}: got {script!r}, expected {len(self._state)} numbers")
        for index, field in enumerate(self._state):
            self._load_field(field, texts[index] if len(texts) > 1 else texts[0])

    def _load_field(self, field: Field, text: str) -> None:
        field.curve, field.expression = None, ""
        if text.startswith("curve"):
            field.curve = parse_curve(text)
        elif _NUMBER.fullmatch(text):
            field.constant = float(text)
        else:
            field.expression = text
