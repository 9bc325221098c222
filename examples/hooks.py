"""Examples of hooks: the place of the output, a rule for jobs, a note about results.

In the configuration: `before_submit = "hooks:before_submit"`. The module must be on the Python path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

from void_bridge.errors import Refused
from void_bridge.job import Job


def resolve_output(job: Job) -> Optional[str]:
    """Return the output pattern of a job, or None to leave it."""
    plate = Path(job.plate)
    return str(plate.parent.parent / "clean" / plate.name)


def before_submit(job: Job) -> Optional[Job]:
    """Return the job to submit in place of this one, or None to leave it. Raise an error to refuse the job."""
    if len(job.frames) > 500:
        raise Refused(f"got {len(job.frames)} frames, expected at most 500; submit the shot in parts")
    return job.replace(handles=max(job.handles, 8))


def after_result(job: Job, paths: List[Path], report: Dict[str, object]) -> None:
    """Take note of a complete result: its job, its files, and the content of its report.json."""
    with (paths[0].parent / "delivered.txt").open("a", encoding="utf-8") as log:
        log.write(f"{job.output}: {len(paths)} frames\n")
