"""What a command is. Packages register theirs as entry points in the group `void_bridge.commands`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Callable, NoReturn

from void_bridge.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations. Raises UsageError instead of leaving."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


@dataclass(frozen=True)
class Command:
    """One word behind `void-bridge`.

    configure: adds the command's options to its parser. run: does it and returns the exit code;
    it may raise VoidBridgeError, whose message and exit code the command line then uses.
    """

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
