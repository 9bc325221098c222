"""The command `void-bridge compare`, which writes a movie of a job's frames before and after."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from void_bridge.cli.command import Command, number_in
from void_bridge.cli.progress import progress_bar
from void_bridge.cli.server_options import add_job_argument, read_job
from void_bridge.errors import OutputError, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the movie."""
    add_job_argument(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MOVIE", help="MP4 file to write")
    parser.add_argument("--display", default="", metavar="NAME", help="OCIO display (default: the config's)")
    parser.add_argument("--view", default="", metavar="NAME", help="OCIO view (default: the display's)")
    parser.add_argument(
        "--exposure",
        type=number_in(float, -32, 32),
        default=0.0,
        metavar="STOPS",
        help="exposure, in stops, applied before the view",
    )
    parser.add_argument(
        "--width",
        type=number_in(int, 64),
        default=1920,
        metavar="PX",
        help="largest width of the movie, in pixels (default: 1920)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace MOVIE if it exists")


def run(arguments: argparse.Namespace) -> int:
    """Write the movie."""
    from void_bridge.pixels.compare import ReviewView, write_comparison

    started_s = time.monotonic()
    movie: Path = arguments.output
    if movie.suffix.lower() != ".mp4":
        raise UsageError(f"got {movie}, expected the name of an .mp4")
    if movie.exists() and not arguments.overwrite:
        raise OutputError(f"{movie} already exists; choose another name with -o, or give --overwrite")
    job = read_job(arguments.job, arguments)
    view = ReviewView(arguments.display, arguments.view, arguments.exposure, arguments.width)
    with progress_bar("compare") as on_frame:
        write_comparison(job, movie, view, on_frame)
    seconds = round(time.monotonic() - started_s, 3)
    arguments.outcome.set(state="done", output=str(movie), frames=len(job.frames), seconds=seconds)
    arguments.outcome.summary(f"{movie}: frames {job.frames}, before and after side by side, then a wipe")
    return 0


COMMAND = Command(
    "compare",
    "write a movie of a job's frames before and after, through an OCIO display",
    configure,
    run,
    examples="void-bridge compare demo_out/clean/job.json -o before_after.mp4",
)
