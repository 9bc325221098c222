"""The options that make a job, and the job that they make. `remove`, `submit` and `quadmask` share them."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from void_bridge.cli.command import Parser
from void_bridge.config import Config
from void_bridge.errors import MissingFrames, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import Job, JobFile, MatteSource
from void_bridge.sequence import Sequence, output_sequence

PRECISIONS = ("auto", "float32", "bf16", "fp8-stored", "fp8")
MATTE_OPTIONS = ("remove", "affected", "keep", "exclude", "quadmask")
_MATTE_HELP = {
    "remove": "the object",
    "affected": "where things are touched, and where they will go",
    "keep": "wins over everything, such as a foreground actor",
    "exclude": "never a source of pixels",
    "quadmask": "one made mask (0 object, 63 overlap, 127 affected, 255 keep) in place of the mattes",
}
_PLAIN = (
    "handles",
    "deliver_handles",
    "engine",
    "prompt",
    "passes",
    "fill",
    "seed",
    "threshold",
    "condition_dilate",
    "dilate",
    "feather",
    "paste",
    "canvas",
    "framing",
    "confidence",
    "steps",
    "guidance",
    "precision",
    "attention",
    "step_cache",
    "flow",
    "model_fps",
    "pad",
    "full_fill",
)


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add PLATE and the options of a job. Those not given are None, so that a job.json's own values stand."""
    parser.add_argument("plate", metavar="PLATE", help="sequence such as plate.####.exr, or a job.json")
    parser.add_argument("-o", "--output", metavar="OUT", help="name.####.exr, or a folder")
    parser.add_argument("--frames", metavar="RANGE", help="such as 1001-1046 (default: those on disk)")
    parser.add_argument("--handles", type=int, metavar="N", help="frames read beyond both ends, where there are any")
    parser.add_argument("--deliver-handles", action="store_true", default=None, help="write the handles too")
    _add_matte_options(parser)
    _add_engine_options(parser)
    _add_model_options(parser)
    _add_look_options(parser)


def _add_matte_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("mattes", "SEQ[:[layer.]channel]; without a channel the only one, else A, else R")
    for role in MATTE_OPTIONS:
        metavar = "SEQ" if role == "quadmask" else "SEQ[:CHANNEL]"
        group.add_argument(f"--{role}", metavar=metavar, help=_MATTE_HELP[role])
    for role in MATTE_OPTIONS:
        group.add_argument(f"--invert-{role}", action="store_true", default=None, help=f"{role} is drawn the other way")


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("engine")
    group.add_argument("--engine", metavar="NAME", help="auto, propagate or void (default: auto)")
    group.add_argument("--prompt", metavar="TEXT", help="what is there once the object is gone")
    group.add_argument("--passes", choices=("auto", "1", "2"), help="of the void engine (default: auto)")
    group.add_argument("--fill", choices=("model", "hybrid"), help="hybrid: real pixels where another frame saw them")
    group.add_argument("--seed", type=int, metavar="N", help="of every draw (default: 0)")
    group.add_argument("--canvas", metavar="HxW", help="the model's frame (default: 384x672)")
    group.add_argument("--framing", choices=("held", "moving"), help="moving: the crop follows what is drawn")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model", "how a model engine computes")
    group.add_argument("--steps", type=int, metavar="N", help="denoising steps of each pass (default: 30)")
    group.add_argument("--guidance", type=float, metavar="X", help="guidance scale (default: 1 in pass 1, 6 in pass 2)")
    group.add_argument("--precision", choices=PRECISIONS, help="default: auto, what fits the device")
    group.add_argument("--attention", metavar="NAME", help="sdpa, sdpa-cudnn, or another that is installed")
    group.add_argument("--step-cache", metavar="NAME", help="skip what hardly changes between steps (default: off)")
    group.add_argument("--flow", choices=("auto", "dis", "raft"), help="optical flow (default: auto)")
    group.add_argument("--model-fps", choices=("native", "12"), help="12: as in training; frames between by flow")
    group.add_argument("--pad", choices=("even", "reference"), help="fill a short shot up to (default: even)")


