"""Text about a job's progress and result, shared by the command line and the hosts."""

from __future__ import annotations

import time
from typing import Dict, List

from void_bridge.protocol.messages import JobStatus


def step_text(stage: str, done: int, total: int) -> str:
    """Return a line about the client's own progress: `send 12.5 of 40.0 MB`."""
    if stage == "send":
        return f"{stage} {done / 1e6:.1f} of {total / 1e6:.1f} MB"
    return f"{stage} {done} of {total} files"


def status_text(status: JobStatus) -> str:
    """Return a line about a job: `running: flow 3/45, 0 of 46 frames, 2:10 left`."""
    state = ": ".join(filter(None, (status.state, stage_text(status))))
    return f"{state}, {status.frames_done} of {status.frames} frames{left_text(status)}"


def stage_text(status: JobStatus) -> str:
    """Return the stage of a running job: `flow 3/45`; empty for other jobs."""
    step = status.progress
    return f"{step.stage} {step.done}/{step.total}" if step.stage and status.state == "running" else ""


def left_text(status: JobStatus) -> str:
    """Return the estimate of a running job: `, 2:10 left`; empty without one."""
    left = job_cells(status)["left"]
    return f", {left} left" if left else ""


def job_cells(status: JobStatus) -> Dict[str, str]:
    """Return the cells of a table of jobs, by column."""
    left = status.progress.seconds_left if status.state == "running" else None
    return {
        "job": status.id,
        "state": status.state,
        "stage": stage_text(status),
        "frames": f"{status.frames_done}/{status.frames}",
        "took": duration_text(status.seconds),
        "left": "" if left is None else duration_text(left),
        "priority": str(status.priority),
        "user": status.user,
        "engine": status.engine,
        "submitted": time.strftime("%Y-%m-%d %H:%M", time.localtime(status.created)),
    }


def duration_text(seconds: float) -> str:
    """Return a duration: `0:07`, `12:30`, `2:00:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def report_lines(report: Dict[str, object]) -> List[str]:
    """Return the lines about a job's report that a person should read."""
    lines = []
    seen = report.get("seen_share")
    if isinstance(seen, (int, float)) and report.get("synthesised_share") != seen:
        lines.append(f"{seen:.1%} of the hidden pixels were seen in other frames, the rest is generated")
    warnings = report.get("warnings")
    lines += [f"warning: {warning}" for warning in warnings] if isinstance(warnings, (list, tuple)) else []
    return lines
