"""`void-bridge models`: check, fetch and plan for the weights of the void engine; make tiny ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gpu_server.engines.void.checkpoint.check import CheckedPart, check_parts
from gpu_server.engines.void.checkpoint.layout import BASE_REPOSITORY, PASSES_REPOSITORY, pass_name, resolve
from gpu_server.engines.void.planner import plan_command
from void_bridge.cli.command import Command, add_json_option
from void_bridge.cli.console import CommandOutcome, say
from void_bridge.config import load
from void_bridge.errors import NoServer, UsageError
from void_bridge.typed import to_plain

_STYLES = {"ok": "green", "adapted": "green", "unneeded": "dim", "missing": "yellow", "bad": "red"}


def _configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text, configure, run in (
        ("check", "check that the weights are complete, and list what is missing", _configure_check, _check),
        ("fetch", "download the published weights from Hugging Face", _configure_fetch, _fetch),
        ("init-tiny", "write a tiny checkpoint of random weights, for tests", _configure_init_tiny, _init_tiny),
        ("plan", "show how the model would use the memory of a GPU", plan_command.configure, plan_command.run),
    ):
        child = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        configure(child)
        add_json_option(child)
        child.set_defaults(act=run)


def _run(arguments: argparse.Namespace) -> int:
    """Run the chosen action and return the exit code."""
    return int(arguments.act(arguments))


def _configure_check(parser: argparse.ArgumentParser) -> None:
    """Add the options of `check`, which `fetch` shares."""
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="DIR", help="the models folder (default: models in the configuration)"
    )
    parser.add_argument(
        "--passes",
        type=int,
        choices=(1, 2),
        default=2,
        help="number of passes: 1, or 2 for both (default: %(default)s)",
    )


def _check(arguments: argparse.Namespace) -> int:
    """Report every part of a models folder; the exit code is 0 if all are whole."""
    folder = _models_folder(arguments)
    return _report(folder, check_parts(folder, range(1, arguments.passes + 1)), arguments)


def _configure_fetch(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fetch`."""
    _configure_check(parser)
    parser.add_argument(
        "--base-weights",
        action="store_true",
        help="also download the transformer of the base: 11 GB, needed only by a checkpoint of 33 channels",
    )
    parser.add_argument(
        "--base-repo",
        default=BASE_REPOSITORY,
        metavar="REPO",
        help="repository of the base model (default: %(default)s)",
    )
    parser.add_argument(
        "--passes-repo",
        default=PASSES_REPOSITORY,
        metavar="REPO",
        help="repository of the passes (default: %(default)s)",
    )
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit of both repositories (default: main)")


def _fetch(arguments: argparse.Namespace) -> int:
    """Download the missing files, then report as `check` does."""
    try:
        from gpu_server.engines.void.checkpoint.fetch import Hub, check_disk, fetch, wanted_files
    except ImportError as exc:
        raise UsageError(f"downloading needs {exc.name}; install void-bridge[void]") from exc
    folder = _models_folder(arguments)
    passes = range(1, arguments.passes + 1)
    hub, base, own = Hub(arguments.revision), arguments.base_repo, arguments.passes_repo
    try:
        files = wanted_files(hub, folder, passes, arguments.base_weights, base, own)
    except NoServer as exc:
        by_hand = f"copy {base} to {resolve(folder).base}, and {', '.join(map(pass_name, passes))} of {own} to {folder}"
        raise NoServer(f"{exc.message}; or without this command: {by_hand}") from exc
    missing = check_disk(files, folder)
    say(f"{len(files)} files, {missing / 1e9:.2f} GB to download, to {folder}")
    for file in (file for file in files if not file.is_there):
        size_gb = file.hub_file.size / 1e9
        say(f"downloading {file.hub_file.path} ({size_gb:.2f} GB, {file.partial_bytes:,} bytes are already on disk)")
        fetch(hub, file)
    return _report(folder, check_parts(folder, passes), arguments, fetched_bytes=missing)


def _configure_init_tiny(parser: argparse.ArgumentParser) -> None:
    """Add the options of `init-tiny`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the weights; the same seed gives the same bytes (default: %(default)s)",
    )


def _init_tiny(arguments: argparse.Namespace) -> int:
    """Write a tiny random checkpoint."""
    from gpu_server.engines.void.random_checkpoints.tiny import write_tiny

    folder = arguments.folder.absolute()
    write_tiny(folder, arguments.seed)
    outcome: CommandOutcome = arguments.outcome
    outcome.set_without_job(folder=str(folder), seed=arguments.seed)
    outcome.summary(
        f"wrote a tiny random checkpoint to {folder}: it runs as the published one does, but its results are noise"
    )
    return 0


def _models_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder that was named, or that of the configuration."""
    return Path(arguments.folder or load()[0].models).absolute()


def _report(folder: Path, parts: Sequence[CheckedPart], arguments: argparse.Namespace, **more: object) -> int:
    """Report the parts of a models folder, as JSON if asked, and return the exit code: 0 if all are whole."""
    is_whole = all(part.is_whole for part in parts)
    outcome: CommandOutcome = arguments.outcome
    outcome.set_without_job(folder=str(folder), **more, whole=is_whole, parts=to_plain(parts))
    if not arguments.json:
        _print_parts(folder, parts)
    return 0 if is_whole else 1


def _print_parts(folder: Path, parts: Sequence[CheckedPart]) -> None:
    """Print a table of the parts, then the files to get, then the licences."""
    console = Console()
    table = Table("part", "state", "found", title=str(folder), title_justify="left", box=None, pad_edge=False)
    for part in parts:
        size = f", {part.size / 1e9:.2f} GB" if part.size >= 1e8 else ""
        table.add_row(Text(part.part), Text(part.state, _STYLES[part.state]), Text(part.detail + size))
    console.print(table, soft_wrap=not console.is_terminal)
    for part in parts:
        if part.fix:
            console.print(f"-> {part.part}: {part.fix}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    for licence in dict.fromkeys(part.licence for part in parts):
        names = ", ".join(part.part for part in parts if part.licence == licence)
        console.print(f"licence of {names}: {licence}", markup=False, highlight=False, soft_wrap=True)
    if any(part.fix for part in parts):
        say("void-bridge models fetch downloads the missing files, and resumes a download that stopped")


COMMAND = Command(
    "models",
    "check, download or create the weights of the void engine, or plan its memory",
    _configure,
    _run,
    examples="void-bridge models fetch\nvoid-bridge models check",
)
