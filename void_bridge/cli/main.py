"""The program `void-bridge`: finds a command among the entry points, runs it, and reports errors with exit codes.

0 done · 1 the job failed · 2 wrong usage · 3 no server · 130 cancelled
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from importlib.metadata import EntryPoint
from typing import Dict, List, Optional, Sequence

from void_bridge.cli.command import Command, Parser, examples_epilog
from void_bridge.cli.console import CommandOutcome, printable, say
from void_bridge.entry_points import find_entry_points
from void_bridge.errors import Cancelled, InternalError, UsageError, VoidBridgeError
from void_bridge.typed import nearest
from void_bridge.version import __version__

GROUP = "void_bridge.commands"
_DEBUG = "VOID_BRIDGE_DEBUG"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return the exit code. Errors are printed, not raised.

    Args:
        argv: the words after `void-bridge`; default: those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    outcome = CommandOutcome("--json" in words)
    try:
        code = _run_reporting_errors(words, outcome)
        outcome.write()
    except BrokenPipeError:  # the reader of standard output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _run_reporting_errors(words: List[str], outcome: CommandOutcome) -> int:
    """Run a command, print its error, if any, and return the exit code."""
    try:
        return _run(words, outcome)
    except VoidBridgeError as exc:
        return _report_error(exc, outcome)
    except KeyboardInterrupt:
        return _report_error(Cancelled("interrupted"), outcome)
    except BrokenPipeError:
        raise
    except Exception as exc:
        defect = f"{type(exc).__name__}: {exc}; this is a bug: set {_DEBUG}=1 to see the traceback"
        return _report_error(InternalError(defect), outcome)


def _run(words: List[str], outcome: CommandOutcome) -> int:
    """Parse the words, run the command and return its exit code."""
    commands = find_entry_points(GROUP)
    if "_ARGCOMPLETE" in os.environ:
        return _print_completions(commands)
    name = next((word for word in words if not word.startswith("-")), "")
    if name and name not in commands:
        raise UsageError(f"unknown command {name!r}{nearest(name, commands)}; see void-bridge --help")
    parser = command_parser([commands[name]] if name else list(commands.values()), skip_missing=not name)
    try:
        arguments = parser.parse_args(words)
    except SystemExit as exc:  # after --help and --version
        return int(exc.code or 0)
    if not name:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
    arguments.outcome = outcome
    return int(arguments.run(arguments))


def _print_completions(commands: Dict[str, EntryPoint]) -> int:
    """Print what can follow on the command line in a shell, which argcomplete's shell function asks for."""
    from argcomplete import autocomplete

    line = os.environ["COMP_LINE"]
    os.environ["COMP_LINE"] = line.replace("#", "@")  # argcomplete would read `plate.####.exr` as a comment
    name = next((word for word in line.split() if word in commands), "")
    autocomplete(command_parser([commands[name]] if name else list(commands.values()), skip_missing=True))
    return 0


def command_parser(entries: List[EntryPoint], skip_missing: bool) -> argparse.ArgumentParser:
    """Return a parser of the given commands alone, so that a command does not import the others.

    Args:
        entries: entry points of the commands.
        skip_missing: leave out commands that cannot be imported instead of raising UsageError.
    """
    parser = Parser(
        prog="void-bridge",
        description="Remove an object and its effects on the scene from an EXR shot.",
        epilog="void-bridge COMMAND --help shows a command's options.",
    )
    parser.add_argument("--version", action="version", version=f"void-bridge {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for entry in entries:
        try:
            command: Command = entry.load()
        except ImportError as exc:
            if skip_missing:
                continue
            raise _import_failure(entry, exc) from exc
        description = f"{command.help[:1].upper()}{command.help[1:]}."
        epilog = examples_epilog(command.examples)
        child = commands.add_parser(command.name, help=command.help, description=description, epilog=epilog)
        child.set_defaults(run=command.run)
        command.configure(child)
    return parser


def _import_failure(entry: EntryPoint, exc: ImportError) -> VoidBridgeError:
    """Return the error for a command that cannot be imported."""
    missing = (exc.name or "").partition(".")[0]
    if missing in ("", "void_bridge", "gpu_server", "host_plugins"):
        return InternalError(f"cannot load command {entry.name}: {exc}; install void-bridge again")
    return UsageError(f"{entry.name} needs {missing}, which is not installed; install void-bridge[server]")


def _report_error(error: VoidBridgeError, outcome: CommandOutcome) -> int:
    """Print an error and return its exit code."""
    if os.environ.get(_DEBUG):
        traceback.print_exc()
    say(printable(f"void-bridge: {error.message}"))
    outcome.fail(error)
    return error.exit_code
