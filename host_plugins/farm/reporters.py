"""Reporters: how a task tells its farm about progress, status and failure.

openjd       Open Job Description: https://github.com/OpenJobDescription/openjd-specifications/wiki/How-Jobs-Are-Run
deadline10   the progress line that Deadline 10's CommandLine plug-in looks for
plain        text alone
"""

from __future__ import annotations

import sys
import time
from typing import Dict, Protocol, TextIO, Type

PROGRESS_EVERY_S = 1.0
STATUS_EVERY_S = 2.0


class FarmReporter(Protocol):
    """The interface of a reporter."""

    def progress(self, percent: float) -> None:
        """Report progress, 0 to 100. May be called as often as it changes."""

    def status(self, text: str) -> None:
        """Report what the task is doing. May be called as often as it changes."""

    def fail(self, text: str) -> None:
        """Report why the task failed, once."""


class PlainReporter:
    """A reporter that writes lines to a stream and leaves out updates that come faster than a log needs them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._percent, self._progress_at = -1.0, -PROGRESS_EVERY_S
        self._text, self._status_at = "", -STATUS_EVERY_S

    def progress(self, percent: float) -> None:
        """Report progress, at most once a second."""
        now = time.monotonic()
        if percent <= self._percent or (percent < 100 and now - self._progress_at < PROGRESS_EVERY_S):
            return
        self._percent, self._progress_at = percent, now
        self.say_progress(percent)

    def status(self, text: str) -> None:
        """Report a status line, at most once every two seconds and only when it changed."""
        now = time.monotonic()
        line = " ".join(text.split())
        if line == self._text or now - self._status_at < STATUS_EVERY_S:
            return
        self._text, self._status_at = line, now
        self.say_status(line)

    def fail(self, text: str) -> None:
        """Report a failure on one line."""
        self.say_failure(" ".join(text.split()))

    def say(self, line: str) -> None:
        """Write one line and flush the stream."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def say_progress(self, percent: float) -> None:
        """Write a progress line."""
        self.say(f"{percent:.1f} %")

    def say_status(self, line: str) -> None:
        """Write a status line."""
        self.say(line)

    def say_failure(self, line: str) -> None:
        """Write a failure line."""
        self.say(f"failed: {line}")


class OpenJobReporter(PlainReporter):
    """A reporter in the lines that Open Job Description defines."""

    def say_progress(self, percent: float) -> None:
        """Write an `openjd_progress` line."""
        self.say(f"openjd_progress: {percent:.1f}")

    def say_status(self, line: str) -> None:
        """Write an `openjd_status` line."""
        self.say(f"openjd_status: {line}")

    def say_failure(self, line: str) -> None:
        """Write an `openjd_fail` line."""
        self.say(f"openjd_fail: {line}")

    def variable(self, name: str, value: str) -> None:
        """Set an environment variable for everything that runs later in the session."""
        self.say(f"openjd_env: {name}={value}")


class Deadline10Reporter(PlainReporter):
    """A reporter whose progress lines Deadline 10 recognises."""

    def say_progress(self, percent: float) -> None:
        """Write a `Progress: N%` line."""
        self.say(f"Progress: {percent:.0f}%")


REPORTERS: Dict[str, Type[PlainReporter]] = {
    "openjd": OpenJobReporter,
    "deadline10": Deadline10Reporter,
    "plain": PlainReporter,
}


def reporter_for(kind: str) -> PlainReporter:
    """Return the reporter of a name of `REPORTERS`, on this process's standard output."""
    return REPORTERS[kind](sys.stdout)
