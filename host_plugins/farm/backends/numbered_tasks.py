"""A bundle's tasks by number, for farms that do not read Open Job Description.

Such a farm numbers its tasks: task N is entry N of `Bundle.tasks()`, counted from 0, and its worker runs
`void-bridge farm task --own-session --bundle DIR --task N`. Plate frames cannot serve as task numbers: they may be
negative, have steps, and be cut into tasks of unequal length, which some farms cannot represent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional, Tuple

from host_plugins.farm.bundle import TASK_PARAMETERS, Bundle, task_ranges
from host_plugins.farm.options import FarmOptions
from host_plugins.farm.template import COMP
from void_bridge.errors import UsageError


@dataclass(frozen=True)
class HostRequirements:
    """The requirements of a shot on its worker; 0 means any.

    Attributes:
        gpus: number of GPUs.
        gpu_memory_mib: memory of each GPU, in MiB.
        memory_mib: memory of the host, in MiB.
    """

    gpus: int = 0
    gpu_memory_mib: int = 0
    memory_mib: int = 0


@dataclass(frozen=True)
class CompTask:
    """The render of the comp.

    Attributes:
        command: the command for one frame; its number is a token of the farm.
        frames: a range.
    """

    command: Tuple[str, ...]
    frames: str


def parameter(bundle: Bundle, name: str) -> str:
    """Return the value of a parameter, or the template's default. A relative path is resolved in the bundle.

    Raises:
        UsageError: there is no such parameter, or it has no value.
    """
    for each in bundle.template.get("parameterDefinitions", []):
        if each["name"] == name:
            value = str(bundle.values.get(name, each.get("default", "")))
            if not value:
                raise UsageError(f"no value for parameter {name!r}; give it with --parameter {name}=VALUE")
            return str(bundle.folder / value) if each["type"] == "PATH" and not _is_absolute(value) else value
    raise UsageError(f"the bundle has no parameter {name!r}; write it again with void-bridge farm bundle")


def task_numbers(bundle: Bundle, shot: str) -> Tuple[int, ...]:
    """Return the numbers of the tasks that make a shot's frames, ascending."""
    return tuple(number for number, (name, _) in enumerate(bundle.tasks()) if name == shot)


def host_requirements(bundle: Bundle, shot: str) -> HostRequirements:
    """Return the requirements of the step that makes a shot's frames."""
    for step in bundle.template["steps"]:
        ranges = task_ranges(step)
        if set(ranges) == set(TASK_PARAMETERS) and shot in ranges["Shot"]:
            amounts = {each["name"]: int(each["min"]) for each in step.get("hostRequirements", {}).get("amounts", [])}
            return HostRequirements(
                amounts.get("amount.worker.gpu", 0),
                amounts.get("amount.worker.gpu.memory", 0),
                amounts.get("amount.worker.memory", 0),
            )
    return HostRequirements()


def comp(bundle: Bundle, frame: str) -> Optional[CompTask]:
    """Return the comp's render, or None if the bundle has none.

    Args:
        bundle: the bundle.
        frame: the farm's token for the number of a frame.
    """
    for step in bundle.template["steps"]:
        if step["name"] == COMP:
            run = step["script"]["actions"]["onRun"]
            command = tuple(_filled(bundle, text, frame) for text in (run["command"], *run["args"]))
            return CompTask(command, str(task_ranges(step)["Frame"]))
    return None


def refuse_adaptor(farm: str, options: FarmOptions) -> None:
    """Refuse the adaptor for a farm that runs the command line.

    Raises:
        UsageError: the options ask for the adaptor.
    """
    if options.runner != "command":
        raise UsageError(f"got --runner {options.runner}; {farm} has no sessions for it; remove --runner")


def _filled(bundle: Bundle, text: str, frame: str) -> str:
    def value(found: re.Match[str]) -> str:
        kind, _, name = found[1].rpartition(".")
        return parameter(bundle, name) if kind == "Param" else frame

    return re.sub(r"\{\{\s*([\w.]+)\s*\}\}", value, text)


def _is_absolute(path: str) -> bool:
    """Return whether a path is absolute on any system."""
    return bool(re.match(r"[/\\]|[A-Za-z]:[/\\]", path))
