"""The declaration of a command. Packages register theirs as entry points in the group `void_bridge.commands`."""

from __future__ import annotations

import argparse
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Callable, NoReturn

from void_bridge.errors import UsageError
from void_bridge.typed import nearest


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations that raises UsageError instead of ending the process."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, and raise UsageError for an unknown option, with the nearest known ones."""
        found, rest = super().parse_known_args(args, namespace)
        unknown = next((word.partition("=")[0] for word in rest if word.startswith("-")), "")
        if unknown:
            self.error(f"unknown option {unknown}{nearest(unknown, self._option_string_actions)}")
        return found, rest

    def format_help(self) -> str:
        """Return the help, with a usage of one line: the groups below it list the options."""
        self.usage = short_usage(self)
        return super().format_help()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise argparse.ArgumentError for a value that is not a choice, with the nearest choices."""
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            expected = f"expected one of {', '.join(known)}{nearest(str(value), known)}"
            raise argparse.ArgumentError(action, f"got {value!r}, {expected}")

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with the message of argparse."""
        raise UsageError(f"{message}; see {self.prog} --help")


@dataclass(frozen=True)
class Command:
    """A command of `void-bridge`.

    Attributes:
        name: the word after `void-bridge`.
        help: one line of help.
        configure: adds the command's options to its parser.
        run: runs the command and returns the exit code. A VoidBridgeError that it raises is printed and gives the code.
        examples: lines of shell commands; those that name `demo_out` use the files of the demo.
    """

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: str = ""


def short_usage(parser: argparse.ArgumentParser) -> str:
    """Return a command's usage: its arguments, the options that it requires, and a word for the others."""
    words = [parser.prog]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words.append(str(action.metavar))
        elif action.option_strings and action.required:
            words += [action.option_strings[-1], value_name(action)]
        elif not action.option_strings and action.help != argparse.SUPPRESS:
            words.append(f"[{value_name(action)}]" if action.nargs in ("?", "*") else value_name(action))
    return " ".join([*words, "[OPTIONS]"])


def value_name(action: argparse.Action) -> str:
    """Return the placeholder of an argument's value."""
    name = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    text = name if isinstance(name, str) else " ".join(name)
    return f"{text} ..." if action.nargs in ("*", "+") else text


def add_json_option(parser: argparse._ActionsContainer) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on standard output")


def number_in(kind: Callable[[str], float], low: float, high: float = math.inf) -> Callable[[str], float]:
    """Return a type for argparse that reads a number within limits.

    Args:
        kind: int or float, which converts the text.
        low: the least number.
        high: the largest number.
    """

    def read(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if low <= value <= high:  # not true of nan
                return value
        limits = f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {'a whole' if kind is int else 'a'} number {limits}")

    return read


def examples_epilog(examples: str) -> str:
    """Return the text below the options in a command's help: its examples, indented."""
    after = " (after void-bridge demo --out demo_out)" if "demo_out" in examples else ""
    return f"Examples{after}:\n" + "".join(f"  {line}\n" for line in examples.splitlines()) if examples else ""
