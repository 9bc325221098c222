"""A shot's job as a worker sees it: every path mapped, and whose its output folder is."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from pathlib import Path
from typing import Optional

from host_plugins.farm.bundle import shot_job
from void_bridge.client.output import existing_job_file, output_folder
from void_bridge.errors import InputError, OutputError
from void_bridge.job import JOB_FILE_NAME, Job, JobFile
from void_bridge.pathmap import PathMap
from void_bridge.sequence import Sequence


def read_rules(path: Optional[Path]) -> PathMap:
    """The rules in a file that the farm wrote; none without a file. Raises InputError."""
    if path is None:
        return PathMap()
    try:
        return PathMap.from_rules(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read path mapping rules {path}: {exc}") from exc


def job_on_this_host(jobs: Path, shot: str, rules: PathMap) -> Job:
    """The job of a shot, in paths of this machine.

    Args:
        jobs: folder of a bundle. rules: what other machines call a folder, and what it is here.

    Raises:
        InputError: no such shot; a path that lies outside every mapped root and is not here either.
    """
    job = mapped(shot_job(jobs, shot).job, rules)
    for pattern in (job.plate, *(matte.sequence for matte in job.mattes.values())):
        _check_here(pattern, rules)
    return job


def mapped(job: Job, rules: PathMap) -> Job:
    """The job with every path as this machine names it."""
    mattes = {
        role: dataclasses.replace(matte, sequence=rules.to_local(matte.sequence)) for role, matte in job.mattes.items()
    }
    config = job.colour.config if job.colour.config.startswith("ocio://") else rules.to_local(job.colour.config)
    colour = dataclasses.replace(job.colour, config=config)
    return job.replace(plate=rules.to_local(job.plate), output=rules.to_local(job.output), colour=colour, **mattes)


def take_output_folder(job: Job, rules: PathMap) -> None:
    """Make the output folder the job's, unless it is already.

    Raises:
        OutputError: it is another job's, or cannot be written.
    """
    held = existing_job_file(job)
    if held is None:
        JobFile(job).write(output_folder(job) / JOB_FILE_NAME)
    elif mapped(held.job, rules) != job:
        raise OutputError(
            f"{output_folder(job)} holds another job than this task's; has it been submitted again with other "
            "settings? Submit to a new version, or with --overwrite"
        )


def _check_here(pattern: str, rules: PathMap) -> None:
    folder = Sequence.parse(pattern).folder
    if os.path.isdir(folder):  # noqa: PTH112  a pattern's folder, as it was named
        return
    known = ", ".join(elsewhere for elsewhere, _ in rules.entries) or "none"
    raise InputError(
        f"{folder} is not there on {platform.node()}, and lies outside every mapped root ({known}); map it on this "
        "worker, or put plate and mattes where the farm sees them"
    )
