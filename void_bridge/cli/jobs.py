"""The commands about submitted jobs: `void-bridge status`, `watch`, `cancel`, `fetch`, `jobs` and `free`."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from typing import Optional

from rich.console import Console
from rich.table import Table
from rich.text import Text

from void_bridge.cli.command import Command
from void_bridge.cli.console import CommandOutcome, print_result, printable, say
from void_bridge.cli.follow import summarise
from void_bridge.cli.progress import progress_view
from void_bridge.cli.server_options import (
    add_job_argument,
    add_limit_option,
    add_server_options,
    load_config,
    open_client,
)
from void_bridge.client import Client
from void_bridge.client.formatting import duration_text, job_cells, status_text
from void_bridge.client.frame_writer import FrameWriter, follow
from void_bridge.client.output import fetch_output
from void_bridge.errors import Cancelled, UnknownJob, UsageError
from void_bridge.job import Job, JobFile
from void_bridge.job_request import find_job_file, parse_job_id
from void_bridge.pathmap import PathMap
from void_bridge.protocol.messages import FINAL_STATES, JobStatus
from void_bridge.sequence import Sequence
from void_bridge.typed import to_plain

_WIDE = 110
_COLUMNS = ("job", "state", "stage", "frames", "took", "left", "engine", "user")
_WIDE_COLUMNS = ("priority", "submitted")


def run_status(arguments: argparse.Namespace) -> int:
    """Print the state of a job."""
    with open_client(load_config(arguments)) as client:
        result = client.result(parse_job_id(arguments.job))
    arguments.outcome.set_status(result.status)
    arguments.outcome.set(output=result.job.output, progress=to_plain(result.status.progress))
    arguments.outcome.summary(_line(result.status))
    return 0


def run_watch(arguments: argparse.Namespace) -> int:
    """Show a job until it ends."""
    with open_client(load_config(arguments)) as client:
        status = _follow(client, parse_job_id(arguments.job), None, arguments.outcome)
        return summarise(client, status, None, arguments.outcome)


def run_cancel(arguments: argparse.Namespace) -> int:
    """Cancel a job."""
    with open_client(load_config(arguments)) as client:
        id = parse_job_id(arguments.job)
        had_ended = False
        with suppress(UnknownJob):  # a submission whose files the server still reads can be cancelled, not shown
            before = client.result(id)
            had_ended = before.status.state in FINAL_STATES
            arguments.outcome.set(output=before.job.output)
        status = client.cancel(id)
    arguments.outcome.set_status(status)
    arguments.outcome.summary(_line(status))
    if had_ended or status.state != "cancelled":
        say(f"job {status.id} had ended; nothing was cancelled")
    return 0


def _follow(client: Client, id: str, writer: Optional[FrameWriter], outcome: CommandOutcome) -> JobStatus:
    """Follow a job until it ends and return its last status. Raises Cancelled on Ctrl-C, which the job outlives."""
    result = client.result(id)
    outcome.set(output=result.job.output)
    status = result.status

    def show(latest: JobStatus) -> None:
        nonlocal status
        status = latest
        view.show(latest)

    try:
        with progress_view() as view:
            return follow(client, id, show, writer)
    except KeyboardInterrupt:
        ended = status.state in FINAL_STATES
        outcome.set_status(status)
        raise Cancelled(f"interrupted; job {id} {f'is {status.state}' if ended else 'continues'}") from None


def configure_fetch(parser: argparse.ArgumentParser) -> None:
    """Add the options of the output."""
    add_job_argument(parser)
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="frames to write, name.####.exr, or a folder (default: as submitted)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the frames of another job in OUT")
    parser.add_argument(
        "--no-wait", action="store_true", help="fetch the frames that are finished, and do not wait for the others"
    )
    parser.add_argument(
        "--paste-sequence",
        metavar="SEQ",
        help="also write the paste matte as a separate RGBA sequence, such as paste.####.exr",
    )


def run_fetch(arguments: argparse.Namespace) -> int:
    """Write every frame that is not on disk yet, waiting for the job to end unless told not to."""
    paste = _paste_sequence(arguments)
    complete_job = _complete_job(arguments) if paste else None
    if complete_job and paste:
        _write_paste(complete_job, paste, arguments)
        count = len(complete_job.frames)
        arguments.outcome.set(state="done", output=complete_job.output, frames=count)
        arguments.outcome.summary(f"{paste}: the paste matte of {count} frames")
        return 0
    config = load_config(arguments)
    with open_client(config) as client:
        id = parse_job_id(arguments.job)
        output = fetch_output(arguments.output, client.result(id).job) if arguments.output else None
        writer = FrameWriter(client, id, output, arguments.overwrite)
        if arguments.no_wait:
            writer.finish()
            return _summarise_so_far(client.status(id), writer, arguments)
        status = _follow(client, id, writer, arguments.outcome)
        code = summarise(client, status, writer, arguments.outcome)
        arguments.outcome.set(**({"output": output} if output else {}))
        if paste and code == 0:
            job = client.result(id).job
            written = output or PathMap.parse(config.path_map).to_local(job.output)
            _write_paste(job.replace(output=written), paste, arguments)
        return code


def _paste_sequence(arguments: argparse.Namespace) -> Optional[Sequence]:
    """Return the sequence of --paste-sequence. Raises UsageError if it is no EXR pattern, or for --no-wait."""
    text = arguments.paste_sequence
    if not text:
        return None
    if arguments.no_wait:
        raise UsageError("--paste-sequence needs every frame; remove --no-wait")
    sequence = Sequence.parse(text).absolute()
    if sequence.is_still or sequence.extension.lower() != ".exr":
        raise UsageError(f"got --paste-sequence {text!r}, expected a pattern such as paste.####.exr")
    return sequence


def _complete_job(arguments: argparse.Namespace) -> Optional[Job]:
    """Return the job of a job.json whose frames are all on disk, so that no server is needed."""
    path = find_job_file(arguments.job)
    if arguments.output or not path or not path.is_file():
        return None
    job = JobFile.read(path).job
    output = Sequence.parse(os.path.join(path.parent.absolute(), job.output))  # noqa: PTH118  a pattern is no path
    return job.replace(output=output.pattern) if set(job.frames) <= set(output.frames_on_disk()) else None


def _write_paste(job: Job, paste: Sequence, arguments: argparse.Namespace) -> None:
    """Write the paste matte of a job's frames as a sequence."""
    from void_bridge.cli.progress import progress_bar
    from void_bridge.pixels.paste_sequence import write_paste_sequence

    with progress_bar("paste") as on_frame:
        write_paste_sequence(Sequence.parse(job.output), job.frames, paste, arguments.overwrite, on_frame)
    arguments.outcome.set(paste_sequence=paste.pattern)


