"""The options of a job on the command line, and the job that they make: shared by `remove`, `submit`, `quadmask`."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Type

from void_bridge.cli.command import Parser
from void_bridge.config import Config
from void_bridge.errors import MissingFrames, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import MATTE_OPTIONS, Job, JobFile, MatteSource
from void_bridge.options import GROUPS, Option, options_of
from void_bridge.sequence import Sequence, output_sequence

_GROUP_HELP = {
    "mattes": "SEQ[:[layer.]channel]; without a channel the only one, else A, else R",
    "model": "how a model engine computes",
}


def add_job_options(parser: argparse.ArgumentParser, job: Type[Job] = Job) -> None:
    """Add PLATE and the options of a job. Those not given are None, so that a job.json's own values stand."""
    parser.add_argument("plate", metavar="PLATE", help="sequence such as plate.####.exr, or a job.json")
    parser.add_argument("-o", "--output", metavar="OUT", help="name.####.exr, or a folder")
    parser.add_argument("--frames", metavar="RANGE", help="such as 1001-1046 (default: those on disk)")
    groups: Dict[str, argparse._ArgumentGroup] = {}
    for option in sorted(options_of(job), key=lambda each: GROUPS.index(each.group)):
        title = option.group.lower()
        if title not in groups:
            groups[title] = parser.add_argument_group(title, _GROUP_HELP.get(title))
        _add_option(groups[title], option)
    groups["colour"].add_argument(
        "--colorspace", metavar="NAME", help="working space of the plate (default: scene_linear)"
    )


def flag_of(option: Option) -> str:
    """Return the option's word on the command line."""
    return f"--{option.name.replace('_', '-')}"


def metavar_of(option: Option) -> str:
    """Return the placeholder of the option's value on the command line."""
    unit = option.unit.upper()
    return {
        "integer": unit or "N",
        "number": "X",
        "auto": f"auto|{unit or 'X'}",
        "size": "WIDTHxHEIGHT",
        "choice": "NAME",
        "text": "NAME",
        "lines": "TEXT",
        "matte": "SEQ[:CHANNEL]",
    }[option.kind]


def help_of(option: Option) -> str:
    """Return one line about the option, with its default."""
    default = "" if option.kind == "matte" else option.text(option.default)
    return f"{option.help} (default: {default})" if default else option.help


def _add_option(group: argparse._ArgumentGroup, option: Option) -> None:
    """Add an option that holds text, or True for a flag that is off by default; `Option.parse` reads the text."""
    if option.default is False:
        group.add_argument(flag_of(option), action="store_true", default=None, help=option.help)
    elif option.values and not option.is_open:
        group.add_argument(flag_of(option), choices=option.values, help=help_of(option))
    else:
        group.add_argument(flag_of(option), metavar=metavar_of(option), help=help_of(option))
    if option.kind == "matte":
        words = f"{option.name} is drawn the other way"
        group.add_argument(f"--invert-{option.name}", action="store_true", default=None, help=words)


def job_from_arguments(arguments: argparse.Namespace, config: Config, job: Type[Job] = Job) -> Job:
    """Return the job that options ask for.

    PLATE may be a job.json, whose values stand where no option says otherwise; its paths are read from where it lies.
    Everything that can be checked without a server has been checked: see `checks.checked_job`.

    Raises:
        UsageError: an option that makes no sense.
        InputError: a file that cannot be read.
        OutputError: the plate would be overwritten.
    """
    from void_bridge.cli.checks import checked_job, plate_colour

    values = _values(arguments, job)
    base = _base_job(arguments.plate)
    plate = Sequence.parse(base.plate if base else arguments.plate).absolute()
    values.update(_mattes(arguments, base))
    values["plate"] = plate.pattern
    values["frames"] = _frames(arguments.frames, base, plate)
    values["output"] = _output(arguments.output, base, plate, config)
    colour = plate_colour(arguments.colorspace, base, plate.path(values["frames"].first), config)
    values["colour"] = dataclasses.replace(colour, exposure=values.pop("exposure", colour.exposure))
    return checked_job(base.replace(**values) if base else job(**values))


def job_from_words(words: List[str], config: Config) -> Job:
    """Return the job that `void-bridge remove WORDS` would ask for; raises as `job_from_arguments`."""
    parser = Parser(prog="void-bridge remove")
    add_job_options(parser)
    return job_from_arguments(parser.parse_args(words), config)


def _values(arguments: argparse.Namespace, job: Type[Job]) -> Dict[str, Any]:
    """Return the value of every option that was given, but for the mattes."""
    texts = {each: getattr(arguments, each.name) for each in options_of(job) if each.kind != "matte"}
    return {each.name: each.parse("on" if text is True else text) for each, text in texts.items() if text is not None}


def _base_job(argument: str) -> Optional[Job]:
    if not argument.lower().endswith(".json"):
        return None
    path = Path(argument)
    job = JobFile.read(path).job
    mattes = {
        role: dataclasses.replace(matte, sequence=_from(path.parent, matte.sequence))
        for role, matte in job.mattes.items()
    }
    output = _from(path.parent, job.output) if job.output else ""
    return job.replace(plate=_from(path.parent, job.plate), output=output, **mattes)


def _from(folder: Path, pattern: str) -> str:
    """Return a pattern of a job.json as seen from here; a path from the root of any platform stays as it is."""
    if Path(pattern).is_absolute() or pattern[1:2] == ":" or pattern.startswith("\\\\"):
        return pattern
    return os.path.normpath(os.path.join(folder.absolute(), pattern))  # noqa: PTH118  a pattern is no path


def _mattes(arguments: argparse.Namespace, base: Optional[Job]) -> Dict[str, Optional[MatteSource]]:
    """Return the mattes of the options; a quadmask takes the place of a job.json's mattes, and the other way round."""
    given: Dict[str, Optional[MatteSource]] = {}
    for role in MATTE_OPTIONS:
        text, invert = getattr(arguments, role), bool(getattr(arguments, f"invert_{role}"))
        own = getattr(base, role) if base else None
        if text:
            source = MatteSource.from_argument(text, invert)
            given[role] = dataclasses.replace(source, sequence=Sequence.parse(source.sequence).absolute().pattern)
        elif invert and own:
            given[role] = dataclasses.replace(own, invert=not own.invert)
        elif invert:
            raise UsageError(f"got --invert-{role} without --{role}")
    if given.get("quadmask") and not (given.get("remove") or given.get("affected")):
        given.update(remove=None, affected=None)
    elif given.get("remove") or given.get("affected"):
        given.setdefault("quadmask", None)
    return given


def _frames(text: Optional[str], base: Optional[Job], plate: Sequence) -> FrameRange:
    if text:
        return FrameRange.parse(text)
    found = base.frames if base else plate.frames_in_name or plate.frames_on_disk()
    if not found:
        raise MissingFrames(f"found no frames of {plate}; expected files such as {plate.path(1001).name} there")
    return found


def _output(text: Optional[str], base: Optional[Job], plate: Sequence, config: Config) -> str:
    if text:
        return output_sequence(text, plate).absolute().pattern
    if base and base.output:
        return base.output
    if config.resolve_output:
        return ""  # the site's hook says where
    raise UsageError("got no output; give -o name.####.exr or -o FOLDER")
