"""The declaration of a command. Packages register theirs as entry points in the group `void_bridge.commands`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Callable, NoReturn

from void_bridge.errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations that raises UsageError instead of ending the process."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

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
    """

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
