"""`void-bridge models check`: what is in the models folder, and what to get."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gpu_server.engines.void.checkpoint.check import CheckedPart, inspect
from void_bridge.cli.console import CommandOutcome, say
from void_bridge.config import load
from void_bridge.typed import to_plain

_STYLES = {"ok": "green", "adapted": "green", "unneeded": "dim", "missing": "yellow", "bad": "red"}


def add_folder(parser: argparse.ArgumentParser) -> None:
    """The models folder, as every action on it takes it."""
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="DIR", help="the models folder (default: models of the configuration)"
    )


def models_folder(arguments: argparse.Namespace) -> Path:
    return Path(arguments.folder or load()[0].models).absolute()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser)
    parser.add_argument(
        "--passes", type=int, choices=(1, 2), default=2, help="1: pass 1 alone; 2: both (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    folder = models_folder(arguments)
    findings = inspect(folder, range(1, arguments.passes + 1))
    is_whole = all(finding.is_whole for finding in findings)
    outcome: CommandOutcome = arguments.outcome
    outcome.set_without_job(folder=str(folder), whole=is_whole, parts=to_plain(findings))
    if not arguments.json:
        show(folder, findings)
    return 0 if is_whole else 1


def show(folder: Path, findings: Sequence[CheckedPart]) -> None:
    """Print a table of the parts, then what to get, then the licences."""
    console = Console()
    table = Table("part", "state", "what is there", title=str(folder), title_justify="left", box=None, pad_edge=False)
    for finding in findings:
        state = Text(finding.state, _STYLES[finding.state])
        size = f", {finding.size / 1e9:.2f} GB" if finding.size >= 1e8 else ""
        table.add_row(Text(finding.part), state, Text(finding.detail + size))
    console.print(table, soft_wrap=not console.is_terminal)
    for finding in findings:
        if finding.fix:
            console.print(f"-> {finding.part}: {finding.fix}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    for licence in dict.fromkeys(finding.licence for finding in findings):
        parts = ", ".join(finding.part for finding in findings if finding.licence == licence)
        console.print(f"licence of {parts}: {licence}", markup=False, highlight=False, soft_wrap=True)
    if any(finding.fix for finding in findings):
        say("void-bridge models fetch gets what is missing, and goes on where a download stopped")
