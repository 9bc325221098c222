"""Nuke's expressions, the part of the language that the plug-in and its tests use.

Numbers, names (`frame`, `knob`, `node.knob`, `parent.knob`, `$gui`, channels in an Expression node), `knob(frame)`,
`[Tcl]`, ! - + * / && || == != < > <= >= ? : and parentheses; min, max, abs, floor, ceil, int, clamp. Anything else is
refused, so that a test never passes on a formula that was misread.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Protocol, Tuple

import numpy as np

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)|(?P<name>\$?[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*)"
    r"|(?P<op>&&|\|\||==|!=|<=|>=|[-+*/()!<>?:,]))"
)
_LEVELS: Tuple[Tuple[str, ...], ...] = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/"))

_BINARY: Dict[str, Callable[[Any, Any], Any]] = {
    "||": lambda a, b: np.logical_or(a, b) * 1.0,
    "&&": lambda a, b: np.logical_and(a, b) * 1.0,
    "==": lambda a, b: np.equal(a, b) * 1.0,
    "!=": lambda a, b: np.not_equal(a, b) * 1.0,
    "<": lambda a, b: np.less(a, b) * 1.0,
    ">": lambda a, b: np.greater(a, b) * 1.0,
    "<=": lambda a, b: np.less_equal(a, b) * 1.0,
    ">=": lambda a, b: np.greater_equal(a, b) * 1.0,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
_FUNCTIONS: Dict[str, Callable[..., Any]] = {
    "min": lambda *values: functools.reduce(np.minimum, values),
    "max": lambda *values: functools.reduce(np.maximum, values),
    "abs": np.abs,
    "floor": np.floor,
    "ceil": np.ceil,
    "int": np.trunc,
    "clamp": lambda value, low=0.0, high=1.0: np.clip(value, low, high),
}
_CONSTANTS = {"pi": math.pi}


class ExpressionError(RuntimeError):
    """A formula that cannot be evaluated."""


class Scope(Protocol):
    """A source of the values of names; they are numbers, or arrays where pixels are computed."""

    def value(self, name: str) -> Any:
        """Return the value of a name. Raises ExpressionError: there is no such name."""

    def value_at(self, name: str, frame: float) -> Any: ...

    def tcl(self, command: str) -> str: ...


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def evaluate(text: str, scope: Scope) -> Any:
    """Evaluate a formula.

    Raises:
        ExpressionError: the fake does not know a form or a name.
    """
    parser = _Parser(_tokens(text), text, scope)
    value = parser.ternary()
    if parser.left():
        raise ExpressionError(f"cannot read {text!r} from {parser.peek()!r} on")
    return value


def names_in(text: str) -> List[str]:
    """Return every name that a formula mentions."""
    return [token.text for token in _tokens(text) if token.kind == "name"]


@functools.cache
def _tokens(text: str) -> Tuple[_Token, ...]:
    tokens: List[_Token] = []
    position = 0
    while text[position:].strip():
        start = position + len(text[position:]) - len(text[position:].lstrip())
        if text[start] == "[":
            position = _closing(text, start) + 1
            tokens.append(_Token("tcl", text[start + 1 : position - 1]))
            continue
        found = _TOKEN.match(text, position)
        if not found:
            raise ExpressionError(f"the fake does not know this form: {text!r} at {text[start:]!r}")
        tokens.append(_Token(str(found.lastgroup), found[str(found.lastgroup)]))
        position = found.end()
    return tuple(tokens)


def _closing(text: str, start: int) -> int:
    depth = 0
    for position in range(start, len(text)):
        depth += {"[": 1, "]": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise ExpressionError(f"no closing bracket in {text!r}")


class _Parser:
    """Evaluates while it reads. Both sides of ? : and of && and || are evaluated: nothing here has side effects."""

    def __init__(self, tokens: Tuple[_Token, ...], text: str, scope: Scope) -> None:
        self._tokens, self._text, self._scope, self._at = tokens, text, scope, 0

    def left(self) -> bool:
        return self._at < len(self._tokens)

    def peek(self) -> str:
        return self._tokens[self._at].text if self.left() else ""

    def ternary(self) -> Any:
        condition = self._binary(0)
        if self.peek() != "?":
            return condition
        self._take("?")
        yes = self.ternary()
        self._take(":")
        no = self.ternary()
        if isinstance(condition, np.ndarray):
            return np.where(condition != 0, yes, no)
        return yes if condition else no

    def _binary(self, level: int) -> Any:
        if level == len(_LEVELS):
            return self._unary()
        value = self._binary(level + 1)
        while self.left() and self._tokens[self._at].kind == "op" and self.peek() in _LEVELS[level]:
            operator = self._take()
            value = _plain(_BINARY[operator](value, self._binary(level + 1)))
        return value

    def _unary(self) -> Any:
        if self.peek() == "!":
            self._take()
            return _plain(np.equal(self._unary(), 0) * 1.0)
        if self.peek() in ("-", "+"):
            return -self._unary() if self._take() == "-" else self._unary()
        return self._atom()

    def _atom(self) -> Any:
        if self.peek() == "(":
            self._take()
            value = self.ternary()
            self._take(")")
            return value
        if not self.left():
            raise ExpressionError(f"{self._text!r} ends too early")
        token = self._tokens[self._at]
        self._take()
        if token.kind == "number":
            return float(token.text)
        if token.kind == "tcl":
            return self._number(self._scope.tcl(token.text))
        if token.kind != "name":
            raise ExpressionError(f"cannot read {self._text!r} at {token.text!r}")
        return self._call(token.text) if self.peek() == "(" else self._name(token.text)

    def _name(self, name: str) -> Any:
        return _CONSTANTS[name] if name in _CONSTANTS else self._scope.value(name)

    def _call(self, name: str) -> Any:
        arguments = []
        while self.peek() in ("(", ","):
            self._take()
            arguments.append(self.ternary())
        self._take(")")
        if name in _FUNCTIONS:
            return _plain(_FUNCTIONS[name](*arguments))
        if len(arguments) != 1:
            raise ExpressionError(f"the fake does not know the function {name!r} of {self._text!r}")
        return self._scope.value_at(name, float(arguments[0]))

    def _number(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise ExpressionError(f"got the text {text!r} where {self._text!r} needs a number") from None

    def _take(self, expected: str = "") -> str:
        if not self.left() or (expected and self.peek() != expected):
            raise ExpressionError(f"expected {expected!r} in {self._text!r}, got {self.peek()!r}")
        self._at += 1
        return self._tokens[self._at - 1].text


def _plain(value: Any) -> Any:
    """Return an array as it is and a numpy number as a Python number."""
    return value if isinstance(value, np.ndarray) and value.ndim else float(value)
