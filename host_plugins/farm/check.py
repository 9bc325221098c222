"""The last task of a shot: checks every frame and writes contact sheet, comparison and report beside them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

from host_plugins.farm.job_paths import job_on_this_host
from host_plugins.farm.progress import TaskProgress
from host_plugins.farm.reporters import FarmReporter
from host_plugins.farm.shots import delivered_frames
from host_plugins.farm.status_files import CHECK
from host_plugins.farm.task import missing_frames
from host_plugins.farm.task_reports import write_report
from void_bridge import hooks
from void_bridge.client.output import output_folder
from void_bridge.config import Config
from void_bridge.errors import Cancelled, InputError, MissingFrames, UnreadableFile, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import Job
from void_bridge.pathmap import PathMap
from void_bridge.sequence import Sequence

_ENGINE = "void_bridge/engine"
_SHARES = {"frames": 0.4, "sheet": 0.1, "comparison": 0.5}


@dataclass(frozen=True)
class Checked:
    """The result of a check.

    Attributes:
        folder: the folder of the frames.
        frames: the frames that were checked.
        sheet: the contact sheet, PNG.
        movie: the comparison, MP4.
    """

    folder: Path
    frames: FrameRange
    sheet: Path
    movie: Path


def check_shot(
    jobs: Path, shot: str, rules: PathMap, config: Config, reporter: FarmReporter, stop: threading.Event
) -> Checked:
    """Check a shot whose tasks have ended, and write its contact sheet, comparison and report. Needs no server.

    Args:
        jobs: the folder with a job.json of each shot.
        shot: the name of the shot.
        rules: the farm's path mapping.
        config: the configuration of this worker.
        reporter: where progress is told to the farm.
        stop: an event that cancels when it is set.

    Raises:
        MissingFrames: some frames are not there.
        UnreadableFile: a frame cannot be decoded.
        InputError: a frame does not belong to the job.
        Cancelled: `stop` was set.
        UsageError: the [server] extra is not installed here.
    """
    job = job_on_this_host(jobs, shot, rules + PathMap.parse(config.path_map))
    folder = output_folder(job)
    with TaskProgress(folder, CHECK, reporter).tracked() as progress:
        checked = _checked(job, _Stages(progress, stop))
        report = write_report(folder, len(checked.frames))
        paths = [Sequence.parse(job.output).path(frame) for frame in checked.frames]
        hooks.announce_result(job, paths, report, config)
        progress.report(100, f"{len(checked.frames)} frames are on disk")
    return checked


class _Stages:
    """Progress over the stages of a check, with a safe point at each frame."""

    def __init__(self, progress: TaskProgress, stop: threading.Event) -> None:
        self._progress, self._stop = progress, stop

    def advance(self, stage: str, done: int, total: int) -> None:
        """Report progress of a stage.

        Raises:
            Cancelled: the farm asked the task to stop.
        """
        if self._stop.is_set():
            raise Cancelled("cancelled; the frames were not changed")
        names = list(_SHARES)
        before = sum(_SHARES[name] for name in names[: names.index(stage)])
        self._progress.report(100 * (before + _SHARES[stage] * done / max(1, total)), f"{stage} {done} of {total}")


def _checked(job: Job, stages: _Stages) -> Checked:
    try:
        from void_bridge.pixels.compare import ReviewView, write_comparison, write_contact_sheet
    except ImportError as exc:
        raise UsageError(f"checking frames needs {exc.name}; install void-bridge[server,farm] on this worker") from exc
    frames, folder = delivered_frames(job), output_folder(job)
    missing = missing_frames(job, frames)
    if missing:
        raise MissingFrames(f"{missing} of {frames} are not in {folder}; run their tasks again")
    _check_frames(job, frames, stages)
    whole = job.replace(frames=frames)
    sheet, movie = folder / f"{folder.name}_contact.png", folder / f"{folder.name}_compare.mp4"
    stages.advance("sheet", 0, 1)
    write_contact_sheet(whole, sheet, ReviewView())
    write_comparison(whole, movie, ReviewView(), lambda done, total: stages.advance("comparison", done, total))
    return Checked(folder, frames, sheet, movie)


def _check_frames(job: Job, frames: FrameRange, stages: _Stages) -> None:
    """Check that every frame can be decoded, has the windows of its plate, and was made by one engine."""
    from void_bridge.pixels.exr import read_frame
    from void_bridge.pixels.exr_header import read_info

    plates, output = Sequence.parse(job.plate), Sequence.parse(job.output)
    engines: Dict[str, List[int]] = {}
    for done, frame in enumerate(frames):
        stages.advance("frames", done, len(frames))
        path = output.path(frame)
        try:
            part = read_frame(path).picture
        except UnreadableFile as exc:
            raise UnreadableFile(f"{exc}; remove it and run its task again") from exc
        plate = read_info(plates.path(frame)).picture
        if (part.data_window, part.display_window) != (plate.data_window, plate.display_window):
            raise InputError(f"{path} has other windows than its plate; remove it and run its task again")
        engines.setdefault(str(part.header.get(_ENGINE, "none")), []).append(frame)
    if len(engines) > 1:
        found = "; ".join(f"{name}: {FrameRange(made)}" for name, made in engines.items())
        raise InputError(
            f"the frames come from different engines ({found}); remove the frames of one engine and run its tasks again"
        )
