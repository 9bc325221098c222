"""What a task says to the farm that runs it: progress, a line about what it does, why it failed.

openjd       Open Job Description: https://github.com/OpenJobDescription/openjd-specifications/wiki/How-Jobs-Are-Run
deadline10   the progress line that Deadline 10's CommandLine plug-in looks for
plain        words alone
"""

from __future__ import annotations

import sys
import time
from typing import Dict, Protocol, TextIO, Type

PROGRESS_EVERY_S = 1.0
STATUS_EVERY_S = 2.0


class FarmReporter(Protocol):
    def progress(self, percent: float) -> None:
        """0 to 100; called as often as there is news."""

    def status(self, text: str) -> None:
        """What is being done; called as often as there is news."""

    def fail(self, text: str) -> None:
        """Why the task failed, once."""


class PlainReporter:
    """Every line goes to `stream`; news that come faster than a log needs them are left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._percent, self._progress_at = -1.0, -PROGRESS_EVERY_S
        self._text, self._status_at = "", -STATUS_EVERY_S

    def progress(self, percent: float) -> None:
        now = time.monotonic()
        if percent <= self._percent or (percent < 100 and now - self._progress_at < PROGRESS_EVERY_S):
            return
        self._percent, self._progress_at = percent, now
        self.say_progress(percent)

    def status(self, text: str) -> None:
        now = time.monotonic()
        line = " ".join(text.split())
        if line == self._text or now - self._status_at < STATUS_EVERY_S:
            return
        self._text, self._status_at = line, now
        self.say_status(line)

    def fail(self, text: str) -> None:
        self.say_failure(" ".join(text.split()))

    def say(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def say_progress(self, percent: float) -> None:
        self.say(f"{percent:.1f} %")

    def say_status(self, line: str) -> None:
        self.say(line)

    def say_failure(self, line: str) -> None:
        self.say(f"failed: {line}")


class OpenJobReporter(PlainReporter):
    def say_progress(self, percent: float) -> None:
        self.say(f"openjd_progress: {percent:.1f}")

    def say_status(self, line: str) -> None:
        self.say(f"openjd_status: {line}")

    def say_failure(self, line: str) -> None:
        self.say(f"openjd_fail: {line}")

    def variable(self, name: str, value: str) -> None:
        """A variable for everything that runs later in the session."""
        self.say(f"openjd_env: {name}={value}")


class Deadline10Reporter(PlainReporter):
    def say_progress(self, percent: float) -> None:
        self.say(f"Progress: {percent:.0f}%")


REPORTERS: Dict[str, Type[PlainReporter]] = {
    "openjd": OpenJobReporter,
    "deadline10": Deadline10Reporter,
    "plain": PlainReporter,
}


def reporter_for(kind: str) -> PlainReporter:
    """Of this process's standard output."""
    return REPORTERS[kind](sys.stdout)
