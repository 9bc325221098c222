"""The job bundle on disk: the input of every back end, and a folder that a wrangler can read and keep.

<bundle>/template.yaml           Open Job Description, 2023-09
<bundle>/parameter_values.yaml   values that differ from the template's defaults
<bundle>/asset_references.yaml   files that are read, folders that are written
<bundle>/jobs/<shot>.json        a job.json of each shot, in paths of the machine that wrote it
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from host_plugins.farm.assets import Assets
from host_plugins.farm.options import FarmOptions
from host_plugins.farm.shots import FarmShot
from host_plugins.farm.template import make_template
from void_bridge.atomic import TEMPORARY_SUFFIX
from void_bridge.errors import InputError, OutputError, UsageError, map_write_errors
from void_bridge.job import JobFile
from void_bridge.typed import nearest

TEMPLATE, VALUES, REFERENCES, JOBS = "template.yaml", "parameter_values.yaml", "asset_references.yaml", "jobs"
TASK_PARAMETERS = ("Shot", "Frames")
# Parameters that AWS Deadline Cloud gives a meaning to and no template defines.
SERVICE_PARAMETERS = (
    "deadline:priority",
    "deadline:targetTaskRunStatus",
    "deadline:maxFailedTasksCount",
    "deadline:maxRetriesPerTask",
    "deadline:maxWorkerCount",
)


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been written or read.

    Attributes:
        folder: the absolute folder.
        name: the name of the farm's job.
        template: the Open Job Description template as plain data.
        values: parameter name -> value.
    """

    folder: Path
    name: str
    template: Mapping[str, Any]
    values: Mapping[str, object]

    @property
    def jobs(self) -> Path:
        """The folder with a job.json of each shot."""
        return self.folder / JOBS

    def shot_names(self) -> Tuple[str, ...]:
        """Return the names of the shots, in the order of their tasks."""
        return tuple(dict.fromkeys(shot for shot, _ in self.tasks()))

    def tasks(self) -> Tuple[Tuple[str, str], ...]:
        """Return shot and frames of every task that makes frames, in order."""
        found = []
        for step in self.template["steps"]:
            ranges = task_ranges(step)
            if set(ranges) == set(TASK_PARAMETERS):
                found += list(zip(ranges["Shot"], ranges["Frames"]))
        return tuple(found)

    def job(self, shot: str) -> JobFile:
        """Return the job of a shot.

        Raises:
            InputError: no such shot, or a job that cannot be read.
        """
        return shot_job(self.jobs, shot)


def task_ranges(step: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the task parameters of a step of the template, as name -> values."""
    space = step.get("parameterSpace", {}).get("taskParameterDefinitions", [])
    return {each["name"]: each["range"] for each in space}


def write_bundle(folder: Path, shots: Tuple[FarmShot, ...], assets: Assets, options: FarmOptions) -> Bundle:
    """Write a bundle, whole or not at all.

    Args:
        folder: the folder to make; an empty one may be there.
        shots: the shots, with their tasks.
        assets: the files that are read and the folders that are written.
        options: the options of the submission.

    Raises:
        OutputError: the folder holds something already.
        UsageError: a parameter that the template does not have.
    """
    template = make_template(shots, options)
    values: Dict[str, object] = {"deadline:priority": options.priority, **options.parameters}
    check_values(template, values)
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} already exists; choose another place with -o")
    making = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
    with map_write_errors(folder):
        try:
            (making / JOBS).mkdir(parents=True)
            for shot in shots:
                JobFile(shot.job).write(making / JOBS / f"{shot.name}.json")
            _dump(making / TEMPLATE, template)
            listed = [{"name": name, "value": value} for name, value in values.items()]
            _dump(making / VALUES, {"parameterValues": listed})
            _dump(making / REFERENCES, _references(assets))
            if folder.exists():
                folder.rmdir()
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return Bundle(folder, template["name"], template, values)


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle from the folder in which it is now.

    Raises:
        InputError: a file of it is missing or cannot be read.
        UsageError: a value for a parameter that the template does not have, or none for one that has no default.
    """
    template = _load(folder / TEMPLATE)
    listed = _load(folder / VALUES).get("parameterValues", []) if (folder / VALUES).exists() else []
    try:
        values = {str(each["name"]): each["value"] for each in listed}
        bundle = Bundle(folder.absolute(), str(template["name"]), template, values)
        shots = bundle.shot_names()
    except (KeyError, TypeError) as exc:
        raise InputError(
            f"{folder} is not a bundle of void-bridge: {exc!r}; write one with void-bridge farm bundle"
        ) from exc
    check_values(template, values)
    for shot in shots:
        bundle.job(shot)
    return bundle


def check_values(template: Mapping[str, Any], values: Mapping[str, object]) -> None:
    """Check parameter values against a template.

    Raises:
        UsageError: an unknown parameter, whose nearest name is given, or a missing one.
    """
    definitions = {each["name"]: each for each in template.get("parameterDefinitions", [])}
    for name in values:
        if name not in definitions and name not in SERVICE_PARAMETERS:
            known = (*definitions, *SERVICE_PARAMETERS)
            raise UsageError(f"unknown parameter {name!r}{nearest(name, known)}")
    missing = [name for name, each in definitions.items() if "default" not in each and name not in values]
    if missing:
        given = nearest(missing[0], [name for name in values if name not in definitions])
        raise UsageError(f"no value for parameter {missing[0]!r}{given}; give it with --parameter {missing[0]}=VALUE")


def shot_job(jobs: Path, shot: str) -> JobFile:
    """Read the job of a shot from a folder of jobs.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = jobs / f"{shot}.json"
    if not path.is_file():
        there = sorted(each.stem for each in jobs.glob("*.json"))
        if not there:
            raise InputError(f"{jobs} has no jobs; move the bundle together with its jobs")
        raise InputError(f"no shot {shot!r} in {jobs}{nearest(shot, there)}")
    return JobFile.read(path)


def _references(assets: Assets) -> Dict[str, Any]:
    inputs = {"directories": [], "filenames": list(assets.inputs)}
    outputs = {"directories": list(assets.outputs)}
    return {"assetReferences": {"inputs": inputs, "outputs": outputs, "referencedPaths": []}}


def _dump(path: Path, data: Mapping[str, Any]) -> None:
    yaml = _yaml()

    class Dumper(yaml.SafeDumper):  # type: ignore[name-defined, misc]
        """A YAML dumper that writes text of several lines as a block."""

    def written(dumper: Any, text: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, written)
    text = yaml.dump(dict(data), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=4096)
    path.write_bytes(text.encode())


def _load(path: Path) -> Dict[str, Any]:
    yaml = _yaml()
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise InputError(f"cannot read {path}: {exc}; write the bundle again with void-bridge farm bundle") from exc
    if not isinstance(data, dict):
        raise InputError(f"cannot read {path}: got {type(data).__name__}, expected a table; write the bundle again")
    return data


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as exc:
        raise UsageError("a bundle needs PyYAML, which is not installed; install void-bridge[farm]") from exc
    return yaml
