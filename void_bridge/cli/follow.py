"""The end of a job that a command follows: asking the server to cancel it, and its summary."""

from __future__ import annotations

import os
from typing import Optional

from void_bridge.cli.console import CommandOutcome, say
from void_bridge.client import Client
from void_bridge.client.formatting import duration_text, report_lines
from void_bridge.client.frame_writer import FrameWriter
from void_bridge.errors import Cancelled, VoidBridgeError
from void_bridge.protocol.messages import JobStatus


def ask_to_cancel(client: Client, id: str) -> None:
    """Ask the server to cancel a job. A second Ctrl-C ends this process without waiting for the answer."""
    try:
        say(f"asking the server to cancel job {id}; press Ctrl-C again to quit without waiting")
        client.cancel(id)
    except VoidBridgeError as exc:
        say(f"void-bridge: {exc.message}")
    except KeyboardInterrupt:
        os._exit(Cancelled.exit_code)


def summarise(client: Client, status: JobStatus, writer: Optional[FrameWriter], outcome: CommandOutcome) -> int:
    """Print how a job ended and return the exit code.

    Args:
        client: the client.
        status: the job's last status.
        writer: the writer of its frames, if they were fetched.
        outcome: receives the values for `--json`.
    """
    outcome.set_status(status)
    result = client.result(status.id)
    outcome.set(output=result.job.output)
    if status.state == "done":
        outcome.set(report=result.report)
        folder = f" in {writer.paths[0].parent}" if writer and writer.paths else ""
        outcome.summary(f"{status.frames_done} frames{folder}, {duration_text(status.seconds)} by {status.engine}")
        for line in report_lines(result.report):
            say(line)
        return 0
    reason = f": {status.error.message}" if status.error else ""
    say(f"void-bridge: job {status.id} {status.state}{reason}")
    return Cancelled.exit_code if status.state == "cancelled" else 1
