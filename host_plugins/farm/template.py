"""The Open Job Description template of a bundle, as plain data. It uses no shell, so a worker may run any system.

Remove   one task for each (shot, frames); a step environment starts the server once a session
Check    one task a shot: checks every frame; contact sheet and comparison
Comp     the artist's comp, if it was asked for

Source: https://github.com/OpenJobDescription/openjd-specifications/wiki, 2023-09 template schemas.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Sequence, Tuple

from host_plugins.farm.options import CompRender, FarmOptions
from host_plugins.farm.shots import FarmShot
from void_bridge.errors import UsageError

REMOVE, CHECK, COMP = "Remove", "Check", "Comp"
TASKS_MAX = 1024  # values of a task parameter, by the specification
_NAME_MAX = 128
_DESCRIPTION_MAX = 2048
_GB_IN_MIB = 1e9 / 2**20

Plain = Dict[str, Any]

_COMMAND = "{{Param.VoidBridge}}"
_ADAPTOR = "{{Param.VoidBridgeAdaptor}}"
_SESSION = "{{Session.WorkingDirectory}}"
_CONNECTION = f"{_SESSION}/void-bridge-adaptor.json"
_RULES = "{{Session.PathMappingRulesFile}}"
_NOTICE_S = 60


def make_template(shots: Sequence[FarmShot], options: FarmOptions) -> Plain:
    """Return the template of a bundle.

    Raises:
        UsageError: there are more tasks than a step may have.
    """
    on_gpu = [shot for shot in shots if shot.takes_gpu(options)]
    on_any = [shot for shot in shots if not shot.takes_gpu(options)]
    groups = [(group, gpu) for group, gpu in ((on_gpu, True), (on_any, False)) if group]
    names = [f"{REMOVE}On{'GPU' if gpu else 'CPU'}" if len(groups) > 1 else REMOVE for _, gpu in groups]
    steps = [_remove(name, group, options, gpu) for name, (group, gpu) in zip(names, groups)]
    steps.append(_check(shots, names))
    if options.comp:
        steps.append(_comp(options.comp))
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "name": job_name(shots, options),
        **({"description": _literal(options.comment)[:_DESCRIPTION_MAX]} if options.comment else {}),
        "parameterDefinitions": _parameters(options),
        "steps": steps,
    }


def job_name(shots: Sequence[FarmShot], options: FarmOptions) -> str:
    """Return the name of the farm's job."""
    found = options.name or "void " + ", ".join(shot.name for shot in shots)
    text = " ".join(_literal(found).split())
    return text if len(text) <= _NAME_MAX else text[: _NAME_MAX - 3] + "..."


def _literal(text: str) -> str:
    """Return text without control characters and without anything that the template would read as an expression."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).replace("{{", "{").replace("}}", "}")


def _parameters(options: FarmOptions) -> List[Plain]:
    command = {
        "name": "VoidBridge",
        "type": "STRING",
        "default": "void-bridge",
        "description": "Command that runs void-bridge on the workers: a name on their PATH, or a full path.",
    }
    adaptor = {
        "name": "VoidBridgeAdaptor",
        "type": "STRING",
        "default": "void-bridge-adaptor",
        "description": "Command that runs the adaptor on the workers.",
    }
    jobs = {
        "name": "Jobs",
        "type": "PATH",
        "objectType": "DIRECTORY",
        "dataFlow": "IN",
        "default": "jobs",
        "description": "The folder with a job.json of each shot.",
    }
    found = [command, jobs] if options.runner == "command" else [command, adaptor, jobs]
    if options.comp:
        nuke = {"name": "Nuke", "type": "STRING", "default": options.comp.nuke, "description": "Nuke on the workers."}
        script: Plain = {"name": "CompScript", "type": "PATH", "objectType": "FILE", "dataFlow": "IN"}
        found += [nuke, {**script, "description": "The comp that shows the results."}]
    return found


def _remove(name: str, shots: Sequence[FarmShot], options: FarmOptions, gpu: bool) -> Plain:
    tasks = [(shot.name, str(frames)) for shot in shots for frames in shot.tasks]
    if len(tasks) > TASKS_MAX:
        raise UsageError(f"got {len(tasks)} tasks, expected at most {TASKS_MAX}; give a larger --chunk or fewer shots")
    step: Plain = {"name": name}
    requirements = _requirements(options, gpu)
    if requirements:
        step["hostRequirements"] = {"amounts": requirements}
    requested = (options.gpus, options.gpu_memory_gb) if gpu else (0, 0.0)
    command = options.runner == "command"
    step["stepEnvironments"] = [_server(*requested) if command else _daemon(*requested)]
    step["parameterSpace"] = {
        "taskParameterDefinitions": [
            _strings("Shot", [t[0] for t in tasks]),
            _strings("Frames", [t[1] for t in tasks]),
        ],
        "combination": "(Shot, Frames)",
    }
    step["script"] = _task() if command else _daemon_task()
    return step


def _requirements(options: FarmOptions, gpu: bool) -> List[Plain]:
    """Return the amounts that a host must have. The specification counts memory in MiB."""
    found: List[Plain] = []
    if gpu:
        found.append({"name": "amount.worker.gpu", "min": options.gpus})
        if options.gpu_memory_gb:
            found.append({"name": "amount.worker.gpu.memory", "min": round(options.gpu_memory_gb * _GB_IN_MIB)})
    if options.memory_gb:
        found.append({"name": "amount.worker.memory", "min": round(options.memory_gb * _GB_IN_MIB)})
    return found


def _strings(name: str, values: Sequence[str]) -> Plain:
    return {"name": name, "type": "STRING", "range": list(values)}


def _action(command: str, args: Sequence[str], **more: Any) -> Plain:
    return {"command": command, "args": list(args), **more}


def _with_notice() -> Plain:
    return {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": _NOTICE_S}


def _server(gpus: int, gpu_memory_gb: float) -> Plain:
    """Return the environment that starts and stops the session's server."""
    requested = ["--gpus", str(gpus), "--gpu-memory", f"{gpu_memory_gb:g}"] if gpus else []
    enter = _action(_COMMAND, ["farm", "session", "start", _SESSION, *requested], timeout=600)
    leave = _action(_COMMAND, ["farm", "session", "stop", _SESSION], timeout=120)
    return {"name": "Server", "script": {"actions": {"onEnter": enter, "onExit": leave}}}


