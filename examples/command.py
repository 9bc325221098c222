"""A worked example: the command `void-bridge missing`, which lists the frames that a result lacks.

In a package of your own, register it: `[project.entry-points."void_bridge.commands"]`, `missing = "mine:COMMAND"`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from void_bridge.cli.command import Command
from void_bridge.frames import FrameRange
from void_bridge.job import JobFile
from void_bridge.sequence import Sequence


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("job", metavar="JOB", type=Path, help="job.json of a result")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Print the frames that are not on disk, and return 1 if there are any."""
    job = JobFile.read(arguments.job).job
    output = Sequence.parse(job.output)
    missing = [frame for frame in job.frames if not Path(output.path(frame)).is_file()]
    text = str(FrameRange(missing)) if missing else ""
    arguments.outcome.set_without_job(missing=text)
    arguments.outcome.summary(text or "all frames are there")
    return 1 if missing else 0


COMMAND = Command("missing", "list the frames that a result lacks", configure, run)
