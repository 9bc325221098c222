"""Following a job to its end: showing progress, and writing frames as they are published."""

from __future__ import annotations

import os
from typing import Optional

from void_bridge.cli.console import CommandOutcome, say
from void_bridge.cli.progress import ProgressView
from void_bridge.client import Client
from void_bridge.client.formatting import duration_text, report_lines
from void_bridge.client.frame_writer import FrameWriter
from void_bridge.errors import Cancelled, VoidBridgeError
from void_bridge.protocol.messages import FINAL_STATES, JobStatus


def follow(client: Client, id: str, view: ProgressView, writer: Optional[FrameWriter] = None) -> JobStatus:
    """Show a job until it ends. Returns its last status; with a `writer` every published frame is on disk."""
    status = client.status(id)
    for event in client.watch(id):
        if isinstance(event, JobStatus):
            status = event
            view.show(status)
            if writer is not None and status.state not in FINAL_STATES:
                writer.fetch_published(status.frames_done)
    if writer is not None and status.frames_done:
        writer.finish()
    return status


def ask_to_cancel(client: Client, id: str) -> None:
    """Ask the server to cancel, which takes effect at once. A second Ctrl-C leaves without waiting for its answer."""
    try:
        say(f"asking the server to cancel job {id}; once more Ctrl-C leaves without waiting")
        client.cancel(id)
    except VoidBridgeError as exc:
        say(f"void-bridge: {exc.message}")
    except KeyboardInterrupt:
        os._exit(Cancelled.exit_code)


def summarise(client: Client, status: JobStatus, writer: Optional[FrameWriter], outcome: CommandOutcome) -> int:
    """Say how a job ended. Returns the exit code."""
    outcome.set_status(status)
    result = client.result(status.id)
    outcome.set(output=result.job.output)
    if status.state == "done":
        report = result.report
        outcome.set(report=report)
        place = f" in {writer.paths[0].parent}" if writer and writer.paths else ""
        outcome.summary(f"{status.frames_done} frames{place}, {duration_text(status.seconds)} by {status.engine}")
        for line in report_lines(report):
            say(line)
        return 0
    reason = f": {status.error.message}" if status.error else ""
    say(f"void-bridge: job {status.id} {status.state}{reason}")
    return Cancelled.exit_code if status.state == "cancelled" else 1