def _summarise_so_far(status: JobStatus, writer: FrameWriter, arguments: argparse.Namespace) -> int:
    """Print how many frames are on disk and return the exit code."""
    arguments.outcome.set_status(status)
    arguments.outcome.set(frames=len(writer.paths), output=str(writer.paths[0].parent) if writer.paths else "")
    arguments.outcome.summary(f"{len(writer.paths)} of {status.frames} frames are on disk; the job is {status.state}")
    return 0


def configure_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the options of the list."""
    add_limit_option(parser)
    add_server_options(parser)


def run_jobs(arguments: argparse.Namespace) -> int:
    """List the server's jobs."""
    with open_client(load_config(arguments)) as client:
        jobs = client.jobs(arguments.limit)
    arguments.outcome.set_without_job(jobs=[to_plain(status) for status in jobs])
    if not arguments.json:
        _print_jobs(jobs)
    return 0


def run_free(arguments: argparse.Namespace) -> int:
    """Ask idle workers to release their memory."""
    arguments.autostart = False  # a server that does not run holds nothing
    with open_client(load_config(arguments)) as client:
        workers = client.free()
    arguments.outcome.set_without_job(workers=workers)
    arguments.outcome.summary(f"{workers} idle workers release their memory")
    return 0


def _print_jobs(jobs: tuple[JobStatus, ...]) -> None:
    """Print a table of jobs on a terminal, else a line for each."""
    console = Console()
    if not console.is_terminal:
        for status in jobs:
            print_result(printable(_line(status)))
    elif jobs:
        console.print(jobs_table(jobs, console.width))
    else:
        print_result("no jobs")


def jobs_table(jobs: tuple[JobStatus, ...], width: int) -> Table:
    """Return a table with a row for each job, and fewer columns on a narrow terminal."""
    table = Table(box=None, pad_edge=False)
    columns = (*_COLUMNS, *(_WIDE_COLUMNS if width >= _WIDE else ()))
    for name in columns:
        table.add_column(name, no_wrap=True, min_width=12 if name == "job" else None)
    for status in jobs:
        cells = job_cells(status)
        table.add_row(*(Text(printable(cells[name])) for name in columns))
    return table


def _line(status: JobStatus) -> str:
    """Return a line about a job."""
    reason = f": {status.error.message}" if status.error else ""
    return f"{status.id} {status_text(status)}, {status.engine}, {duration_text(status.seconds)}{reason}"


STATUS = Command("status", "show a job's status", add_job_argument, run_status)
WATCH = Command("watch", "follow a job until it ends", add_job_argument, run_watch)
CANCEL = Command("cancel", "cancel a job", add_job_argument, run_cancel)
FETCH = Command(
    "fetch",
    "fetch a job's frames, and wait for those that are not finished",
    configure_fetch,
    run_fetch,
    examples="void-bridge fetch demo_out/clean/job.json --paste-sequence paste/paste.####.exr",
)
JOBS = Command("jobs", "list the server's jobs", configure_jobs, run_jobs)
FREE = Command("free", "release the GPU memory of idle workers", add_server_options, run_free)
