"""How a job's progress looks: bars on a terminal, now and then a plain line elsewhere."""

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

PLAIN_EVERY_S = 5.0


class ProgressView:
    """Use as a context. `show_step` is for what the client does, `show` for what the server says."""

    def __enter__(self) -> ProgressView:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        pass

    def show_step(self, stage: str, done: int, total: int) -> None:
        raise NotImplementedError

    def show(self, status: JobStatus) -> None:
        raise NotImplementedError


def progress_view() -> ProgressView:
    """For standard error as it is: a terminal, or a file or pipe."""
    return BarView() if Console(stderr=True).is_terminal else LineView()


class LineView(ProgressView):
    """A line for each stage, and another every few seconds within one. No control codes."""

    def __init__(self) -> None:
        self._last = ("", 0.0)

    def show_step(self, stage: str, done: int, total: int) -> None:
        self._say(stage, step_text(stage, done, total))

    def show(self, status: JobStatus) -> None:
        self._say(f"{status.state} {status.progress.stage}", status_text(status))

    def _say(self, stage: str, text: str) -> None:
        now = time.monotonic()
        if stage != self._last[0] or now - self._last[1] >= PLAIN_EVERY_S:
            say(text)
            self._last = (stage, now)


class BarView(ProgressView):
    """Two bars: the stage at hand, and the frames of the job."""

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
        self._progress.update(self._stage, description=stage, completed=done, total=total or None, detail="")

    def show(self, status: JobStatus) -> None:
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


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Yields what to call with the frames done and their count, 0 while that is unknown."""
    with progress_view() as view:
        yield partial(view.show_step, name)
