"""`void-bridge models init-tiny`: a tiny random checkpoint, to try the way of a job without the published weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from void_bridge.cli.console import CommandOutcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    folder = arguments.folder.absolute()
    write_tiny(folder, arguments.seed)
    outcome: CommandOutcome = arguments.outcome
    outcome.set_without_job(folder=str(folder), seed=arguments.seed)
    outcome.summary(
        f"wrote a tiny random checkpoint to {folder}: it removes nothing, but runs as the published one does"
    )
    return 0