def _task() -> Plain:
    where = ["--jobs", "{{Param.Jobs}}", "--path-mapping", _RULES]
    what = ["--shot={{Task.Param.Shot}}", "--frames={{Task.Param.Frames}}"]
    run = _action(_COMMAND, ["farm", "task", *where, *what, "--lines", "openjd"], cancelation=_with_notice())
    return {"actions": {"onRun": run}}


def _daemon(gpus: int, gpu_memory_gb: float) -> Plain:
    """Return the environment that runs the adaptor in the background of a session; the adaptor starts the server."""
    data = f"gpus: {gpus}\ngpu_memory_gb: {gpu_memory_gb:g}\n"
    start = ["daemon", "start", "--connection-file", _CONNECTION, "--path-mapping-rules", f"file://{_RULES}"]
    start += ["--init-data", "file://{{Env.File.InitData}}"]
    stop = ["daemon", "stop", "--connection-file", _CONNECTION]
    return {
        "name": "Adaptor",
        "script": {
            "embeddedFiles": [{"name": "InitData", "type": "TEXT", "filename": "init-data.yaml", "data": data}],
            "actions": {
                "onEnter": _action(_ADAPTOR, start, timeout=600),
                "onExit": _action(_ADAPTOR, stop, timeout=120),
            },
        },
    }


def _daemon_task() -> Plain:
    values: Tuple[Tuple[str, str], ...] = (
        ("jobs", "{{Param.Jobs}}"),
        ("shot", "{{Task.Param.Shot}}"),
        ("frames", "{{Task.Param.Frames}}"),
    )
    data = "".join(f"{name}: |-\n  {value}\n" for name, value in values)
    run = ["daemon", "run", "--connection-file", _CONNECTION, "--run-data", "file://{{Task.File.RunData}}"]
    return {
        "embeddedFiles": [{"name": "RunData", "type": "TEXT", "filename": "run-data.yaml", "data": data}],
        "actions": {"onRun": _action(_ADAPTOR, run, cancelation=_with_notice())},
    }


def _check(shots: Sequence[FarmShot], after: Sequence[str]) -> Plain:
    where = ["--jobs", "{{Param.Jobs}}", "--path-mapping", _RULES, "--shot={{Task.Param.Shot}}"]
    run = _action(_COMMAND, ["farm", "check", *where, "--lines", "openjd"], cancelation=_with_notice())
    return {
        "name": CHECK,
        "dependencies": [{"dependsOn": name} for name in after],
        "parameterSpace": {"taskParameterDefinitions": [_strings("Shot", [shot.name for shot in shots])]},
        "script": {"actions": {"onRun": run}},
    }


def _comp(comp: CompRender) -> Plain:
    """Return the step in which Nuke renders one frame a task.

    `-x` executes, `-X` names the Write, `-F` the frame.
    """
    write = ["-X", comp.write] if comp.write else ["-x"]
    args = [*write, "-F", "{{Task.Param.Frame}}", "{{Param.CompScript}}"]
    frames = {"name": "Frame", "type": "INT", "range": str(comp.frames)}
    return {
        "name": COMP,
        "dependencies": [{"dependsOn": CHECK}],
        "parameterSpace": {"taskParameterDefinitions": [frames]},
        "script": {"actions": {"onRun": _action("{{Param.Nuke}}", args, cancelation=_with_notice())}},
    }
