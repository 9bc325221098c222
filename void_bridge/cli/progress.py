"""How a job's progress looks: bars on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Optional, Type

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from void_bridge.cli.console import say
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
            detail=f"{status.frames_done}/{status.frames}{_left_text(status)}",
            visible=True,
        )


def step_text(stage: str, done: int, total: int) -> str:
    """What the client does, in words: `send 12.5 of 40.0 MB`."""
    if stage == "send":
        return f"{stage} {done / 1e6:.1f} of {total / 1e6:.1f} MB"
    return f"{stage} {done} of {total} files"


def status_text(status: JobStatus) -> str:
    """A job's state in words: `running: flow 3/45, 0 of 46 frames, 2:10 left`."""
    step = status.progress
    stage = f": {step.stage} {step.done}/{step.total}" if step.stage and status.state == "running" else ""
    return f"{status.state}{stage}, {status.frames_done} of {status.frames} frames{_left_text(status)}"


def duration_text(seconds: float) -> str:
    """`0:07`, `12:30`, `2:00:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _left_text(status: JobStatus) -> str:
    left = status.progress.seconds_left
    return f", {duration_text(left)} left" if left is not None and status.state == "running" else ""
