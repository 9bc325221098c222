"""The submission: check the jobs, list their files, write the bundle, reserve the outputs, send it, record it."""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

from host_plugins.farm.assets import Assets, assets_of, check_roots
from host_plugins.farm.backends import Farm, FarmReceipt, Say
from host_plugins.farm.bundle import Bundle, read_bundle, write_bundle
from host_plugins.farm.claim_outputs import check_output_free_for, claim_outputs
from host_plugins.farm.job_paths import mapped
from host_plugins.farm.options import FarmOptions
from host_plugins.farm.shots import FarmShot, plan_shots
from host_plugins.farm.status_files import FOLDER, SubmissionRecord, write_submission
from void_bridge import hooks
from void_bridge.client.output import output_folder
from void_bridge.config import Config
from void_bridge.job import Job
from void_bridge.pathmap import PathMap


@dataclass(frozen=True)
class JobToSubmit:
    """One job for a farm.

    Attributes:
        job: the job.
        name: the name of the shot; empty takes that of the output.
        source: its job.json, where it has one.
    """

    job: Job
    name: str = ""
    source: Optional[Path] = None


@dataclass(frozen=True)
class PreparedSubmission:
    """A submission that has been checked, before anything is written.

    Attributes:
        shots: the shots, with their tasks.
        assets: the files that are read and the folders that are written.
        sources: the job.json of each shot, where it has one.
    """

    shots: Tuple[FarmShot, ...]
    assets: Assets
    sources: Dict[str, Optional[Path]]


def prepare(wanted: Sequence[JobToSubmit], options: FarmOptions, config: Config) -> PreparedSubmission:
    """Check a submission. Writes nothing.

    Args:
        wanted: the jobs.
        options: the options of the submission.
        config: the configuration.

    Raises:
        UsageError: a job is wrong, or two do not go together.
        InputError: a path that the farm's workers do not see, or an input that cannot be read.
        OutputError: an output cannot be used.
        ConfigError: a hook of the site failed.
    """
    jobs = [(each.name, hooks.prepare_job(each.job, config)) for each in wanted]
    shots = plan_shots(jobs, options)
    assets = assets_of(shots)
    check_roots(assets.paths, config.farm_roots)
    return PreparedSubmission(shots, assets, {shot.name: each.source for shot, each in zip(shots, wanted)})


def submit(
    prepared: PreparedSubmission,
    options: FarmOptions,
    farm: Farm,
    overwrite: bool,
    bundle_folder: Optional[Path],
    say: Say,
) -> Tuple[Bundle, FarmReceipt]:
    """Write the bundle and send it to a farm.

    Args:
        prepared: the checked submission.
        options: the options of the submission.
        farm: the back end.
        overwrite: whether outputs may hold other jobs' frames, which are then removed.
        bundle_folder: the bundle's folder; None puts it beside the first shot's frames.
        say: called with lines for a person.

    Raises:
        OutputError: an output is another job's, or the bundle's folder is in use.
        VoidBridgeError: the farm refuses the job; no bundle is left then.
    """
    jobs = {shot.name: shot.job for shot in prepared.shots}
    for shot, job in jobs.items():
        check_output_free_for(job, prepared.sources[shot], overwrite)
    with claim_outputs(jobs.values(), overwrite):
        folder = bundle_folder or _free_folder(output_folder(prepared.shots[0].job) / FOLDER / "bundle")
        bundle = write_bundle(folder, prepared.shots, prepared.assets, options)
        try:
            return bundle, _hand_over(bundle, jobs, options, farm, say)
        except BaseException:
            shutil.rmtree(bundle.folder, ignore_errors=True)
            raise


def submit_bundle(
    folder: Path, options: FarmOptions, farm: Farm, overwrite: bool, config: Config, say: Say
) -> Tuple[Bundle, FarmReceipt]:
    """Send an existing bundle. Its paths are read through this machine's path mapping.

    Args:
        folder: the bundle.
        options: the options of the submission.
        farm: the back end.
        overwrite: whether outputs may hold other jobs' frames, which are then removed.
        config: the configuration.
        say: called with lines for a person.

    Raises:
        InputError: the bundle cannot be read.
        UsageError: a parameter is wrong.
        OutputError: as for `submit`.
        VoidBridgeError: the farm refuses the job.
    """
    bundle, here = read_bundle(folder), PathMap.parse(config.path_map)
    jobs = {name: mapped(bundle.job(name).job, here) for name in bundle.shot_names()}
    for job in jobs.values():
        check_output_free_for(job, None, overwrite)
    with claim_outputs(jobs.values(), overwrite):
        return bundle, _hand_over(bundle, jobs, options, farm, say)


def _hand_over(bundle: Bundle, jobs: Dict[str, Job], options: FarmOptions, farm: Farm, say: Say) -> FarmReceipt:
    _note(bundle, jobs, farm, "")  # a farm that runs the job here and now can be followed while it does
    submitted = farm.submit(bundle, options, say)
    _note(bundle, jobs, farm, submitted.id)
    return submitted


def _note(bundle: Bundle, jobs: Dict[str, Job], farm: Farm, id: str) -> None:
    for name, job in jobs.items():
        tasks = tuple(frames for shot, frames in bundle.tasks() if shot == name)
        record = SubmissionRecord(farm.name, id, bundle.name, str(bundle.folder), name, tasks, time.time())
        write_submission(output_folder(job), record)


def _free_folder(folder: Path) -> Path:
    """Return `folder`, or `folder_2` and so on where an earlier submission left one."""
    others = (folder.with_name(f"{folder.name}_{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([folder], others) if not path.exists())
