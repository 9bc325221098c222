"""The options of a job on the command line, and the job that they make: shared by `remove`, `submit`, `quadmask`."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, Dict, List, Mapping, Type

from void_bridge.cli.command import Parser
from void_bridge.config import Config
from void_bridge.errors import UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import MATTE_OPTIONS, Job, MatteSource
from void_bridge.job_request import make_job, read_plate
from void_bridge.options import GROUPS, Option, options_of

_GROUP_HELP = {
    "mattes": "Each is SEQ[:[layer.]channel]. Without a channel: the only one, else A, else R.",
    "model": "How the void engine computes.",
}

EXAMPLE_MATTES = """\
    --remove demo_out/roto/roto.####.exr:void_bridge.remove \\
    --affected demo_out/roto/roto.####.exr:void_bridge.affected \\
    --colorspace 'Linear Rec.709 (sRGB)'"""
"""The mattes and the colour space of the demo's footage, for the examples of helps."""


def add_job_options(parser: argparse.ArgumentParser, job: Type[Job] = Job) -> None:
    """Add PLATE and the options of a job. Those not given are None, so that a job.json's own values stand."""
    parser.add_argument("plate", metavar="PLATE", help="the plate, a sequence such as plate.####.exr; or a job.json")
    parser.add_argument("-o", "--output", metavar="OUT", help="frames to write, name.####.exr, or a folder")
    parser.add_argument(
        "--frames", metavar="RANGE", help="frames to deliver, such as 1001-1046 (default: all that are on disk)"
    )
    groups: Dict[str, argparse._ArgumentGroup] = {}
    for option in sorted(options_of(job), key=lambda each: GROUPS.index(each.group)):
        title = option.group.lower()
        if title not in groups:
            groups[title] = parser.add_argument_group(title, _GROUP_HELP.get(title))
        _add_option(groups[title], option)
    groups["colour"].add_argument(
        "--colorspace", metavar="NAME", help="colour space of the plate, a scene-linear one (default: scene_linear)"
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
        words = f"invert the {option.name} matte"
        group.add_argument(f"--invert-{option.name}", action="store_true", default=None, help=words)


def job_from_arguments(arguments: argparse.Namespace, config: Config, job: Type[Job] = Job) -> Job:
    """Return the job that options ask for, with every check that needs no server.

    PLATE may be a job.json, whose values stand where no option says otherwise; its paths are read from where it is.

    Raises:
        UsageError: an option that makes no sense.
        InputError: a file that cannot be read.
        OutputError: the plate would be overwritten.
    """
    values = _values(arguments, job)
    plate = read_plate(arguments.plate)
    values.update(_mattes(arguments, plate.mattes if isinstance(plate, Job) else {}))
    frames = FrameRange.parse(arguments.frames) if arguments.frames else None
    output, colour = arguments.output, arguments.colorspace
    return make_job(plate, values, config, output=output, frames=frames, colour=colour, job=job)


def job_from_words(words: List[str], config: Config) -> Job:
    """Return the job that `void-bridge remove WORDS` would ask for; raises as `job_from_arguments`."""
    parser = Parser(prog="void-bridge remove")
    add_job_options(parser)
    return job_from_arguments(parser.parse_args(words), config)


def _values(arguments: argparse.Namespace, job: Type[Job]) -> Dict[str, Any]:
    """Return the value of every option that was given, but for the mattes."""
    texts = {each: getattr(arguments, each.name) for each in options_of(job) if each.kind != "matte"}
    return {each.name: each.parse("on" if text is True else text) for each, text in texts.items() if text is not None}


def _mattes(arguments: argparse.Namespace, own: Mapping[str, MatteSource]) -> Dict[str, MatteSource]:
    """Return the mattes of the options, and those of a job.json that an option inverts."""
    given: Dict[str, MatteSource] = {}
    for role in MATTE_OPTIONS:
        text, invert = getattr(arguments, role), bool(getattr(arguments, f"invert_{role}"))
        if text:
            given[role] = MatteSource.from_argument(text, invert)
        elif invert and role in own:
            given[role] = dataclasses.replace(own[role], invert=not own[role].invert)
        elif invert:
            raise UsageError(f"got --invert-{role} without --{role}")
    return given
