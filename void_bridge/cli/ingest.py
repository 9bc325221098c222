"""The command `void-bridge ingest`, which turns a movie or a VOID sample folder into EXR sequences and a job.json."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Optional

from void_bridge.cli.command import Command, add_json_option
from void_bridge.cli.console import say
from void_bridge.cli.progress import progress_bar
from void_bridge.config import load
from void_bridge.frames import FrameRange
from void_bridge.job import JOB_FILE_NAME, JobFile
from void_bridge.resolution import Resolution


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the movie and the sequences."""
    parser.add_argument("source", type=Path, metavar="FOLDER|VIDEO", help="VOID sample folder, or movie")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--size", metavar="WIDTHxHEIGHT", help="resize to this size, such as 1920x1080 (default: the movie's size)"
    )
    parser.add_argument(
        "--frames", metavar="RANGE", help="frames to convert; the movie's first frame is 1001 (default: all)"
    )
    parser.add_argument("--quadmask", type=Path, metavar="VIDEO", help="quadmask of the movie, as a movie")
    parser.add_argument("--colorspace", metavar="NAME", help="colour space of the EXR files (default: scene_linear)")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier ingest in DIR")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the sequences and, with a quadmask, the job.json."""
    from void_bridge.pixels.colour import explain_colour
    from void_bridge.pixels.ingest import find_source, ingest

    started_s = time.monotonic()
    size = Resolution.parse(arguments.size) if arguments.size else None
    frames = FrameRange.parse(arguments.frames) if arguments.frames else None
    source = find_source(arguments.source, arguments.quadmask)
    colour, why = explain_colour(arguments.colorspace, load({}).config.ocio)
    # A display-referred movie has no values above 1. With this curve a model gets the movie's own values.
    colour = dataclasses.replace(colour, curve="srgb", exposure=0.0)
    with progress_bar("ingest") as on_frame:
        written, job_file = ingest(
            source,
            arguments.output,
            colour,
            size=size,
            frames=frames,
            overwrite=arguments.overwrite,
            on_frame=on_frame,
        )
    say(why)
    seconds = round(time.monotonic() - started_s, 3)
    arguments.outcome.set_without_job(state="done", output=str(arguments.output), frames=len(written), seconds=seconds)
    arguments.outcome.summary(_summary(arguments.output, written, job_file))
    return 0


def _summary(folder: Path, written: FrameRange, job_file: Optional[JobFile]) -> str:
    """Return the closing line."""
    if job_file:
        return f"{folder}: frames {written}; run void-bridge remove {folder / JOB_FILE_NAME}"
    return f"{folder}: frames {written}; no quadmask, so no job.json: give mattes to void-bridge remove"


COMMAND = Command(
    "ingest",
    "convert a movie or a VOID sample folder to EXR sequences and a job.json",
    configure,
    run,
    examples="void-bridge ingest shot.mov -o shot/ --quadmask quadmask.mp4",
)
