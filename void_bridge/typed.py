"""Conversion of dataclasses to plain data and back, with checks on the way in.

One mechanism serves the wire (tolerant: unknown fields are ignored) and files that people write (strict: an unknown
field is refused, and the nearest known one is named).

These types are understood: str, int, float, bool, bytes, Literal, Optional, Tuple[X, ...], Dict[str, X], `object`
(plain data as it is), other dataclasses, and classes with a `parse` from and a `str` to text.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import reprlib
import types
from typing import Any, Dict, Iterable, Literal, Mapping, Type, TypeVar, Union, get_args, get_origin, get_type_hints

from void_bridge.errors import UsageError, VoidBridgeError

T = TypeVar("T")

_INT_LIMIT = 2**63
_FLOAT_LIMIT = 2**1023
_DIGITS_MAX = 200  # Python refuses to write numbers of more than 4300
_UNIONS = (Union, getattr(types, "UnionType", Union))


def to_plain(value: Any) -> Any:
    """Convert a value to maps, lists and scalars, which MessagePack and JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, int, float, bool, bytes)):
        return value
    return str(value)


def from_plain(
    cls: Type[T], data: Any, *, where: str = "", strict: bool = False, error: Type[VoidBridgeError] = UsageError
) -> T:
    """Convert plain data to a dataclass.

    Args:
        cls: the dataclass.
        data: a map of its fields.
        where: the name of the data for messages, such as "job.json" or "submit".
        strict: whether unknown fields are refused.
        error: the class of the error to raise.

    Raises:
        error: a field is missing, unknown (if strict) or mistyped; the message names its path.
    """
    if not isinstance(data, Mapping):
        raise error(f"{where or cls.__name__}: got {_kind(data)}, expected a table of fields")
    hints = _hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if strict:
        for name in data:
            if name not in fields:
                raise error(f"{where}: unknown field {name!r}{nearest(str(name), fields)}")
    values: Dict[str, Any] = {}
    for name, spec in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], f"{where}.{name}" if where else name, strict, error)
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise error(f"{where or cls.__name__}: field {name!r} is missing")
    return cls(**values)


def nearest(name: str, known: Iterable[str], limit: int = 3) -> str:
    """Return `; did you mean 'x' or 'y'?` with the nearest known names, or an empty text if none is near."""
    close = difflib.get_close_matches(name, list(known), n=limit, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


_hint_cache: Dict[type, Dict[str, Any]] = {}


def _hints(cls: type) -> Dict[str, Any]:
    if cls not in _hint_cache:
        _hint_cache[cls] = get_type_hints(cls)
    return _hint_cache[cls]


def _convert(hint: Any, value: Any, where: str, strict: bool, error: Type[VoidBridgeError]) -> Any:
    origin = get_origin(hint)
    if hint is object or hint is Any:
        return value
    if origin in _UNIONS:
        if value is None:
            return None
        (inner,) = [a for a in get_args(hint) if a is not type(None)]
        return _convert(inner, value, where, strict, error)
    if origin is Literal:
        return _literal(get_args(hint), value, where, error)
    if origin is tuple:
        return tuple(
            _convert(get_args(hint)[0], item, f"{where}[{i}]", strict, error)
            for i, item in enumerate(_expect((list, tuple), value, where, error))
        )
    if origin is dict:
        table = _expect(dict, value, where, error)
        return {
            _expect(str, key, where, error): _convert(get_args(hint)[1], item, f"{where}.{key}", strict, error)
            for key, item in table.items()
        }
    if dataclasses.is_dataclass(hint):
        return from_plain(hint, value, where=where, strict=strict, error=error)  # type: ignore[arg-type]
    if hasattr(hint, "parse"):
        return value if isinstance(value, hint) else _parsed(hint, value, where, error)
    return _scalar(hint, value, where, error)


def _literal(allowed: Any, value: Any, where: str, error: Type[VoidBridgeError]) -> Any:
    if value in allowed and isinstance(value, (str, int)):
        return value
    raise error(f"{where}: got {short_repr(value)}, expected one of {', '.join(str(a) for a in allowed)}")


def _parsed(hint: Any, value: Any, where: str, error: Type[VoidBridgeError]) -> Any:
    try:
        return hint.parse(_expect(str, value, where, error))
    except VoidBridgeError as exc:
        raise error(f"{where}: {exc}") from exc


def _scalar(hint: Any, value: Any, where: str, error: Type[VoidBridgeError]) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < _FLOAT_LIMIT else math.inf
    if hint is int and isinstance(value, bool):
        raise error(f"{where}: got {value!r}, expected a whole number")
    checked = _expect(hint, value, where, error)
    if hint is str and not _is_unicode(checked):
        raise error(f"{where}: got {short_repr(value)}, expected text without surrogate characters")
    if hint is int and not -_INT_LIMIT <= checked < _INT_LIMIT:
        raise error(f"{where}: got {short_repr(checked)}, which does not fit 64 bits")
    if hint is float and not math.isfinite(checked):
        raise error(f"{where}: got {value}, expected a finite number")
    return checked


def _is_unicode(text: str) -> bool:
    """Return whether a text can be written; JSON can hold halves of characters, which files and messages cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _expect(kind: Any, value: Any, where: str, error: Type[VoidBridgeError]) -> Any:
    if isinstance(value, kind):
        return value
    names = {
        str: "text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        bytes: "bytes",
        dict: "a table",
    }
    raise error(f"{where}: got {_kind(value)}, expected {names.get(kind, 'a list')}")


def _kind(value: Any) -> str:
    return f"{type(value).__name__} {short_repr(value)}"


class _ShortRepr(reprlib.Repr):
    """A short `repr` of values that may be huge."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 60, 60

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < _DIGITS_MAX else f"a number of {x.bit_length()} bits"


def short_repr(value: Any) -> str:
    """Return a `repr` of at most 60 characters, also of values whose own would be huge or raise."""
    text = _ShortRepr().repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
