"""The progress of a task, told to the farm and written beside the frames."""

from __future__ import annotations

import platform
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Iterator

from host_plugins.farm.reporters import FarmReporter
from host_plugins.farm.status_files import State, TaskState, write_task
from void_bridge.errors import Cancelled, VoidBridgeError

_WRITE_EVERY_S = 2.0


class TaskProgress:
    """The progress of one task.

    Args:
        folder: the folder of the frames.
        frames: a range, or `check`.
        reporter: where the farm is told.
    """

    def __init__(self, folder: Path, frames: str, reporter: FarmReporter) -> None:
        self.frames = frames
        self._folder, self._reporter = folder, reporter
        self._state = TaskState(frames, "running", host=platform.node())
        self._line = ""

    def report(self, percent: float, line: str) -> None:
        """Report progress. May be called as often as it changes.

        Args:
            percent: 0 to 100.
            line: one line for a person.
        """
        self._reporter.progress(percent)
        self._reporter.status(line)
        self._line = line
        now = time.time()
        if now - self._state.updated >= _WRITE_EVERY_S:
            self._note(replace(self._state, percent=max(percent, self._state.percent), line=line, updated=now))

    @contextmanager
    def tracked(self) -> Iterator[TaskProgress]:
        """Record the end of the task, or its failure, at the end of the block."""
        try:
            yield self
        except BaseException as exc:
            state: State = "cancelled" if isinstance(exc, Cancelled) else "failed"
            self._end(TaskState(self.frames, state, self._state.percent, str(exc) or type(exc).__name__))
            raise
        self._end(TaskState(self.frames, "done", 100, self._line))

    def _end(self, state: TaskState) -> None:
        self._note(replace(state, host=self._state.host, updated=time.time()))

    def _note(self, state: TaskState) -> None:
        self._state = state
        with suppress(VoidBridgeError):  # the frames matter more
            write_task(self._folder, state)
