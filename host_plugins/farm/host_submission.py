"""The host's side of a farm submission, shared by Nuke and Fusion: checks, list to confirm, command and status.

settings = read_sticky(script, config)            shown in a dialog of the host; kept by write_sticky (settings.py)
text = listing(jobs, settings, config)            for the artist to confirm
controller.submit_to_farm(orders, submitter(settings))
"""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence

from host_plugins.control.controller import FarmHandover, ToFarm
from host_plugins.control.job_follower import FarmJobStatus, config_of
from host_plugins.control.settings import Settings
from host_plugins.control.tools import run_command
from host_plugins.control.versions import safe_name
from host_plugins.farm.assets import assets_of, check_roots
from host_plugins.farm.options import GPU_MEMORY_GB, CompRender, FarmOptions
from host_plugins.farm.settings import FarmSettings
from host_plugins.farm.shots import plan_shots
from host_plugins.farm.status_files import read_submission, read_tasks, summary
from void_bridge.config import Config
from void_bridge.errors import InputError, UsageError
from void_bridge.job import Job

OUTPUT_OUTSIDE = "choose an output folder that they see"
SCRATCH_OUTSIDE = "set farm_scratch to a folder that they see, or choose an output folder there"
CONFIG_OUTSIDE = "move the OCIO config to a folder that they see"


def exports_folder(config: Config, script: str) -> Optional[Path]:
    """Return the folder for exported plates and mattes of farm jobs, or None to keep them beside the results.

    Args:
        config: the configuration; `farm_scratch` names the shared folder.
        script: the script's name without folder and suffix.
    """
    if not config.farm_scratch:
        return None
    return Path(config.farm_scratch).expanduser() / safe_name(config.user) / safe_name(script)


def check_saved(file: str, is_modified: bool) -> Path:
    """Return the script's file.

    Args:
        file: the script's path as the host gives it; empty for a new script.
        is_modified: whether the host has unsaved changes.

    Raises:
        UsageError: the script was never saved, or has changed since.
    """
    if not Path(file).is_absolute():
        raise UsageError("save the script first: a farm job needs a saved script")
    if is_modified:
        raise UsageError("the script has unsaved changes; save it, then submit to the farm")
    return Path(file)


def check_seen(job: Job, config: Config, plate_advice: str = SCRATCH_OUTSIDE) -> None:
    """Check that the farm's workers see every path of a job. Reads no file, so it can run before an export.

    Args:
        job: the job, in paths of this machine.
        config: the configuration; `farm_roots` lists the folders that workers see.
        plate_advice: what to do about a plate that is elsewhere.

    Raises:
        InputError: a path is outside `farm_roots`.
    """
    config_file = [(job.colour.config, CONFIG_OUTSIDE)] if Path(job.colour.config).is_absolute() else []
    mattes = [(matte.sequence, SCRATCH_OUTSIDE) for matte in job.mattes.values()]
    for path, advice in ((job.output, OUTPUT_OUTSIDE), (job.plate, plate_advice), *mattes, *config_file):
        try:
            check_roots((path,), config.farm_roots)
        except InputError as exc:
            seen = ", ".join(config.farm_roots)
            raise InputError(f"the farm's workers do not see {path}, only {seen}; {advice}") from exc


def listing(jobs: Sequence[Job], settings: FarmSettings, config: Config, comp: Optional[CompRender] = None) -> str:
    """Return the text that the artist confirms: shots, tasks, files and folders.

    Args:
        jobs: one job for each shot.
        settings: the artist's choices.
        config: the configuration.
        comp: the comp that is rendered afterwards, if any.

    Raises:
        VoidBridgeError: two shots have one name or place, or files are missing or outside what the farm sees.
    """
    shots = plan_shots([("", job) for job in jobs], options_of(settings))
    assets = assets_of(shots)
    check_roots(assets.paths, config.farm_roots)
    tasks = sum(len(shot.tasks) for shot in shots)
    pool = f", {settings.pool}" if settings.pool else ""
    lines: List[str] = [f"{_count(len(shots), 'shot')}, {_count(tasks, 'task')}, for {settings.farm}{pool}", ""]
    lines += [f"{shot.name}: {shot.job.engine}, {shot.frames}" for shot in shots] + ["", *assets.lines()]
    if comp:
        lines += ["", f"Then {Path(comp.script).name} is rendered: {comp.frames}, {comp.write or 'every Write'}."]
    return "\n".join(lines)


def options_of(settings: FarmSettings) -> FarmOptions:
    """Return the artist's settings as the options that the command reads."""
    memory = settings.gpu_memory or GPU_MEMORY_GB
    return FarmOptions(
        pool=settings.pool,
        priority=settings.priority,
        gpus=settings.gpus,
        gpu_memory_gb=memory,
        chunk=settings.chunk,
        comment=settings.comment,
    )


def submit_words(files: Sequence[Path], settings: FarmSettings, comp: Optional[CompRender] = None) -> List[str]:
    """Return the command that submits, `farm submit JOB... --to ...`, without `--json`."""
    words = ["farm", "submit", *map(str, files), f"--to={settings.farm}", f"--priority={settings.priority}"]
    words += [f"--gpus={settings.gpus}", f"--chunk={settings.chunk}"]
    words += [f"--gpu-memory={settings.gpu_memory:g}"] if settings.gpus else []
    words += [f"--pool={settings.pool}"] if settings.pool else []
    words += [f"--comment={settings.comment}"] if settings.comment else []
    if comp:
        words += [f"--then-comp={comp.script}", f"--comp-frames={comp.frames}"]
        words += [f"--comp-write={comp.write}"] if comp.write else []
    return [*words, "--detach"]


def submitter(settings: FarmSettings, comp: Optional[CompRender] = None) -> ToFarm:
    """Return the function that `Controller.submit_to_farm` calls.

    It runs the command in a child process of the server's Python.
    """

    def to_farm(files: Sequence[Path]) -> FarmHandover:
        outcome = run_command(config_of(Settings(where="farm"), interactive=False), submit_words(files, settings, comp))
        outputs = tuple(str(output) for output in outcome.get("outputs", ()))
        farm = f"{outcome.get('farm') or settings.farm} {outcome.get('farm_job', '')}".strip()
        return FarmHandover(farm, outputs if len(outputs) == len(files) else ())

    return to_farm


def farm_status(folder: Path) -> FarmJobStatus:
    """Return the status of a farm job, as its tasks have written it beside their frames."""
    submission = read_submission(folder)
    if submission is None:
        return FarmJobStatus()
    return FarmJobStatus(f"{submission.farm} {submission.id}".strip(), summary(read_tasks(folder, submission)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
