"""The place a job writes to: one folder holds one job, the plate is never touched, nothing is overwritten unasked."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Dict, Optional, Tuple

from void_bridge.atomic import TEMPORARY_SUFFIX, write_json
from void_bridge.client.inputs import file_digest, possible_output_frames
from void_bridge.errors import InputError, OutputError, map_write_errors
from void_bridge.job import JOB_FILE_NAME, Job, JobFile
from void_bridge.protocol.messages import Result, ResultFrame
from void_bridge.sequence import Sequence
from void_bridge.typed import to_plain

REPORT_FILE_NAME = "report.json"


def output_folder(job: Job) -> Path:
    return Path(str(Sequence.parse(job.output).path(job.frames.first))).parent


def existing_job_file(job: Job, unreadable_is_none: bool = False) -> Optional[JobFile]:
    """The job.json of the output folder. Raises InputError: there is one that cannot be read."""
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
    """Raises OutputError: a frame of the plate or of a matte would be overwritten."""
    output = {_real(path) for path in _paths(job.output, job)}
    for pattern in (job.plate, *(matte.sequence for matte in job.mattes.values())):
        clash = output.intersection(_real(path) for path in _paths(pattern, job))
        if clash:
            raise OutputError(
                f"{min(clash)} is what the job reads and would be overwritten; choose another place with -o"
            )


def check_no_frames(job: Job) -> None:
    """Raises OutputError: frames of the output pattern are there already."""
    there = [path for path in _paths(job.output, job) if path.exists()]
    if there:
        raise OutputError(
            f"{there[0]} and {len(there) - 1} more frames are there already and no job claims them; "
            "choose another place with -o, or give --overwrite"
        )


def count_existing_frames(job: Job) -> int:
    return sum(path.exists() for path in _paths(job.output, job))


def check_writable(folder: Path) -> None:
    """Try whether the folder could be made and written. Raises OutputError, DiskFull."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    probe = there / f".{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}"
    with map_write_errors(folder):
        probe.touch()
        probe.unlink()


class WrittenFrames:
    """Which frames are known to be whole on disk, so that fetching again and again reads each file once."""

    def __init__(self) -> None:
        self._known: Dict[Path, Tuple[str, int, int]] = {}

    def holds(self, path: Path, frame: ResultFrame) -> bool:
        try:
            facts = path.stat()
        except OSError:
            return False
        if self._known.get(path) == (frame.digest, facts.st_size, facts.st_mtime_ns):
            return True
        if facts.st_size != frame.size or file_digest(path) != frame.digest:
            return False
        self.note(path, frame)
        return True

    def note(self, path: Path, frame: ResultFrame) -> None:
        facts = path.stat()
        self._known[path] = (frame.digest, facts.st_size, facts.st_mtime_ns)


def write_report(folder: Path, result: Result) -> None:
    """What the job says it did, as JSON beside the frames. Raises OutputError, DiskFull."""
    write_json(folder / REPORT_FILE_NAME, build_report(result))


def build_report(result: Result) -> Dict[str, object]:
    """What a job says it did, and which job that is, as plain data."""
    status = result.status
    summary = {"job": status.id, "engine": status.engine, "frames": status.frames_done, "seconds": status.seconds}
    return {**summary, **to_plain(result.report)}


def _paths(pattern: str, job: Job) -> Tuple[Path, ...]:
    sequence = Sequence.parse(pattern)
    return tuple(Path(str(sequence.path(frame))) for frame in possible_output_frames(job))


def _real(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
