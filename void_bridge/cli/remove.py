"""`void-bridge remove` and `submit`: both submit the job of the options; `remove` also fetches its frames."""

from __future__ import annotations

import argparse
from typing import Optional

from void_bridge.cli.command import Command
from void_bridge.cli.console import say
from void_bridge.cli.follow import ask_to_cancel, summarise
from void_bridge.cli.job_options import EXAMPLE_MATTES, add_job_options, job_from_arguments
from void_bridge.cli.progress import ProgressView, progress_view
from void_bridge.cli.server_options import add_server_options, load_config, open_client
from void_bridge.client import Client
from void_bridge.client.frame_writer import FrameWriter, follow
from void_bridge.config import Config
from void_bridge.job import Job
from void_bridge.options import PRIORITY, PRIORITY_MAX, TRANSPORTS
from void_bridge.protocol.messages import JobStatus


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of both commands."""
    add_job_options(parser)
    group = parser.add_argument_group("running")
    group.add_argument("--transport", choices=TRANSPORTS, help="how frames reach the server (default: auto)")
    words = f"priority of the job, 0 to {PRIORITY_MAX}; the highest runs first (default: {PRIORITY})"
    group.add_argument("--priority", type=int, metavar="N", help=words)
    group.add_argument("--overwrite", action="store_true", help="replace the frames of another job in OUT")
    add_server_options(parser)


def run_remove(arguments: argparse.Namespace) -> int:
    """Submit a job, write its frames as they are finished, and return the exit code.

    Raises:
        VoidBridgeError: the job cannot be made or submitted, or it failed.
        KeyboardInterrupt: the user stopped the command; the server has been asked to cancel.
    """
    config, job = _make_job(arguments)
    with open_client(config) as client:
        id: Optional[str] = None
        try:
            with progress_view() as view:
                status = _submit(client, job, arguments, view)
                id = status.id
                writer = FrameWriter(client, id, None, arguments.overwrite)
                status = follow(client, id, view.show, writer)
        except KeyboardInterrupt:
            if id is not None:
                ask_to_cancel(client, id)
            arguments.outcome.set(state="cancelled")
            raise
        return summarise(client, status, writer, arguments.outcome)


def run_submit(arguments: argparse.Namespace) -> int:
    """Submit a job, print its number, and return the exit code.

    Raises:
        VoidBridgeError: the job cannot be made or submitted.
    """
    config, job = _make_job(arguments)
    with open_client(config) as client:
        with progress_view() as view:
            status = _submit(client, job, arguments, view)
        arguments.outcome.set(output=client.result(status.id).job.output)
        arguments.outcome.summary(status.id)
        say(f"job {status.id} is {status.state}; void-bridge fetch {status.id} fetches its frames")
    return 0


def _make_job(arguments: argparse.Namespace) -> tuple[Config, Job]:
    config = load_config(arguments, transport=arguments.transport, priority=arguments.priority)
    job = job_from_arguments(arguments, config)
    arguments.outcome.set(output=job.output)
    stops = f", exposure {job.colour.exposure:+g} stops" if job.colour.exposure else ""
    height, width = job.canvas_size
    canvas = f", canvas {width} wide and {height} high" if job.canvas != Job.canvas else ""
    say(f"frames {job.frames}, {job.colour.space} of {job.colour.config}{stops}{canvas}")
    return config, job


def _submit(client: Client, job: Job, arguments: argparse.Namespace, view: ProgressView) -> JobStatus:
    status = client.submit(job, overwrite=arguments.overwrite, on_progress=view.show_step)
    arguments.outcome.set_status(status)
    return status


REMOVE = Command(
    "remove",
    "remove an object from a shot: submit a job, follow it, fetch its frames",
    configure,
    run_remove,
    examples=f"void-bridge remove demo_out/plate/plate.####.exr -o clean/ \\\n{EXAMPLE_MATTES}",
)
SUBMIT = Command(
    "submit",
    "submit a job, print its id, and return",
    configure,
    run_submit,
    examples=f"void-bridge submit demo_out/plate/plate.####.exr -o submitted/ \\\n{EXAMPLE_MATTES}",
)
