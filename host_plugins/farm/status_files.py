"""How a farm job stands, as small files beside its frames: whoever sees the frames can follow, whichever farm it is.

<output folder>/farm/submission.json      who has the job, and which tasks there are
<output folder>/farm/1001-1010.json       how the task for those frames stands; written by the worker that has it
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
    """farm: its name; id: by which it knows the job. bundle: folder. tasks: frames of each that makes this shot's.

    submitted: seconds since the epoch.
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
    """frames: a range, or `check`. percent: 0 to 100. line: for a person. updated: seconds since the epoch."""

    frames: str
    state: State = "waiting"
    percent: float = 0.0
    line: str = ""
    host: str = ""
    updated: float = 0.0


def write_submission(folder: Path, submission: SubmissionRecord) -> None:
    """folder: that of the frames. Raises OutputError, DiskFull."""
    write_json(folder / FOLDER / SUBMISSION, submission)


def read_submission(folder: Path) -> Optional[SubmissionRecord]:
    """None where nothing was submitted from here, or it cannot be read."""
    return _read(SubmissionRecord, folder / FOLDER / SUBMISSION)


def write_task(folder: Path, state: TaskState) -> None:
    """Raises OutputError, DiskFull."""
    write_json(folder / FOLDER / f"{file_name(state.frames)}.json", state)


def read_tasks(folder: Path, submission: SubmissionRecord) -> Tuple[TaskState, ...]:
    """Every task of a submission in order, the final one last; those that nobody has begun are waiting."""
    found = ((frames, folder / FOLDER / f"{file_name(frames)}.json") for frames in (*submission.tasks, CHECK))
    return tuple(_read(TaskState, path) or TaskState(frames) for frames, path in found)


def remove_task_states(folder: Path) -> None:
    """How the tasks of an earlier submission stood, and who had it."""
    for path in (folder / FOLDER).glob("*.json"):
        if not path.name.startswith(REPORT_PREFIX):
            path.unlink(missing_ok=True)


def summary(tasks: Tuple[TaskState, ...]) -> str:
    """One line: `2 of 5 tasks done, 1 running (42 %), 1 failed: 1001-1010 on farm07: no server answers`."""
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
    """A long list of frames is named by its ends and its length."""
    if len(frames) <= 100:
        return frames.replace(":", "_")
    return f"{frames[:40]}...{frames[-40:]}_{len(frames)}"


def _read(cls: Type[T], path: Path) -> Optional[T]:
    try:
        return from_plain(cls, json.loads(path.read_bytes()), where=str(path), error=InputError)
    except (OSError, ValueError, InputError):
        return None
