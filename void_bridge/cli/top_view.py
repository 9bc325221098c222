"""The picture that `void-bridge top` shows: the server's lines, its workers, its jobs. No I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Iterable, List, Optional, Sequence, Tuple

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from void_bridge.cli.console import printable
from void_bridge.client.formatting import duration_text
from void_bridge.protocol.messages import JobStatus, ServerStatus, SpoolStatus, Welcome, WorkerStatus

_WORKERS = ("#", "worker", "device", "engine", "memory", "lost", "job", "progress")
_JOBS = ("job", "state", "stage", "frames", "left", "pri", "user")
_JOBS_WIDE = ("took", "engine", "submitted")
_WIDE = 110  # columns
_RIGHT = {"memory", "lost", "frames", "left", "pri", "took"}
_LEAST = {"job": 12, "state": 9, "worker": 8}  # columns, on narrow terminals too
_STYLES = {"running": "green", "failed": "red", "starting": "yellow", "ending": "yellow"}
_ORDER = ("running", "queued", "receiving")
_SMALLEST = 3  # rows of a table: its head, one row, and how many more there are


@dataclass(frozen=True)
class TopView:
    """What was asked of a server. status: None if it is too old to say. trouble: why there is nothing newer."""

    server: Welcome
    status: Optional[ServerStatus]
    jobs: Tuple[JobStatus, ...]
    trouble: Tuple[str, ...] = ()


def picture(view: TopView, width: int, height: Optional[int] = None) -> RenderableType:
    """For a terminal of so many columns and rows; height None: as long as it gets."""
    lines = _lines(view, width)
    workers = list(view.status.workers if view.status else ())
    jobs = ordered(view.jobs)
    room_for_workers = room_for_jobs = None
    if height is not None:
        left = max(2 * _SMALLEST, height - len(lines) - 2)  # an empty line before each table
        room_for_workers = min(len(workers) + 1, max(_SMALLEST, left // 2))
        room_for_jobs = left - room_for_workers
    parts: List[RenderableType] = [*lines]
    if workers:
        parts += [Text(), *_workers_table(workers, view.jobs, room_for_workers)]
    parts += [Text(), *_jobs_table(jobs, width, room_for_jobs)]
    return Group(*parts)


def ordered(jobs: Iterable[JobStatus]) -> List[JobStatus]:
    """Those that run first, then those that wait, the next one first, then those that have ended, the newest first."""

    def rank(job: JobStatus) -> Tuple[int, int, float]:
        if job.state in _ORDER:
            return (_ORDER.index(job.state), -job.priority, job.created)
        return (len(_ORDER), 0, -job.created)

    return sorted(jobs, key=rank)


# --- the server --------------------------------------------------------------------------------------


def _lines(view: TopView, width: int) -> List[Text]:
    server, status = view.server, view.status
    words = [f"{server.server} on {server.host}"]
    if status:
        words += [
            f"up {duration_text(status.seconds)}",
            f"{bytes_text(status.resident_bytes)} of memory",
            f"{status.clients} client{'' if status.clients == 1 else 's'}",
            *_spool_words(status.spool),
            *_job_words(status),
        ]
    else:
        words += ["from before protocol 1.1: it does not say how it is"]
    lines = [Text(line) for line in _flowing(words, width)]
    return lines + [Text(line, style="bold red") for line in _flowing(view.trouble, width)]


def _spool_words(spool: SpoolStatus) -> List[str]:
    limit = f" of {bytes_text(spool.limit_bytes)}" if spool.limit_bytes else ""
    free = f"{bytes_text(spool.free_bytes)} free" if spool.free_bytes is not None else "its disk does not answer"
    return [f"spool {bytes_text(spool.used_bytes)}{limit}, {free}"]


def _job_words(status: ServerStatus) -> List[str]:
    counts = [f"{count} {printable(state)}" for state, count in status.jobs.items() if count]
    words = [", ".join(counts) or "no jobs"]
    if status.oldest_queued_s is not None:
        words.append(f"the oldest waits {duration_text(status.oldest_queued_s)}")
    return words


def _flowing(words: Sequence[str], width: int) -> List[str]:
    """As many words on a line as fit; one that is too long for a line is cut."""
    lines: List[str] = []
    for word in map(printable, words):
        longer = f"{lines[-1]} · {word}" if lines else word
        if lines and len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word if len(word) <= width else f"{word[: width - 1]}…")
    return lines


def bytes_text(count: float) -> str:
    """`0 B`, `812 kB`, `3.1 GB`; thousands, as spool_limit_gb counts."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.1f} {unit}" if unit == "GB" and count < 100 else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


# --- tables ------------------------------------------------------------------------------------------


def _workers_table(
    workers: Sequence[WorkerStatus], jobs: Iterable[JobStatus], room: Optional[int]
) -> List[RenderableType]:
    known = {job.id: job for job in jobs}
    rows = []
    for worker in workers:
        job = known.get(worker.jobs[0]) if worker.jobs else None
        rows.append(
            (
                str(worker.index),
                worker.state,
                worker.device,
                worker.engine,
                bytes_text(worker.resident_bytes) if worker.resident_bytes else "",
                str(worker.losses or ""),
                _jobs_held(worker),
                _progress(job) if job else "",
            )
        )
    return _table(_WORKERS, rows, room, "workers")


def _jobs_held(worker: WorkerStatus) -> str:
    """The frames of another may still be on their way to the disk."""
    return f"{worker.jobs[0]}{f' +{len(worker.jobs) - 1}' if worker.jobs[1:] else ''}" if worker.jobs else ""


def _progress(job: JobStatus) -> str:
    step = job.progress
    return f"{step.stage} {step.done}/{step.total}" if step.stage else ""


def _jobs_table(jobs: Sequence[JobStatus], width: int, room: Optional[int]) -> List[RenderableType]:
    columns = (*_JOBS, *(_JOBS_WIDE if width >= _WIDE else ()))
    return _table(columns, [_job_cells(job)[: len(columns)] for job in jobs], room, "jobs")


def _job_cells(job: JobStatus) -> Tuple[str, ...]:
    step, running = job.progress, job.state == "running"
    return (
        job.id,
        job.state,
        f"{step.stage} {step.done}/{step.total}" if running and step.stage else "",
        f"{job.frames_done}/{job.frames}",
        duration_text(step.seconds_left) if running and step.seconds_left is not None else "",
        str(job.priority),
        job.user,
        duration_text(job.seconds),
        job.engine,
        time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created)),
    )


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], room: Optional[int], what: str
) -> List[RenderableType]:
    """A table of at most `room` lines, its head among them, and the number of rows that found none."""
    if not rows:
        return [Text(f"no {what}", style="dim")]
    shown = rows if room is None or len(rows) < room else rows[: max(1, room - 2)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        justify: JustifyMethod = "right" if name in _RIGHT else "left"
        table.add_column(name, no_wrap=True, justify=justify, min_width=_LEAST.get(name))
    for row in shown:
        table.add_row(*(Text(printable(cell)) for cell in row), style=_STYLES.get(row[1], ""))
    more = len(rows) - len(shown)
    return [table, Text(f"and {more} more {what}", style="dim")] if more else [table]
