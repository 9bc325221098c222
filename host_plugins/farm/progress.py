"""Tells the farm, and whoever looks at the output folder, how a task stands."""

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

_TOLD_EVERY_S = 2.0


class TaskProgress:
    """frames: a range, or `check`. folder: of the frames."""

    def __init__(self, folder: Path, frames: str, reporter: FarmReporter) -> None:
        self.frames = frames
        self._folder, self._lines = folder, reporter
        self._state = TaskState(frames, "running", host=platform.node())
        self._line = ""

    def report(self, percent: float, line: str) -> None:
        """percent: 0 to 100. Called as often as there is news."""
        self._lines.progress(percent)
        self._lines.status(line)
        self._line = line
        now = time.time()
        if now - self._state.updated >= _TOLD_EVERY_S:
            self._note(replace(self._state, percent=max(percent, self._state.percent), line=line, updated=now))

    @contextmanager
    def tracked(self) -> Iterator[TaskProgress]:
        """The end of the block is the end of the task."""
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
