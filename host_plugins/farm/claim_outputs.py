"""Output folders at submission: each is reserved for its farm job, so that no other job writes there."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterable, Iterator, Optional

from host_plugins.farm.status_files import FOLDER, remove_task_states
from host_plugins.farm.task_reports import remove_task_reports
from void_bridge.client.inputs import possible_output_frames
from void_bridge.client.output import (
    check_inputs_not_overwritten,
    check_no_frames,
    check_writable,
    existing_job_file,
    output_folder,
)
from void_bridge.errors import OutputError
from void_bridge.job import JOB_FILE_NAME, Job, JobFile
from void_bridge.sequence import Sequence


def check_output_free_for(job: Job, source: Optional[Path], overwrite: bool) -> None:
    """Check that a job may have its output folder. Changes nothing.

    Args:
        job: the job.
        source: the job.json that this job was read from; it may be the one in its own output folder.
        overwrite: whether another job's frames may be replaced.

    Raises:
        OutputError: inputs would be overwritten, or the folder is another job's or cannot be written.
    """
    folder = output_folder(job)
    check_inputs_not_overwritten(job)
    check_writable(folder)
    if overwrite:
        return
    held = existing_job_file(job)
    if held is None:
        check_no_frames(job)
    elif held.job != job and not _is_same(source, folder / JOB_FILE_NAME):
        raise OutputError(
            f"{folder} holds {'job ' + held.id if held.id else 'a job'} with other settings; choose another output, "
            "or give --overwrite"
        )


@contextmanager
def claim_outputs(jobs: Iterable[Job], overwrite: bool) -> Iterator[None]:
    """Reserve the output folders of some jobs for the block; if it fails, the folders are released again.

    Writes job.json and removes the task states of an earlier submission.

    Args:
        jobs: the jobs.
        overwrite: whether another job's frames and reports are removed.

    Raises:
        OutputError: a folder cannot be written.
        DiskFull: the disk is full.
    """
    jobs = tuple(jobs)
    new = [job for job in jobs if existing_job_file(job, unreadable_is_none=True) is None]
    try:
        for job in jobs:
            _claim(job, overwrite)
        yield
    except BaseException:
        for job in jobs:
            remove_task_states(output_folder(job))
        for job in new:
            _give_up(output_folder(job))
        raise


def _give_up(folder: Path) -> None:
    (folder / JOB_FILE_NAME).unlink(missing_ok=True)
    for left in (folder / FOLDER, folder):
        with suppress(OSError):  # something is in it
            left.rmdir()


def _claim(job: Job, overwrite: bool) -> None:
    folder = output_folder(job)
    held = existing_job_file(job, unreadable_is_none=True)
    remove_task_states(folder)
    if overwrite and (held is None or held.job != job):
        _remove_frames(job)
        remove_task_reports(folder)
    JobFile(job).write(folder / JOB_FILE_NAME)


def _remove_frames(job: Job) -> None:
    output = Sequence.parse(job.output)
    for frame in possible_output_frames(job):
        output.path(frame).unlink(missing_ok=True)


def _is_same(one: Optional[Path], other: Path) -> bool:
    return one is not None and one.exists() and other.exists() and one.samefile(other)