def _add_look_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pixels")
    group.add_argument("--colorspace", metavar="NAME", help="working space of the plate (default: scene_linear)")
    group.add_argument("--exposure", metavar="auto|STOPS", help="stops that bring the plate to normal (default: auto)")
    group.add_argument(
        "--threshold", type=float, metavar="X", help="where a matte counts for the engine (default: 0.5)"
    )
    group.add_argument("--condition-dilate", type=int, metavar="PX", help="grow the object for the engine alone")
    group.add_argument("--dilate", type=int, metavar="PX", help="grow what may change, at full weight (default: 0)")
    group.add_argument("--feather", type=int, metavar="PX", help="grow it further, fading out (default: 4)")
    group.add_argument("--paste", choices=("drawn", "snapped"), help="what may change (default: drawn)")
    group.add_argument("--grain", choices=("on", "off"), help="regrain where interpolation took it (default: on)")
    group.add_argument("--confidence", action="store_true", default=None, help="write a confidence channel")
    group.add_argument("--full-fill", action="store_true", default=None, help="write the unmasked fill as a layer")


def job_from_arguments(arguments: argparse.Namespace, config: Config) -> Job:
    """The job that options ask for.

    PLATE may be a job.json, whose values stand where no option says otherwise; its paths are read
    from where it lies. Everything that can be checked without a server has been checked: see
    `checks.check_job`.

    Raises:
        UsageError, InputError, OutputError: what is wrong and what to do.
    """
    from void_bridge.cli.checks import check_job, resolved_colour

    base = _base_job(arguments.plate)
    plate = Sequence.parse(base.plate if base else arguments.plate).absolute()
    values: Dict[str, Any] = {name: getattr(arguments, name) for name in _PLAIN if getattr(arguments, name) is not None}
    values.update(_mattes(arguments, base))
    values["plate"] = plate.pattern
    values["frames"] = _frames(arguments.frames, base, plate)
    values["output"] = _output(arguments.output, base, plate, config)
    if arguments.grain is not None:
        values["grain"] = arguments.grain == "on"
    colour = resolved_colour(arguments.colorspace, base, plate.path(values["frames"].first), config)
    if arguments.exposure is not None:
        colour = dataclasses.replace(colour, exposure=_stops(arguments.exposure))
    values["colour"] = colour
    job = base.replace(**values) if base else Job(**values)
    return check_job(job)


def job_from_words(words: List[str], config: Config) -> Job:
    """The job that `void-bridge remove WORDS` would ask for. Raises as `job_from_arguments`."""
    parser = Parser(prog="void-bridge remove")
    add_job_options(parser)
    return job_from_arguments(parser.parse_args(words), config)


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
    """A pattern of a job.json as seen from here. A path from the root of any platform stays as it is."""
    if Path(pattern).is_absolute() or pattern[1:2] == ":" or pattern.startswith("\\\\"):
        return pattern
    return os.path.normpath(os.path.join(folder.absolute(), pattern))  # noqa: PTH118  a pattern is no path


def _mattes(arguments: argparse.Namespace, base: Optional[Job]) -> Dict[str, Optional[MatteSource]]:
    """Mattes from options. A quadmask takes the place of a job.json's mattes, and the other way round."""
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
    found = base.frames if base else plate.given or plate.frames_on_disk()
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


def _stops(text: Optional[str]) -> Optional[float]:
    if text is None or text == "auto":
        return None
    try:
        stops = float(text)
    except ValueError as exc:
        raise UsageError(f"got exposure {text!r}, expected auto or stops such as 1.5") from exc
    if not -20 <= stops <= 20:
        raise UsageError(f"got exposure {text}, expected -20 to 20 stops")
    return stops
