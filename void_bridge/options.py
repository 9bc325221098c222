"""Options that are declared once, on the fields of a dataclass.

@dataclass
class Job:
    steps: int = option(30, low=1, high=1000, group="Model", help="denoising steps of each pass", label="steps")

[(each.name, each.default) for each in options_of(Job)]      the command line, panels and documentation come from these
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Literal, Tuple, Type, get_args, get_origin, get_type_hints

from void_bridge.errors import UsageError
from void_bridge.resolution import Resolution

Kind = Literal["text", "lines", "integer", "number", "auto", "flag", "choice", "size", "folder", "file", "matte"]
Page = Literal["remove", "server", "farm"]
Precision = Literal["float32", "bf16", "fp8-stored", "fp8"]
"""`fp8`: 8-bit weights, multiplied as such. `fp8-stored`: 8-bit weights, widened where they are used."""
PRECISIONS: Tuple[Precision, ...] = get_args(Precision)

GROUPS = ("Mattes", "Frames", "Scene", "Engine", "Model", "Pixels", "Colour", "Output", "Run", "Server", "Farm", "Comp")
"""The headings of a panel, in their order."""

TEXT_KINDS: Tuple[Kind, ...] = ("text", "lines", "auto", "size", "folder", "file")
"""The kinds whose values people type as text."""

_KINDS: Tuple[Tuple[type, Kind], ...] = ((bool, "flag"), (int, "integer"), (float, "number"), (str, "text"))


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
        choices: the values that can be chosen, each with the text that an artist reads.
        is_open: whether other names than those of `choices` are accepted.
        engines: the engines that read the option; empty: all.
        metavar: the placeholder of the value on the command line.
        page: the page of a panel.
        kind: the kind of value, from the field's type unless it is declared. `auto`: a number, or None for `auto`.
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
    metavar: str = ""
    page: Page = "remove"
    kind: Kind = "text"
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
        if self.exclusive:
            return f"a number between {self.low:g} and {self.high:g}"
        limits = f"{self.low} to {self.high} {self.unit}".strip()
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
        if self.kind == "flag" and text in self.values:
            return text == "on"
        return self.check(None if self.kind == "auto" and text in ("", "auto") else text, name)

    def check(self, value: Any, name: str = "") -> Any:
        """Return a value in the option's type.

        Args:
            value: a value of the right kind, or of one that converts to it.
            name: the option's name in messages, if it is another one.

        Raises:
            UsageError: the value is of another kind, outside the limits, or none of the choices.
        """
        try:
            if self.kind == "flag":
                accepted = isinstance(value, int)
            elif self.kind == "choice":
                accepted = value in self.values or (self.is_open and bool(value))
            elif self.kind in ("integer", "number") or (self.kind == "auto" and value is not None):
                value = int(value) if self.kind == "integer" else float(value)
                accepted = self.low < value < self.high if self.exclusive else self.low <= value <= self.high
            else:
                accepted = self.kind != "size" or bool(Resolution.from_stored(value))
        except (TypeError, ValueError, OverflowError):
            accepted = False
        if not accepted:
            raise UsageError(f"{name or self.name}: got {value!r}, expected {self.expected}")
        return bool(value) if self.kind == "flag" else value

    def text(self, value: Any) -> str:
        """Return a value as people type it."""
        if self.kind == "auto" and value is None:
            return "auto"
        if self.kind == "flag":
            return "on" if value else "off"
        if isinstance(value, float):
            return f"{value:g}"
        return Resolution.from_stored(value).canvas_text() if self.kind == "size" else str(value)


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
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if "option" in field.metadata:
            yield _named(field.metadata["option"], field.name, hints[field.name])
        elif dataclasses.is_dataclass(hints[field.name]):
            yield from options_of(hints[field.name])


def check_options(values: Any) -> None:
    """Check the options of a dataclass's instance.

    Raises:
        UsageError: a value is outside its limits, or none of its choices.
    """
    for each in options_of(type(values)):
        if hasattr(values, each.name):
            each.check(getattr(values, each.name))


def _named(declared: Option, name: str, hint: Any) -> Option:
    """Return an option with its name and what follows from the field's type."""
    if declared.kind != "text":
        return dataclasses.replace(declared, name=name)
    if get_origin(hint) is Literal:
        choices = tuple((str(value), str(value)) for value in get_args(hint))
        return dataclasses.replace(declared, name=name, kind="choice", choices=choices)
    if type(None) in get_args(hint):
        return dataclasses.replace(declared, name=name, kind="auto" if float in get_args(hint) else "matte")
    kind: Kind = "choice" if declared.choices else next(kind for type_, kind in _KINDS if hint is type_)
    return dataclasses.replace(declared, name=name, kind=kind)
