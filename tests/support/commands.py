"""Commands run in this process, as the command line does."""

from __future__ import annotations

import argparse

from void_bridge.cli.command import Command
from void_bridge.cli.console import CommandOutcome


def run_command(command: Command, *words: object) -> int:
    """Run a command and return its exit code. Errors are raised."""
    arguments = parsed_command(command, *words)
    arguments.outcome = CommandOutcome("--json" in words)
    return command.run(arguments)


def parsed_command(command: Command, *words: object) -> argparse.Namespace:
    """Return the arguments of a command as its parser reads them."""
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args([str(word) for word in words])
