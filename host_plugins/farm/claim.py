"""At submission: the output folders become those of the farm's jobs, so that nobody else writes there."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from host_plugins.farm.follow import forget_tasks
from host_plugins.farm.reports import forget_reports
from void_bridge.client.inputs import frames_delivered_at_most
from void_bridge.client.output import check_free, check_inputs_safe, check_writable, job_file_there, output_folder
from void_bridge.errors import OutputError
from void_bridge.job import JOB_FILE_NAME, Job, JobFile
from void_bridge.sequence import Sequence


def check_claim(job: Job, source: Optional[Path], overwrite: bool) -> None:
    """Look whether `claim` may be called; changes nothing.

    Args:
        source: the job.json that this job was read from, which may be the one in its own output folder.

    Raises:
        OutputError: inputs would be overwritten, the folder is another job's or cannot be written.
    """
    folder = output_folder(job)
    check_inputs_safe(job)
    check_writable(folder)
    if overwrite:
        return
    held = job_file_there(job)
    if held is None:
        check_free(job)
    elif held.job != job and not _is_same(source, folder / JOB_FILE_NAME):
        raise OutputError(
            f"{folder} holds {'job ' + held.id if held.id else 'a job'} with other settings; choose another output, "
            "or give --overwrite"
        )


def claim(job: Job, overwrite: bool) -> None:
    """Write job.json, and forget how the tasks of an earlier submission stood; with `overwrite` another job's frames
    and reports go too.

    Raises:
        OutputError, DiskFull.
    """
    folder = output_folder(job)
    held = job_file_there(job, unreadable_is_none=True)
    forget_tasks(folder)
    if overwrite and (held is None or held.job != job):
        _remove_frames(job)
        forget_reports(folder)
    JobFile(job).write(folder / JOB_FILE_NAME)


def _remove_frames(job: Job) -> None:
    output = Sequence.parse(job.output)
    for frame in frames_delivered_at_most(job):
        output.path(frame).unlink(missing_ok=True)


def _is_same(one: Optional[Path], other: Path) -> bool:
    return one is not None and one.exists() and other.exists() and one.samefile(other)
