"""`void-bridge farm`: send jobs to a render farm, show their status, and run tasks on workers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from host_plugins.farm import worker_commands
from host_plugins.farm.backends import Say, farm_names, farm_of
from host_plugins.farm.bundle import TEMPLATE, write_bundle
from host_plugins.farm.options import GPU_MEMORY_GB, CompRender, FarmOptions
from host_plugins.farm.shot_list import read_shot_list
from host_plugins.farm.shots import CUTTABLE_ENGINES
from host_plugins.farm.status import run_status
from host_plugins.farm.submission import JobToSubmit, PreparedSubmission, prepare, submit, submit_bundle
from void_bridge.cli.command import Command, add_json_option
from void_bridge.cli.console import say
from void_bridge.cli.job_options import job_from_words
from void_bridge.cli.server_options import add_server_options, load_config, read_job
from void_bridge.config import Config
from void_bridge.errors import Cancelled, InputError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job_request import checked_job, find_job_file
from void_bridge.options import PRIORITY, PRIORITY_MAX


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and options of `farm`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, parser_class=type(parser))
    bundle = actions.add_parser("bundle", help="write a job bundle (Open Job Description) without submitting it")
    _add_jobs(bundle)
    bundle.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the bundle")
    _add_options(bundle)
    bundle.set_defaults(action=run_bundle)
    send = actions.add_parser("submit", help="submit jobs or a bundle to a farm")
    _add_jobs(send)
    send.add_argument("--to", metavar="FARM", help=f"farm: {', '.join(farm_names())} (default: from the configuration)")
    send.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder of the bundle (default: next to the frames)"
    )
    send.add_argument("--overwrite", action="store_true", help="replace the frames of other jobs in the outputs")
    send.add_argument("--list", action="store_true", help="list the files and tasks, and submit nothing")
    send.add_argument("--detach", action="store_true", help="run the job in the background (openjd)")
    _add_options(send)
    send.set_defaults(action=run_submit)
    status = actions.add_parser("status", help="show the status of a job's tasks")
    status.add_argument("job", metavar="JOB", help="job.json next to the output, its folder, or a bundle")
    add_json_option(status)
    status.set_defaults(action=run_status)
    worker_commands.add_actions(actions)


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action and return the exit code."""
    code: int = arguments.action(arguments)
    return code


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="a job.json, its folder, or a job id; or one bundle")
    parser.add_argument("--shots", type=Path, metavar="CSV", help="list of shots, one job per line")
    parser.add_argument("--skip-broken", action="store_true", help="skip lines of the list that have errors")
    add_server_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("farm")
    group.add_argument("--name", default="", help="name of the job at the farm (default: the names of its shots)")
    group.add_argument("--pool", default="", metavar="NAME", help="pool, queue or tag of the farm")
    words = f"priority, 0 to {PRIORITY_MAX} (default: {PRIORITY})"
    group.add_argument("--priority", type=int, default=PRIORITY, metavar="N", help=words)
    group.add_argument(
        "--gpus", type=int, default=1, metavar="N", help="GPUs of a host, for the void engine (default: 1)"
    )
    size = f"memory of each GPU (default: {GPU_MEMORY_GB:g})"
    group.add_argument("--gpu-memory", type=float, default=GPU_MEMORY_GB, metavar="GB", help=size)
    group.add_argument("--memory", type=float, default=0.0, metavar="GB", help="memory of a host (default: any)")
    group.add_argument(
        "--chunk", type=int, default=0, metavar="N", help="frames per task, for the propagate engine (default: all)"
    )
    group.add_argument("--comment", default="", metavar="TEXT", help="comment that the render manager shows")
    group.add_argument("--depends-on", nargs="+", default=[], metavar="ID", help="ids of farm jobs to wait for")
    group.add_argument(
        "--runner", choices=("command", "adaptor"), default="command", help="program that tasks run (default: command)"
    )
    group.add_argument(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="set a parameter of the template"
    )
    group.add_argument("--then-comp", metavar="SCRIPT", help="render this Nuke script after the shots")
    group.add_argument(
        "--comp-frames", metavar="RANGE", help="frames of the script to render (default: the frames of the shots)"
    )
    group.add_argument("--comp-write", default="", metavar="NODE", help="Write node to render (default: all)")


def run_bundle(arguments: argparse.Namespace) -> int:
    """Write a bundle without sending it."""
    config = load_config(arguments)
    prepared, options = _prepared(arguments, config)
    bundle = write_bundle(arguments.output, prepared.shots, prepared.assets, options)
    frames = sum(len(shot.frames) for shot in prepared.shots)
    _show(prepared, options, say)
    _tell(arguments, prepared, bundle=str(bundle.folder), state="done", frames=frames)
    arguments.outcome.summary(f"{bundle.folder}: {len(bundle.tasks())} tasks for {len(prepared.shots)} shots")
    return 0


