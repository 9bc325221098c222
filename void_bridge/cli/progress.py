"""The display of progress: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Callable, Iterator, Optional, Type

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from void_bridge.cli.console import say
from void_bridge.client.formatting import left_text, status_text, step_text
from void_bridge.protocol.messages import JobStatus

LINE_EVERY_S = 5.0


class ProgressView:
    """Progress as lines without control codes: one for each stage, and one every few seconds. Used as a context."""

    def __init__(self) -> None:
        self._last = ("", 0.0)

    def __enter__(self) -> ProgressView:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        pass

    def show_step(self, stage: str, done: int, total: int) -> None:
        """Show the client's own progress."""
        self._say(stage, step_text(stage, done, total))

    def show(self, status: JobStatus) -> None:
        """Show the job's progress on the server."""
        self._say(f"{status.state} {status.progress.stage}", status_text(status))

    def _say(self, stage: str, text: str) -> None:
        """Print a line for a new stage, or if the last line is some seconds old."""
        now = time.monotonic()
        if stage != self._last[0] or now - self._last[1] >= LINE_EVERY_S:
            say(text)
            self._last = (stage, now)


class BarView(ProgressView):
    """Progress as two bars: the current stage, and the frames of the job."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", justify="right"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}"),
            console=Console(stderr=True),
        )
        self._stage = self._progress.add_task("", total=None, detail="")
        self._frames = self._progress.add_task("frames", total=None, detail="", visible=False)

    def __enter__(self) -> BarView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._progress.stop()
        sys.stderr.flush()

    def show_step(self, stage: str, done: int, total: int) -> None:
        """Show the client's own progress."""
        self._progress.update(self._stage, description=stage, completed=done, total=total or None, detail="")

    def show(self, status: JobStatus) -> None:
        """Show the job's progress on the server."""
        step = status.progress
        self._progress.update(
            self._stage,
            description=step.stage or status.state,
            completed=step.done,
            total=step.total or None,
            detail=f"{step.done}/{step.total}" if step.total else "",
        )
        self._progress.update(
            self._frames,
            completed=status.frames_done,
            total=status.frames,
            detail=f"{status.frames_done}/{status.frames}{left_text(status)}",
            visible=True,
        )


def progress_view() -> ProgressView:
    """Return the view for standard error: bars on a terminal, lines for a file or pipe."""
    return BarView() if Console(stderr=True).is_terminal else ProgressView()


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows the frames done and their total, which is 0 while it is unknown."""
    with progress_view() as view:
        yield partial(view.show_step, name)
