"""Options that are declared once, on the fields of a dataclass.

@dataclass
class Job:
    steps: int = option(30, low=1, high=1000, group="Model", help="denoising steps of each pass", label="steps")

[(each.name, each.default) for each in options_of(Job)]      the command line, panels and documentation come from these
"""

from __future__ import annotations

import dataclasses
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Literal, Optional, Tuple, Type, get_args, get_origin, get_type_hints

from void_bridge.errors import UsageError
from void_bridge.resolution import Resolution
from void_bridge.typed import short_repr

Precision = Literal["float32", "bf16", "fp8-stored", "fp8"]
"""`fp8`: 8-bit weights, multiplied as such. `fp8-stored`: 8-bit weights, widened where they are used."""
PRECISIONS: Tuple[Precision, ...] = get_args(Precision)
StepCacheName = Literal["off", "first-block"]
STEP_CACHES: Tuple[StepCacheName, ...] = get_args(StepCacheName)
TransportName = Literal["inline", "path"]
TransportChoice = Literal["auto", TransportName]
TRANSPORTS: Tuple[TransportChoice, ...] = get_args(TransportChoice)
PRIORITY, PRIORITY_MAX = 50, 100
"""The default priority of a job, and the highest; the lowest is 0."""

GROUPS = ("Mattes", "Frames", "Scene", "Engine", "Model", "Pixels", "Colour", "Output", "Run", "Server", "Farm", "Comp")
"""The headings of a panel, in their order."""

TEXT_KINDS = ("text", "lines", "auto", "size", "folder", "file")
"""The kinds whose values people type as text."""

_KINDS = {bool: "flag", int: "integer", float: "number", Optional[float]: "auto", str: "text"}
_NUMBERS = {"integer": int, "number": float, "auto": float}
_TYPES: Dict[str, Tuple[type, ...]] = {
    "flag": (bool,),
    "integer": (int,),
    "number": (int, float),
    "auto": (int, float, type(None)),
    "matte": (object,),
}


@dataclass(frozen=True)
class Option:
    """An option of a job, or a setting of a panel.

    Attributes:
        default: the value if none is given.
        help: one line for the command line and the documentation.
        group: the heading that the option stands under.
        label: the name that an artist reads; empty: panels leave the option out.
        tip: the tool tip in a panel.
        low: the least number.
        high: the largest number.
        exclusive: whether `low` and `high` themselves are refused.
        unit: the unit of a number, for messages and the command line.
        choices: the values that can be chosen, each with the text that an artist reads; by default those of a Literal.
        is_open: whether other names than those of `choices` are accepted.
        engines: the engines that read the option; empty: all.
        kind: the kind of value: `integer`, `number`, `auto` (a number, or None, which is typed as `auto`), `flag`,
            `choice`, `text`, `lines`, `size`, `folder`, `file` or `matte`. By default it follows from the field's type.
        name: the name of the field.
    """

    default: Any = None
    help: str = ""
    group: str = ""
    label: str = ""
    tip: str = ""
    low: float = 0
    high: float = math.inf
    exclusive: bool = False
    unit: str = ""
    choices: Tuple[Tuple[str, str], ...] = ()
    is_open: bool = False
    engines: Tuple[str, ...] = ()
    kind: str = ""
    name: str = ""

    @property
    def values(self) -> Tuple[str, ...]:
        """The values that can be chosen."""
        return ("on", "off") if self.kind == "flag" else tuple(value for value, _ in self.choices)

    @property
    def expected(self) -> str:
        """The values that are accepted, in words."""
        if self.values:
            return f"one of {', '.join(self.values)}"
        if self.kind in TEXT_KINDS and self.kind != "auto":
            return "text"
        limits = f"{self.low} to {self.high} {self.unit}".strip()
        limits = f"a number between {self.low} and {self.high}" if self.exclusive else limits
        return f"auto, or {limits}" if self.kind == "auto" else limits

    def parse(self, text: str, name: str = "") -> Any:
        """Convert the text that a person typed to a value.

        Args:
            text: the text of a command line or of a panel's text field.
            name: the option's name in messages, if it is another one.

        Raises:
            UsageError: the text is no value of this option.
        """
        if self.kind == "size":
            return Resolution.parse_canvas(text, name or self.name).stored()
        value: Any = text
        if self.kind == "flag":
            value = {"on": True, "off": False}.get(text, text)
        elif self.kind == "auto" and text in ("", "auto"):
            value = None
        elif self.kind in _NUMBERS:
            with suppress(ValueError):
                value = _NUMBERS[self.kind](text)
        return self.check(value, name)

    def check(self, value: Any, name: str = "") -> Any:
        """Return a value that the option can hold, as it is; only `parse` converts.

        Args:
            value: a value of the option's type, as a job holds it.
            name: the option's name in messages, if it is another one.

        Raises:
            UsageError: the value is of another type, outside the limits, or none of the choices.
        """
        accepted = isinstance(value, _TYPES.get(self.kind, (str,))) and isinstance(value, bool) == (self.kind == "flag")
        expected = self.expected
        if not accepted and not isinstance(value, str):
            expected = {"flag": "True or False", "integer": f"a whole number, {expected}"}.get(self.kind, expected)
        elif accepted and self.kind in _NUMBERS and value is not None:
            accepted = self.low < value < self.high if self.exclusive else self.low <= value <= self.high
        elif self.kind == "choice":
            accepted = value in self.values or (self.is_open and bool(value))
        if not accepted:
            raise UsageError(f"{name or self.name}: got {short_repr(value)}, expected {expected}")
        if self.kind == "size":
            Resolution.from_stored(value)
        return value

    def text(self, value: Any) -> str:
        """Return a value as people type it."""
        if self.kind == "size":
            return Resolution.from_stored(value).canvas_text()
        if self.kind == "flag":
            return "on" if value else "off"
        return "auto" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def option(default: Any, **declared: Any) -> Any:
    """Return a field of a dataclass that declares an option; see `Option`."""
    return dataclasses.field(default=default, metadata={"option": Option(default, **declared)})


_options: Dict[type, Tuple[Option, ...]] = {}


def options_of(cls: Type[Any]) -> Tuple[Option, ...]:
    """Return the options of a dataclass in the order of its fields, those of a dataclass in a field among them."""
    if cls not in _options:
        _options[cls] = tuple(_declared(cls))
    return _options[cls]


def _declared(cls: Type[Any]) -> Iterator[Option]:
    """Yield the options of a dataclass, with their names and what follows from the types of their fields."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint, declared = hints[field.name], field.metadata.get("option")
        if declared:
            literal = get_args(hint) if get_origin(hint) is Literal else ()
            choices = declared.choices or tuple((value, value) for value in literal)
            kind = declared.kind or ("choice" if choices else _KINDS[hint])
            yield dataclasses.replace(declared, name=field.name, kind=kind, choices=choices)
        elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from options_of(hint)