def run_submit(arguments: argparse.Namespace) -> int:
    """Send jobs, or a bundle, to a farm."""
    config = load_config(arguments)
    name = arguments.to or config.farm
    if not name:
        raise UsageError(f"got no farm; give --to {'|'.join(farm_names())}, or set `farm` in the configuration")
    farm = farm_of(name)
    bundle_folder = _bundle_among(arguments)
    if bundle_folder:
        options = _options(arguments, config, None)
        bundle, submitted = submit_bundle(bundle_folder, options, farm, arguments.overwrite, config, say)
        frames = sum(len(FrameRange.parse(frames)) for _, frames in bundle.tasks())
        outputs = [bundle.job(shot).job.output for shot in bundle.shot_names()]
        arguments.outcome.set(frames=frames, output=outputs[0], outputs=outputs)
    else:
        prepared, options = _prepared(arguments, config)
        _tell(arguments, prepared, frames=sum(len(shot.frames) for shot in prepared.shots))
        _show(prepared, options, say)
        if arguments.list:
            arguments.outcome.set(state="listed")
            return 0
        bundle, submitted = submit(prepared, options, farm, arguments.overwrite, arguments.output, say)
    if not farm.loads_once:
        say(f"{farm.name} has no sessions: each task loads the model again")
    arguments.outcome.set(state=submitted.state, farm=farm.name, farm_job=submitted.id, bundle=str(bundle.folder))
    arguments.outcome.set(**({"files": list(submitted.files)} if submitted.files else {}))
    arguments.outcome.summary(f"{submitted.id} {submitted.words}".strip())
    return {"failed": 1, "cancelled": Cancelled.exit_code}.get(submitted.state, 0)


def _prepared(arguments: argparse.Namespace, config: Config) -> Tuple[PreparedSubmission, FarmOptions]:
    wanted = _wanted(arguments, config)
    options = _options(arguments, config, wanted)
    return prepare(wanted, options, config), options


def _wanted(arguments: argparse.Namespace, config: Config) -> List[JobToSubmit]:
    wanted = [_one(arguments, text, config) for text in arguments.jobs]
    if arguments.shots:
        listed = read_shot_list(arguments.shots, config)
        if listed.broken and not arguments.skip_broken:
            raise InputError(
                f"{arguments.shots}: {'; '.join(listed.broken)}; "
                "nothing was submitted: correct the list, or give --skip-broken"
            )
        for line in listed.broken:
            say(f"{arguments.shots}: {line}; skipped")
        arguments.outcome.set(**({"skipped": list(listed.broken)} if listed.broken else {}))
        wanted += [JobToSubmit(job, name) for name, job in listed.jobs]
    return wanted


def _one(arguments: argparse.Namespace, text: str, config: Config) -> JobToSubmit:
    """Return the job of one argument: a job.json or its folder, or the id of a job that the server is asked for."""
    path = find_job_file(text)
    if path is not None:
        return JobToSubmit(job_from_words([str(path)], config), source=path)
    return JobToSubmit(checked_job(read_job(text, arguments)))


def _bundle_among(arguments: argparse.Namespace) -> Optional[Path]:
    """Return the bundle among the arguments, or None.

    Raises:
        UsageError: a bundle beside other jobs, or with options that it already fixes.
    """
    bundles = [Path(text) for text in arguments.jobs if (Path(text) / TEMPLATE).is_file()]
    if not bundles:
        return None
    if len(arguments.jobs) > 1 or arguments.shots or arguments.output or arguments.list or arguments.then_comp:
        raise UsageError(
            f"{bundles[0]} is a bundle, which can only be submitted alone and without these options; remove them"
        )
    return bundles[0]


def _options(arguments: argparse.Namespace, config: Config, wanted: Optional[List[JobToSubmit]]) -> FarmOptions:
    parameters = dict(_parameter(text) for text in arguments.parameter)
    if config.farm_command != "void-bridge":
        parameters.setdefault("VoidBridge", config.farm_command)
    comp = _comp(arguments, wanted or [])
    if comp:
        parameters.setdefault("CompScript", comp.script)
    return FarmOptions(
        name=arguments.name,
        pool=arguments.pool,
        priority=arguments.priority,
        gpus=arguments.gpus,
        gpu_memory_gb=arguments.gpu_memory,
        memory_gb=arguments.memory,
        chunk=arguments.chunk,
        comment=arguments.comment,
        depends_on=tuple(arguments.depends_on),
        runner=arguments.runner,
        parameters=parameters,
        comp=comp,
        detach=getattr(arguments, "detach", False),
    )


def _parameter(text: str) -> Tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"got --parameter {text!r}, expected NAME=VALUE")
    return name, value


def _comp(arguments: argparse.Namespace, wanted: List[JobToSubmit]) -> Optional[CompRender]:
    if not arguments.then_comp:
        if arguments.comp_frames or arguments.comp_write:
            raise UsageError("got --comp-frames or --comp-write without --then-comp SCRIPT")
        return None
    script = Path(arguments.then_comp)
    if not script.is_file():
        raise InputError(f"--then-comp: {script} does not exist; save the script first")
    frames = [frame for each in wanted for frame in each.job.frames]
    given = FrameRange.parse(arguments.comp_frames) if arguments.comp_frames else FrameRange(frames)
    return CompRender(str(script.absolute()), given, arguments.comp_write)


def _tell(arguments: argparse.Namespace, prepared: PreparedSubmission, **values: object) -> None:
    assets: Dict[str, object] = {"files": len(prepared.assets.inputs), "bytes": prepared.assets.bytes}
    outputs = [shot.job.output for shot in prepared.shots]
    arguments.outcome.set(output=outputs[0], outputs=outputs, assets=assets, **values)


def _show(prepared: PreparedSubmission, options: FarmOptions, say: Say) -> None:
    for shot in prepared.shots:
        many = len(shot.tasks)
        say(f"{shot.name}: frames {shot.frames}, {shot.job.engine}, {many} task{'s' if many > 1 else ''}")
        if options.chunk and shot.job.engine not in CUTTABLE_ENGINES:
            say(f"{shot.name}: --chunk is ignored: {shot.job.engine} needs the whole shot")
    for line in prepared.assets.lines():
        say(line)


COMMAND = Command(
    "farm",
    "submit jobs to a render farm, show their status, and run tasks on its workers",
    configure,
    run,
    examples="void-bridge farm submit job.json --to deadline-cloud --list\nvoid-bridge farm status job.json",
)
