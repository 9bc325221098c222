"""The output of a job: one folder holds one job, inputs are never overwritten, and other files only when asked."""

from __future__ import annotations

import dataclasses
import os
import uuid
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from void_bridge.atomic import TEMPORARY_SUFFIX, write_json
from void_bridge.client.inputs import file_digest, possible_output_frames
from void_bridge.errors import InputError, OutputError, map_write_errors
from void_bridge.job import JOB_FILE_NAME, Job, JobFile
from void_bridge.protocol.messages import Result, ResultFrame
from void_bridge.sequence import Sequence, output_sequence
from void_bridge.typed import to_plain

REPORT_FILE_NAME = "report.json"


def output_folder(job: Job) -> Path:
    """Return the folder that a job writes to."""
    return Path(str(Sequence.parse(job.output).path(job.frames.first))).parent


def fetch_output(argument: str, job: Job) -> str:
    """Return the pattern to fetch a job's frames to.

    Args:
        argument: a pattern that ends in .exr, or a folder, in which the files have the names of the job's own output.
        job: the job.

    Raises:
        UsageError: the pattern cannot be read, or is one file for a sequence of frames.
    """
    if argument.lower().endswith(".exr"):
        return output_sequence(argument, Sequence.parse(job.plate)).absolute().pattern
    own = Sequence.parse(job.output)
    return dataclasses.replace(own, folder=os.path.join(argument, "")).absolute().pattern  # noqa: PTH118


def existing_job_file(job: Job, unreadable_is_none: bool = False) -> Optional[JobFile]:
    """Return the job.json in the output folder, or None without one. Raises InputError if it cannot be read.

    Args:
        job: the job that will be written.
        unreadable_is_none: treat a file that cannot be read as none.
    """
    path = output_folder(job) / JOB_FILE_NAME
    if not path.exists():
        return None
    try:
        return JobFile.read(path)
    except InputError:
        if unreadable_is_none:
            return None
        raise


def check_inputs_not_overwritten(job: Job) -> None:
    """Raise OutputError if a frame of the plate or of a matte would be overwritten."""
    output = {_real(path) for path in _paths(job.output, job)}
    for pattern in (job.plate, *(matte.sequence for matte in job.mattes.values())):
        clash = output.intersection(_real(path) for path in _paths(pattern, job))
        if clash:
            raise OutputError(
                f"{min(clash)} is an input of the job and would be overwritten; choose another place with -o"
            )


def check_no_frames(job: Job) -> None:
    """Raise OutputError if frames of the output pattern exist already."""
    existing = existing_frames(job)
    if existing:
        raise OutputError(
            f"{existing[0]} and {len(existing) - 1} more frames already exist and belong to no job; "
            "choose another place with -o, or give --overwrite"
        )


def existing_frames(job: Job) -> List[Path]:
    """Return the frames of the output pattern that exist already."""
    return [path for path in _paths(job.output, job) if path.exists()]


def check_writable(folder: Path) -> None:
    """Try to write to a folder, or to the nearest existing folder above it. Raises OutputError, DiskFull."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    probe = existing / f".{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}"
    with map_write_errors(folder):
        probe.touch()
        probe.unlink()


class WrittenFrames:
    """The frames known to be complete on disk, so that repeated fetches read each file once."""

    def __init__(self) -> None:
        self._known: Dict[Path, Tuple[str, int, int]] = {}

    def contains(self, path: Path, frame: ResultFrame) -> bool:
        """Return whether a file holds a frame, by its digest if the file is not known."""
        try:
            facts = path.stat()
        except OSError:
            return False
        if self._known.get(path) == (frame.digest, facts.st_size, facts.st_mtime_ns):
            return True
        if facts.st_size != frame.size or file_digest(path) != frame.digest:
            return False
        self.add(path, frame)
        return True

    def add(self, path: Path, frame: ResultFrame) -> None:
        """Add a frame that has been written."""
        facts = path.stat()
        self._known[path] = (frame.digest, facts.st_size, facts.st_mtime_ns)


def write_report(folder: Path, result: Result) -> None:
    """Write the report of a job as JSON beside its frames. Raises OutputError, DiskFull."""
    write_json(folder / REPORT_FILE_NAME, build_report(result))


def build_report(result: Result) -> Dict[str, object]:
    """Return the report of a job, with its id, engine, frame count and running time, as plain data."""
    status = result.status
    summary = {"job": status.id, "engine": status.engine, "frames": status.frames_done, "seconds": status.seconds}
    return {**summary, **to_plain(result.report)}


def _paths(pattern: str, job: Job) -> Tuple[Path, ...]:
    """Return the paths of a pattern for all frames that the job may write."""
    sequence = Sequence.parse(pattern)
    return tuple(Path(str(sequence.path(frame))) for frame in possible_output_frames(job))


def _real(path: Path) -> str:
    """Return a path with links followed and, on Windows, in lower case."""
    return os.path.normcase(os.path.realpath(path))
