"""`void-bridge`: finds the command among the entry points, runs it, and turns what happens into words and exit codes.

0 done · 1 the job failed · 2 wrong usage · 3 no server · 130 cancelled
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from importlib.metadata import EntryPoint
from typing import Dict, List, Optional, Sequence

from void_bridge import __version__
from void_bridge.cli.command import Command, Parser
from void_bridge.cli.console import CommandOutcome, printable, say
from void_bridge.entry_points import find_entry_points
from void_bridge.errors import Cancelled, InternalError, UsageError, VoidBridgeError
from void_bridge.typed import nearest

GROUP = "void_bridge.commands"
_DEBUG = "VOID_BRIDGE_DEBUG"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command. Returns the exit code; raises nothing that is an error."""
    words = list(sys.argv[1:] if argv is None else argv)
    outcome = CommandOutcome("--json" in words)
    try:
        code = _guarded(words, outcome)
        outcome.write()
    except BrokenPipeError:  # nobody reads any more; leave without a word
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _guarded(words: List[str], outcome: CommandOutcome) -> int:
    try:
        return _run(words, outcome)
    except VoidBridgeError as exc:
        return _failed(exc, outcome)
    except KeyboardInterrupt:
        return _failed(Cancelled("interrupted"), outcome)
    except BrokenPipeError:
        raise
    except Exception as exc:
        defect = f"{type(exc).__name__}: {exc}; a defect: set {_DEBUG}=1 to see where"
        return _failed(InternalError(defect), outcome)


def _run(words: List[str], outcome: CommandOutcome) -> int:
    found = _entries()
    wanted = next((word for word in words if not word.startswith("-")), "")
    if wanted and wanted not in found:
        raise UsageError(f"unknown command {wanted!r}{nearest(wanted, found)}; see void-bridge --help")
    parser = _parser([found[wanted]] if wanted else list(found.values()), everything=not wanted)
    try:
        arguments = parser.parse_args(words)
    except SystemExit as exc:  # --help and --version have said what they had to say
        return int(exc.code or 0)
    if not wanted:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
    arguments.outcome = outcome
    run = arguments.run
    return int(run(arguments))


def _entries() -> Dict[str, EntryPoint]:
    return find_entry_points(GROUP)


def _parser(entries: List[EntryPoint], everything: bool) -> argparse.ArgumentParser:
    """A parser of these commands alone, so that one command doesn't wait for the imports of all."""
    parser = Parser(
        prog="void-bridge",
        description="Remove an object, and what it did to the scene, from an EXR shot.",
        epilog="void-bridge COMMAND --help shows a command's options.",
    )
    parser.add_argument("--version", action="version", version=f"void-bridge {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for entry in entries:
        try:
            command: Command = entry.load()
        except ImportError as exc:
            if not everything:
                raise _not_installed(entry, exc) from exc
            continue
        child = commands.add_parser(command.name, help=command.help, description=_sentence(command.help))
        child.set_defaults(run=command.run)
        command.configure(child)
    return parser


def _not_installed(entry: EntryPoint, exc: ImportError) -> VoidBridgeError:
    missing = (exc.name or "").partition(".")[0]
    if missing in ("", "void_bridge", "gpu_server", "host_plugins"):
        return InternalError(f"cannot load command {entry.name}: {exc}; install void-bridge again")
    return UsageError(f"{entry.name} needs {missing}, which is not installed; install void-bridge[server]")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _failed(error: VoidBridgeError, outcome: CommandOutcome) -> int:
    if os.environ.get(_DEBUG):
        traceback.print_exc()
    say(printable(f"void-bridge: {error.message}"))
    outcome.fail(error)
    return error.exit_code
