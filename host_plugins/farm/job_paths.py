"""A shot's job with its paths mapped to this worker, and the check that its output folder is its own."""

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
    """Read the path mapping rules that the farm wrote; without a file there are none.

    Raises:
        InputError: the file cannot be read.
    """
    if path is None:
        return PathMap()
    try:
        return PathMap.from_rules(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read path mapping rules {path}: {exc}") from exc


def job_on_this_host(jobs: Path, shot: str, rules: PathMap) -> Job:
    """Return the job of a shot, in paths of this machine.

    Args:
        jobs: the `jobs` folder of a bundle.
        shot: the name of the shot.
        rules: the path mapping.

    Raises:
        InputError: no such shot, or a path that is outside every mapped root and is not here either.
    """
    job = mapped(shot_job(jobs, shot).job, rules)
    for pattern in (job.plate, *(matte.sequence for matte in job.mattes.values())):
        _check_here(pattern, rules)
    return job


def mapped(job: Job, rules: PathMap) -> Job:
    """Return the job with every path as this machine names it."""
    mattes = {
        role: dataclasses.replace(matte, sequence=rules.to_local(matte.sequence)) for role, matte in job.mattes.items()
    }
    config = job.colour.config if job.colour.config.startswith("ocio://") else rules.to_local(job.colour.config)
    colour = dataclasses.replace(job.colour, config=config)
    return job.replace(plate=rules.to_local(job.plate), output=rules.to_local(job.output), colour=colour, **mattes)


def take_output_folder(job: Job, rules: PathMap) -> None:
    """Write the job's job.json into its output folder, unless it is there already.

    Raises:
        OutputError: the folder is another job's, or cannot be written.
    """
    held = existing_job_file(job)
    if held is None:
        JobFile(job).write(output_folder(job) / JOB_FILE_NAME)
    elif mapped(held.job, rules) != job:
        raise OutputError(
            f"{output_folder(job)} holds another job than this task's; after a change of settings, submit to a "
            "new version, or with --overwrite"
        )


def _check_here(pattern: str, rules: PathMap) -> None:
    folder = Sequence.parse(pattern).folder
    if os.path.isdir(folder):  # noqa: PTH112  a pattern's folder, as it was named
        return
    known = ", ".join(elsewhere for elsewhere, _ in rules.entries) or "none"
    raise InputError(
        f"{folder} does not exist on {platform.node()} and is outside every mapped root ({known}); map it on this "
        "worker, or move plate and mattes to a folder that the farm sees"
    )
