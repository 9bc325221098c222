"""`void-bridge quadmask`: the quadmasks of a job, and a preview of its mattes, before it runs."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Tuple

from void_bridge.cli.command import Command, add_json_option
from void_bridge.cli.job_options import EXAMPLE_MATTES, add_job_options, job_from_arguments
from void_bridge.errors import OutputError, UsageError
from void_bridge.job import Job
from void_bridge.sequence import Sequence

if TYPE_CHECKING:
    from void_bridge.pixels.shot import Shot


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_job_options(parser)
    group = parser.add_argument_group("writing")
    group.add_argument(
        "--preview",
        metavar="PNG|MP4",
        help="image or movie of the mattes over the plate: an MP4, name.####.png, or one PNG",
    )
    group.add_argument("--overwrite", action="store_true", help="replace existing frames and previews")
    add_json_option(group)


def run(arguments: argparse.Namespace) -> int:
    """Write the quadmasks and previews, and return the exit code.

    Raises:
        VoidBridgeError: an option, a file or the output cannot be used.
    """
    from void_bridge.cli.progress import progress_bar
    from void_bridge.client.inputs import frames_read
    from void_bridge.client.output import check_no_frames
    from void_bridge.config import load
    from void_bridge.pixels.matte_preview import MattePreview
    from void_bridge.pixels.shot import Shot

    started_s = time.monotonic()
    job = job_from_arguments(arguments, load({}).config)
    if not job.output:
        raise UsageError("got no output; give -o name.####.exr or -o FOLDER")
    previews = _previews(arguments.preview, job) if arguments.preview else ()
    if not arguments.overwrite:
        check_no_frames(job)
        _check_unused(previews)
    shot = Shot(job, frames_read(job))
    preview = MattePreview(shot)
    with progress_bar("quadmask") as on_frame:
        preview.write_quadmasks(on_frame)
    for path, frame in previews:
        if path.suffix.lower() == ".mp4":
            with progress_bar("preview") as on_frame:
                preview.write_movie(path, on_frame)
        else:
            preview.write_still(path, frame)
    seconds = round(time.monotonic() - started_s, 3)
    arguments.outcome.set(state="done", output=job.output, frames=len(job.frames), seconds=seconds)
    arguments.outcome.summary(_summary(shot))
    return 0


Preview = Tuple[Path, int]


def _previews(argument: str, job: Job) -> Tuple[Preview, ...]:
    """Return the files to write and the frame of each, for a movie the first; raise UsageError for other formats."""
    suffix = Path(argument).suffix.lower()
    if suffix == ".mp4":
        return ((Path(argument), job.frames.first),)
    if suffix != ".png":
        raise UsageError(f"got preview {argument!r}, expected the name of a .png or an .mp4")
    sequence = Sequence.parse(argument)
    if sequence.is_still:
        return ((sequence.path(job.frames.first), job.frames.frames[len(job.frames) // 2]),)
    return tuple((sequence.path(frame), frame) for frame in job.frames)


def _check_unused(previews: Tuple[Preview, ...]) -> None:
    for path, _ in previews:
        if path.exists():
            raise OutputError(f"{path} already exists; choose another name, or give --overwrite")


def _summary(shot: Shot) -> str:
    job, first = shot.job, shot.framings[0]
    if shot.region.empty:
        return f"{job.output}: the mattes are empty in frames {job.frames}, so no pixel would change"
    positions = " to ".join(dict.fromkeys(f"{f.crop.x0},{f.crop.y0}" for f in (first, shot.framings[-1])))
    height, width = first.canvas
    return (
        f"{job.output}: frames {job.frames}; the model sees {first.crop.width}x{first.crop.height} pixels "
        f"at {positions} as {width}x{height}, so its patch is enlarged {first.enlargement:.2f} x"
    )


COMMAND = Command(
    "quadmask",
    "write the quadmask that the model would get, and a preview of the mattes",
    configure,
    run,
    examples=f"void-bridge quadmask demo_out/plate/plate.####.exr -o quadmask/ --preview m.mp4 \\\n{EXAMPLE_MATTES}",
)
