"""Output of commands: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from typing import Dict

from void_bridge.errors import Cancelled, VoidBridgeError
from void_bridge.protocol.messages import JobStatus

_JOB_FIELDS = {"job": "", "state": "", "output": "", "frames": 0, "engine": "", "seconds": 0.0}


def say(text: str) -> None:
    """Print lines for people on standard error."""
    sys.stderr.write(f"{_printable_lines(text)}\n")
    sys.stderr.flush()


def print_result(text: str) -> None:
    """Print a line of result on standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Return text of other users without control characters, which could move a terminal's cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _printable_lines(text: str) -> str:
    """Return text without control characters other than line breaks."""
    return "\n".join(printable(line) for line in text.split("\n"))


class CommandOutcome:
    """The outcome of a command, which `--json` prints as the last line of standard output.

    It has at least job, state, output, frames (count), engine, seconds, and on failure error {code, message}.
    """

    def __init__(self, is_json: bool) -> None:
        self.is_json = is_json
        self._values: Dict[str, object] = {}
        self._job_fields: Dict[str, object] = dict(_JOB_FIELDS)

    def set(self, **values: object) -> None:
        """Set values by name."""
        self._values.update(values)

    def set_without_job(self, **values: object) -> None:
        """Set values and leave out the fields of a job, for commands that are not about one job."""
        self._job_fields = {}
        self.set(**values)

    def set_status(self, status: JobStatus) -> None:
        """Set the values of a job's status."""
        self.set(
            job=status.id,
            state="queued" if status.state == "receiving" else status.state,
            frames=status.frames_done,
            frames_wanted=status.frames,
            engine=status.engine,
            seconds=round(status.seconds, 3),
        )
        if status.error:
            self.set(error={"code": status.error.code, "message": status.error.message})

    def fail(self, error: VoidBridgeError) -> None:
        """Set the values of an error. The state of a job whose command was interrupted stays its last one."""
        self.set(
            state=self._values.get("state", "cancelled") if isinstance(error, Cancelled) else "failed",
            error={"code": error.code, "message": error.message},
        )

    def summary(self, text: str) -> None:
        """Print the closing lines of a command: as a result, or on standard error if the result is JSON."""
        (say if self.is_json else print_result)(_printable_lines(text))

    def write(self) -> None:
        """Print the JSON if it was asked for and there are values."""
        if self.is_json and self._values:
            print_result(json.dumps({**self._job_fields, **self._values}, ensure_ascii=False))
