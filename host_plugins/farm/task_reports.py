"""The reports of a shot's tasks, merged into the report of the whole job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterable

from host_plugins.farm.status_files import FOLDER, REPORT_PREFIX, file_name
from void_bridge.atomic import write_json
from void_bridge.client.output import REPORT_FILE_NAME, build_report
from void_bridge.errors import InputError
from void_bridge.protocol.messages import Result


def write_task_report(folder: Path, frames: str, result: Result) -> None:
    """Write the report of one task.

    Args:
        folder: the folder of the frames.
        frames: the frames of the task.
        result: the result of the session's server.

    Raises:
        OutputError: the file cannot be written.
        DiskFull: the disk is full.
    """
    path = folder / FOLDER / f"{REPORT_PREFIX}{file_name(frames)}.json"
    write_json(path, {**build_report(result), "job": ""})  # the session's number says nothing to anybody else


def write_report(folder: Path, frames: int) -> Dict[str, Any]:
    """Write `report.json` from the reports of the tasks.

    Args:
        folder: the folder of the frames.
        frames: how many frames the job delivers.

    Returns:
        The report: values on which the tasks agree, times added up, each warning once.

    Raises:
        OutputError: the file cannot be written.
        DiskFull: the disk is full.
    """
    parts = [_read(path) for path in sorted((folder / FOLDER).glob(f"{REPORT_PREFIX}*.json"))]
    report = {**merged(parts), "frames": frames}
    write_json(folder / REPORT_FILE_NAME, report)
    return report


def remove_task_reports(folder: Path) -> None:
    """Remove the reports of tasks whose frames are gone."""
    for path in (folder / FOLDER).glob(f"{REPORT_PREFIX}*.json"):
        path.unlink(missing_ok=True)


def merged(parts: Iterable[Dict[str, Any]]) -> Dict[str, Any]:
    """Return one report of several. Engines that differ are all named."""
    parts = list(parts)
    whole: Dict[str, Any] = {}
    for part in parts:
        whole.update({name: value for name, value in part.items() if name not in ("warnings", "seconds_by_stage")})
    engines = dict.fromkeys(str(part.get("engine", "")) for part in parts)
    warnings = dict.fromkeys(warning for part in parts for warning in part.get("warnings") or ())
    stages: Dict[str, float] = {}
    for part in parts:
        for stage, seconds in (part.get("seconds_by_stage") or {}).items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    whole.update(engine=", ".join(engines), seconds=sum(part.get("seconds") or 0.0 for part in parts))
    if stages:
        whole["seconds_by_stage"] = stages
    if warnings:
        whole["warnings"] = list(warnings)
    return whole


def _read(path: Path) -> Dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read {path}: {exc}; remove it and run that task again") from exc
    return dict(data)
