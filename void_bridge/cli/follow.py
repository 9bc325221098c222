"""Following a job to its end: showing progress, and writing frames as they are published."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Dict, List, Optional

from void_bridge.cli.console import Outcome, say
from void_bridge.cli.progress import ProgressView, duration_text
from void_bridge.client import Client
from void_bridge.errors import Cancelled, VoidBridgeError
from void_bridge.protocol.messages import FINAL_STATES, JobStatus


class FrameWriter:
    """Fetches in the background whenever there is more, so that a slow disk or network doesn't stop the display."""

    def __init__(self, client: Client, id: str, output: Optional[str], overwrite: bool) -> None:
        self._client, self._id, self._output, self._overwrite = client, id, output, overwrite
        self._thread: Optional[threading.Thread] = None
        self._failure: Optional[BaseException] = None
        self._published = 0
        self.paths: List[Path] = []

    def more(self, published: int) -> None:
        """Fetch unless that is going on. Raises what the last time failed with."""
        busy = self._thread is not None and self._thread.is_alive()
        if published > self._published and not busy:
            self._raise()
            self._published = published
            self._thread = threading.Thread(target=self._fetch, name="void-fetch", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Fetch what is left."""
        if self._thread is not None:
            self._thread.join()
        self._raise()
        self._fetch()
        self._raise()

    def _fetch(self) -> None:
        try:
            self.paths = self._client.fetch(self._id, self._output, overwrite=self._overwrite)
        except BaseException as exc:
            self._failure = exc

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure


def follow(client: Client, id: str, view: ProgressView, writer: Optional[FrameWriter] = None) -> JobStatus:
    """Show a job until it ends. Returns its last status; with a `writer` every published frame is on disk."""
    status = client.status(id)
    for event in client.watch(id):
        if isinstance(event, JobStatus):
            status = event
            view.show(status)
            if writer is not None and status.state not in FINAL_STATES:
                writer.more(status.frames_done)
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


def summarise(client: Client, status: JobStatus, writer: Optional[FrameWriter], outcome: Outcome) -> int:
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


def report_lines(report: Dict[str, object]) -> List[str]:
    """What of a job's report a person wants to read."""
    lines = []
    seen = report.get("seen_share")
    if isinstance(seen, (int, float)) and report.get("synthesised_share") != seen:
        lines.append(f"{seen:.1%} of the hidden pixels were seen in other frames, the rest is made up")
    warnings = report.get("warnings")
    lines += [f"warning: {warning}" for warning in warnings] if isinstance(warnings, (list, tuple)) else []
    return lines
