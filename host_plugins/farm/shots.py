"""Shots of a farm job: named jobs, each cut into tasks.

A void job is one task of any length: a shot cut into chunks would have its physics invented once in each. An engine
whose frames do not depend on which others are made can be cut; each task then reads the whole shot and makes its own
frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, Tuple

from host_plugins.control.versions import safe_name
from host_plugins.farm.options import FarmOptions
from void_bridge.client.inputs import frames_read
from void_bridge.client.output import output_folder
from void_bridge.errors import OutputError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import Job
from void_bridge.sequence import Sequence

CUTTABLE_ENGINES = ("propagate", "passthrough")
GPU_ENGINE, CPU_ENGINE = "void", "propagate"


@dataclass(frozen=True)
class FarmShot:
    """A named job and its tasks.

    Attributes:
        name: unique among the shots of a bundle, and part of file names.
        job: the job, in paths of the submitting machine.
        tasks: the frames that each task makes, in order; together all that the job delivers.
    """

    name: str
    job: Job
    tasks: Tuple[FrameRange, ...]

    @property
    def frames(self) -> FrameRange:
        """Every frame that is delivered."""
        return FrameRange(frame for task in self.tasks for frame in task)

    def takes_gpu(self, options: FarmOptions) -> bool:
        """Return whether the shot's tasks need a GPU under these options."""
        return self.job.engine == GPU_ENGINE and options.gpus > 0


def plan_shots(jobs: Iterable[Tuple[str, Job]], options: FarmOptions) -> Tuple[FarmShot, ...]:
    """Name jobs and cut them into tasks.

    The engine `auto` becomes void where a GPU is asked for, else propagate, so that every task of a shot uses the same.

    Args:
        jobs: a name, or an empty string for the output's name, and a checked job.
        options: the options of the submission.

    Raises:
        UsageError: there are no jobs, or two have one name.
        OutputError: two jobs write to the same place.
        MissingFrames: frames of a plate or a matte are not on disk.
    """
    shots = tuple(_planned(name, job, options) for name, job in _named(tuple(jobs)))
    if not shots:
        raise UsageError("got no job; give a job.json, a job's id, or --shots shots.csv")
    _check_names(shots)
    _check_outputs(shots)
    return shots


def _named(jobs: Tuple[Tuple[str, Job], ...]) -> Iterator[Tuple[str, Job]]:
    """Yield every job with a name. Outputs of one name, such as the views of a shot, get their folder's name too."""
    own = [safe_name(name or _output_name(job)) for name, job in jobs]
    for (name, job), found in zip(jobs, own):
        shared = not name and sum(each.casefold() == found.casefold() for each in own) > 1
        yield f"{found}_{safe_name(output_folder(job).name)}" if shared else found, job


def delivered_frames(job: Job) -> FrameRange:
    """Return the frames that a job delivers, with those handles that are on disk.

    Raises:
        MissingFrames: frames are not on disk.
    """
    return frames_read(job) if job.deliver_handles else job.frames


def _planned(name: str, job: Job, options: FarmOptions) -> FarmShot:
    if job.engine == "auto":
        job = job.replace(engine=GPU_ENGINE if options.gpus else CPU_ENGINE)
    delivered = delivered_frames(job)
    chunk = options.chunk if job.engine in CUTTABLE_ENGINES else 0
    return FarmShot(name, job, _cut(delivered, chunk))


def _output_name(job: Job) -> str:
    return Sequence.parse(job.output).base.rstrip("._- ")


def _cut(frames: FrameRange, size: int) -> Tuple[FrameRange, ...]:
    numbers, size = frames.frames, size or len(frames)
    return tuple(FrameRange(numbers[start : start + size]) for start in range(0, len(numbers), size))


def _check_names(shots: Tuple[FarmShot, ...]) -> None:
    seen: Dict[str, str] = {}
    for shot in shots:
        other = seen.setdefault(shot.name.casefold(), shot.name)
        if sum(each.name.casefold() == other.casefold() for each in shots) > 1:
            raise UsageError(f"two shots are called {shot.name}; give each its own name in the column 'shot'")


def _check_outputs(shots: Tuple[FarmShot, ...]) -> None:
    """Check that no two shots share an output folder, since a folder holds one job."""
    folders: Dict[str, List[FarmShot]] = {}
    for shot in shots:
        folder = Sequence.parse(shot.job.output).folder.replace("\\", "/").rstrip("/")
        folders.setdefault(folder, []).append(shot)
    for folder, sharing in folders.items():
        if len(sharing) > 1:
            names = " and ".join(shot.name for shot in sharing[:2])
            raise OutputError(f"{names} would both write to {folder}; give each its own folder")
