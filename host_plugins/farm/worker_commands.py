"""`void-bridge farm session|task|check`: the commands that a farm's workers run."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Tuple

from host_plugins.farm import session
from host_plugins.farm.backends.numbered_tasks import host_requirements
from host_plugins.farm.bundle import JOBS, read_bundle
from host_plugins.farm.check import check_shot
from host_plugins.farm.job_paths import read_rules
from host_plugins.farm.reporters import REPORTERS, OpenJobReporter, PlainReporter, reporter_for
from host_plugins.farm.task import TaskOrder, run_task
from void_bridge.cli.command import add_json_option
from void_bridge.cli.console import say
from void_bridge.config import load
from void_bridge.errors import UsageError, VoidBridgeError
from void_bridge.frames import FrameRange


def add_actions(actions: Any) -> None:
    """Add these commands to `farm`."""
    server = actions.add_parser("session", help="start or stop the server of a session (on a worker)")
    server.add_argument("what", choices=("start", "stop"))
    server.add_argument("folder", type=Path, metavar="DIR", help="folder of the session")
    _add_host(server)
    add_json_option(server)
    server.set_defaults(action=run_session)
    task = actions.add_parser("task", help="process the frames of one task (on a worker)")
    _add_shot(task)
    task.add_argument("--frames", metavar="RANGE", help="frames of the task (default: all frames of the shot)")
    task.add_argument("--task", type=int, metavar="N", help="number of the task in --bundle, from 0")
    task.add_argument("--own-session", action="store_true", help="start a server for this task alone")
    _add_host(task)
    task.set_defaults(action=run_task_command)
    check = actions.add_parser(
        "check", help="check a shot's frames, and write a contact sheet and a comparison (on a worker)"
    )
    _add_shot(check)
    check.set_defaults(action=run_check)


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gpus", type=int, default=0, metavar="N", help="GPUs that this host must have")
    parser.add_argument("--gpu-memory", type=float, default=0.0, metavar="GB", help="memory that each GPU must have")


def _add_shot(parser: argparse.ArgumentParser) -> None:
    add_json_option(parser)
    parser.add_argument("--jobs", type=Path, metavar="DIR", help="folder with one job.json per shot")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle, instead of --jobs")
    parser.add_argument("--shot", metavar="NAME", help="name of the shot")
    parser.add_argument("--path-mapping", type=Path, metavar="FILE", help="path mapping rules of Open Job Description")
    parser.add_argument(
        "--lines",
        choices=tuple(REPORTERS),
        default="plain",
        help="format of the progress lines, as the farm reads them (default: plain)",
    )


def run_session(arguments: argparse.Namespace) -> int:
    """Start or stop the server of a session."""
    lines = OpenJobReporter(sys.stdout)
    if arguments.what == "stop":
        session.stop(arguments.folder, say)
        arguments.outcome.set_without_job(state="stopped", folder=str(arguments.folder))
        return 0
    with report_failure(lines):
        config = session.start(arguments.folder, arguments.gpus, arguments.gpu_memory, say)
        for name, value in session.variables(config).items():
            lines.variable(name, value)
    arguments.outcome.set_without_job(state="running", folder=str(arguments.folder))
    return 0


def run_task_command(arguments: argparse.Namespace) -> int:
    """Make the frames of one task."""
    reporter = reporter_for(arguments.lines)
    with report_failure(reporter), stop_on_signals() as stop:
        order = _order(arguments)
        if not arguments.own_session:
            folder = run_task(order, load({"autostart": False}).config, reporter, stop)
        else:
            folder = _in_own_session(order, arguments, reporter, stop)
    arguments.outcome.set(state="done", output=str(folder))
    return 0


def _in_own_session(
    order: TaskOrder, arguments: argparse.Namespace, reporter: PlainReporter, stop: threading.Event
) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="void-bridge-"))
    try:
        config = session.start(folder, *_asked_of_host(order, arguments), say)
        return run_task(order, config, reporter, stop)
    finally:
        session.stop(folder, say)
        shutil.rmtree(folder, ignore_errors=True)


def _asked_of_host(order: TaskOrder, arguments: argparse.Namespace) -> Tuple[int, float]:
    """Return the GPUs and the GB of each that the bundle asks for; farms without sessions do not all check them."""
    if not arguments.bundle:
        return arguments.gpus, arguments.gpu_memory
    requested = host_requirements(read_bundle(arguments.bundle), order.shot)
    return requested.gpus, requested.gpu_memory_mib * 2**20 / 1e9


def run_check(arguments: argparse.Namespace) -> int:
    """Check the frames of one shot, or of every shot of a bundle."""
    reporter = reporter_for(arguments.lines)
    with report_failure(reporter), stop_on_signals() as stop:
        jobs, rules = _jobs(arguments), read_rules(arguments.path_mapping)
        shots = [arguments.shot] if arguments.shot else sorted(path.stem for path in jobs.glob("*.json"))
        for shot in shots:
            checked = check_shot(jobs, shot, rules, load({}).config, reporter, stop)
            say(f"{shot}: {len(checked.frames)} frames are on disk; review {checked.sheet} and {checked.movie}")
    arguments.outcome.set(state="done", shots=shots)
    return 0


def _order(arguments: argparse.Namespace) -> TaskOrder:
    rules, jobs = read_rules(arguments.path_mapping), _jobs(arguments)
    if arguments.task is not None:
        shot, numbered = _numbered(arguments)
        return TaskOrder(jobs, shot, numbered, rules)
    if not arguments.shot:
        raise UsageError("got no shot; give --shot NAME, or --bundle DIR --task N")
    frames = FrameRange.parse(arguments.frames) if arguments.frames else None
    return TaskOrder(jobs, arguments.shot, frames, rules)


def _numbered(arguments: argparse.Namespace) -> Tuple[str, FrameRange]:
    if not arguments.bundle or arguments.shot or arguments.frames:
        raise UsageError(
            "--task N already gives the shot and frames of a task of --bundle DIR; remove the other options"
        )
    tasks = read_bundle(arguments.bundle).tasks()
    if not 0 <= arguments.task < len(tasks):
        raise UsageError(f"got task {arguments.task}, expected 0 to {len(tasks) - 1}")
    shot, frames = tasks[arguments.task]
    return shot, FrameRange.parse(frames)


def _jobs(arguments: argparse.Namespace) -> Path:
    if bool(arguments.jobs) == bool(arguments.bundle):
        raise UsageError("expected --jobs DIR or --bundle DIR, one of them")
    found: Path = arguments.jobs or arguments.bundle / JOBS
    return found


@contextmanager
def report_failure(reporter: PlainReporter) -> Iterator[None]:
    """Tell the farm about an error before the command ends with it."""
    try:
        yield
    except VoidBridgeError as exc:
        reporter.fail(exc.message)
        raise


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets; a second signal ends the process."""
    stop = threading.Event()
    names = [name for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    before = {number: signal.getsignal(number) for number in numbers}

    def heard(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, before[number])

    for number in numbers:
        signal.signal(number, heard)
    try:
        yield stop
    finally:
        for number in numbers:
            signal.signal(number, before[number])
