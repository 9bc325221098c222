"""The status of a farm job as small files beside its frames, readable on any machine that sees the frames.

<output folder>/farm/submission.json      which farm has the job, and which tasks there are
<output folder>/farm/1001-1010.json       the state of the task for those frames, written by its worker
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Literal, Optional, Tuple, Type, TypeVar

from void_bridge.atomic import write_json
from void_bridge.errors import InputError
from void_bridge.typed import from_plain

FOLDER = "farm"
SUBMISSION = "submission.json"
REPORT_PREFIX = "report_"  # of what a task said about itself (reports.py)
CHECK = "check"  # stands for frames in the state of the final task

State = Literal["waiting", "running", "done", "failed", "cancelled"]
T = TypeVar("T")


@dataclass(frozen=True)
class SubmissionRecord:
    """One submission of a shot to a farm.

    Attributes:
        farm: the farm's name.
        id: the id by which the farm knows the job.
        name: the name of the farm's job.
        bundle: the bundle's folder.
        shot: the name of the shot.
        tasks: the frames of each task that makes this shot's.
        submitted: when, in seconds since the epoch.
    """

    farm: str
    id: str
    name: str
    bundle: str
    shot: str
    tasks: Tuple[str, ...]
    submitted: float = 0.0


@dataclass(frozen=True)
class TaskState:
    """The state of one task.

    Attributes:
        frames: a range, or `check` for the final task.
        state: waiting, running, done, failed or cancelled.
        percent: 0 to 100.
        line: one line for a person.
        host: the worker's host name.
        updated: when it was written, in seconds since the epoch.
    """

    frames: str
    state: State = "waiting"
    percent: float = 0.0
    line: str = ""
    host: str = ""
    updated: float = 0.0


def write_submission(folder: Path, submission: SubmissionRecord) -> None:
    """Write the record of a submission.

    Args:
        folder: the folder of the frames.
        submission: the record.

    Raises:
        OutputError: the file cannot be written.
        DiskFull: the disk is full.
    """
    write_json(folder / FOLDER / SUBMISSION, submission)


def read_submission(folder: Path) -> Optional[SubmissionRecord]:
    """Return the record of a submission, or None where there is none that can be read."""
    return _read(SubmissionRecord, folder / FOLDER / SUBMISSION)


def write_task(folder: Path, state: TaskState) -> None:
    """Write the state of a task.

    Raises:
        OutputError: the file cannot be written.
        DiskFull: the disk is full.
    """
    write_json(folder / FOLDER / f"{file_name(state.frames)}.json", state)


def read_tasks(folder: Path, submission: SubmissionRecord) -> Tuple[TaskState, ...]:
    """Return the state of every task of a submission in order, the final one last. A task without a file is waiting."""
    found = ((frames, folder / FOLDER / f"{file_name(frames)}.json") for frames in (*submission.tasks, CHECK))
    return tuple(_read(TaskState, path) or TaskState(frames) for frames, path in found)


def remove_task_states(folder: Path) -> None:
    """Remove the record and the task states of an earlier submission."""
    for path in (folder / FOLDER).glob("*.json"):
        if not path.name.startswith(REPORT_PREFIX):
            path.unlink(missing_ok=True)


def summary(tasks: Tuple[TaskState, ...]) -> str:
    """Return one line, such as `2 of 5 tasks done, 1 running (42 %), 1 failed: 1001-1010 on farm07: no server`."""
    count: Dict[str, int] = {}
    for task in tasks:
        count[task.state] = count.get(task.state, 0) + 1
    parts = [f"{count.get('done', 0)} of {len(tasks)} tasks done"]
    running = [task for task in tasks if task.state == "running"]
    if running:
        parts.append(f"{len(running)} running ({sum(task.percent for task in running) / len(running):.0f} %)")
    if count.get("cancelled"):
        parts.append(f"{count['cancelled']} cancelled")
    failed = [task for task in tasks if task.state == "failed"]
    if failed:
        parts.append(f"{len(failed)} failed: {failed[0].frames} on {failed[0].host}: {failed[0].line}")
    return ", ".join(parts)


def file_name(frames: str) -> str:
    """Return the file name for a list of frames; a long list is named by its ends and its length."""
    if len(frames) <= 100:
        return frames.replace(":", "_")
    return f"{frames[:40]}...{frames[-40:]}_{len(frames)}"


def _read(cls: Type[T], path: Path) -> Optional[T]:
    try:
        return from_plain(cls, json.loads(path.read_bytes()), where=str(path), error=InputError)
    except (OSError, ValueError, InputError):
        return None
