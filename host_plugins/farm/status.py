"""`void-bridge farm status`: each task of a job as its worker wrote it beside the frames, and the farm's own status."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Iterator, List, Tuple

from rich.console import Console
from rich.table import Table

from host_plugins.farm.backends import farm_of
from host_plugins.farm.bundle import TEMPLATE, read_bundle
from host_plugins.farm.job_paths import mapped
from host_plugins.farm.status_files import SubmissionRecord, TaskState, read_submission, read_tasks, summary
from void_bridge.cli.console import print_result, say
from void_bridge.client.formatting import duration_text
from void_bridge.client.output import output_folder
from void_bridge.config import load
from void_bridge.errors import InputError, VoidBridgeError
from void_bridge.job import JobFile
from void_bridge.pathmap import PathMap
from void_bridge.typed import to_plain

Found = Tuple[SubmissionRecord, Tuple[TaskState, ...]]


def run_status(arguments: argparse.Namespace) -> int:
    """Print the status of a farm job."""
    found = list(_found(Path(arguments.job)))
    submission = found[0][0]
    farm_says = _status_at_farm(submission)
    tasks = tuple(task for _, tasks in found for task in tasks)
    shots = [{"shot": each.shot, "tasks": to_plain(tasks)} for each, tasks in found]
    arguments.outcome.set_without_job(farm=submission.farm, farm_job=submission.id, farm_says=farm_says, shots=shots)
    arguments.outcome.set(state=overall(tasks), tasks=len(tasks), tasks_done=sum(t.state == "done" for t in tasks))
    if not arguments.json:
        _show(found, farm_says)
    return 0


def overall(tasks: Tuple[TaskState, ...]) -> str:
    """Return the state of a whole job. Failed and cancelled tasks count once none is running."""
    states = {task.state for task in tasks}
    for state in ("running", "failed", "cancelled"):
        if state in states:
            return state
    return "done" if states == {"done"} else "queued" if states == {"waiting"} else "running"


def _found(path: Path) -> Iterator[Found]:
    """Yield record and tasks of every shot.

    Raises:
        InputError: nothing was submitted from there.
    """
    for folder in _folders(path):
        submission = read_submission(folder)
        if submission is None:
            raise InputError(f"{folder} has no farm submission; submit with void-bridge farm submit")
        yield submission, read_tasks(folder, submission)


def _folders(path: Path) -> List[Path]:
    if (path / TEMPLATE).is_file():
        bundle, here = read_bundle(path), PathMap.parse(load().config.path_map)
        return [output_folder(mapped(bundle.job(shot).job, here)) for shot in bundle.shot_names()]
    if path.is_dir():
        return [path]
    JobFile.read(path)
    return [path.absolute().parent]


def _status_at_farm(submission: SubmissionRecord) -> str:
    """Return the farm's own status of a job, or why the farm cannot be asked."""
    try:
        return farm_of(submission.farm).status(submission.id) if submission.id else ""
    except VoidBridgeError as exc:
        return f"cannot be reached: {exc.message}"


def _show(found: List[Found], farm_says: str) -> None:
    console = Console()
    for submission, tasks in found:
        since = duration_text(max(0.0, time.time() - submission.submitted))
        say(f"{submission.shot}: {submission.farm} {submission.id or '(no id)'}, submitted {since} ago")
        if console.is_terminal:
            console.print(_table(tasks))
        else:
            for task in tasks:
                print_result("  ".join(_cells(task)).rstrip())
        say(summary(tasks))
    if farm_says:
        say(f"{found[0][0].farm} says: {farm_says}")


def _table(tasks: Tuple[TaskState, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("task", "state", "done", "worker", "news"):
        table.add_column(name)
    for task in tasks:
        table.add_row(*_cells(task))
    return table


def _cells(task: TaskState) -> Tuple[str, ...]:
    return task.frames, task.state, f"{task.percent:.0f} %", task.host, task.line
