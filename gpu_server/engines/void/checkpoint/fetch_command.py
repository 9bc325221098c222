"""`void-bridge models fetch`: the published weights from the hub."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gpu_server.engines.void.checkpoint.check import inspect
from gpu_server.engines.void.checkpoint.check_command import add_folder, models_folder, show
from gpu_server.engines.void.checkpoint.fetch import check_disk, fetch, wanted_files
from gpu_server.engines.void.checkpoint.layout import pass_name, resolve
from gpu_server.engines.void.checkpoint.sources import BASE_REPOSITORY, PASSES_REPOSITORY
from void_bridge.cli.console import CommandOutcome, say
from void_bridge.errors import NoServer, UsageError
from void_bridge.typed import to_plain

if TYPE_CHECKING:
    from gpu_server.engines.void.checkpoint.hub import Hub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser)
    parser.add_argument(
        "--passes", type=int, choices=(1, 2), default=2, help="1: pass 1 alone; 2: both (default %(default)s)"
    )
    parser.add_argument(
        "--base-weights",
        action="store_true",
        help="the transformer of the base, too: 11 GB that only a checkpoint of 33 channels needs",
    )
    parser.add_argument("--base-repo", default=BASE_REPOSITORY, metavar="REPO", help="default %(default)s")
    parser.add_argument("--passes-repo", default=PASSES_REPOSITORY, metavar="REPO", help="default %(default)s")
    parser.add_argument("--revision", metavar="REV", help="a branch, tag or commit of both (default: main)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    folder = models_folder(arguments)
    passes = range(1, arguments.passes + 1)
    hub = _hub(arguments.revision)
    base, own = arguments.base_repo, arguments.passes_repo
    try:
        files = wanted_files(hub, folder, passes, arguments.base_weights, base, own)
    except NoServer as exc:
        by_hand = (
            f"{base} belongs into {resolve(folder).base}, {', '.join(map(pass_name, passes))} of {own} into {folder}"
        )
        raise NoServer(f"{exc.message}; by hand: {by_hand}") from exc
    missing = check_disk(files, folder)
    say(f"{len(files)} files, {missing / 1e9:.2f} GB to come, into {folder}")
    for file in files:
        if not file.is_there:
            say(
                f"fetching {file.listed.path} ({file.listed.size / 1e9:.2f} GB), {file.partial_bytes:,} bytes are there"
            )
            fetch(hub, file)
    findings = inspect(folder, passes)
    is_whole = all(finding.is_whole for finding in findings)
    outcome: CommandOutcome = arguments.outcome
    outcome.set_without_job(folder=str(folder), fetched_bytes=missing, whole=is_whole, parts=to_plain(findings))
    if not arguments.json:
        show(folder, findings)
    return 0 if is_whole else 1


def _hub(revision: str | None) -> Hub:
    try:
        from gpu_server.engines.void.checkpoint.hub import Hub
    except ImportError as exc:
        raise UsageError(f"fetching needs {exc.name}; install void-bridge[void]") from exc
    return Hub(revision)
