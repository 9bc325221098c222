"""The view of `void-bridge top`: lines about the server, a table of workers, a table of jobs. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, List, Optional, Sequence, Tuple

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from void_bridge.cli.console import printable
from void_bridge.client.formatting import duration_text, job_cells
from void_bridge.protocol.messages import JobStatus, ServerStatus, SpoolStatus, Welcome, WorkerStatus

_WORKERS = ("#", "worker", "device", "engine", "memory", "lost", "job", "progress")
_JOBS = ("job", "state", "stage", "frames", "left", "pri", "user")
_JOBS_WIDE = ("took", "engine", "submitted")
_WIDE = 110  # columns
_RIGHT_ALIGNED = {"memory", "lost", "frames", "left", "pri", "took"}
_MIN_WIDTHS = {"job": 12, "state": 9, "worker": 8}
_STYLES = {"running": "green", "failed": "red", "starting": "yellow", "ending": "yellow"}
_ORDER = ("running", "queued", "receiving")
_MIN_ROWS = 3  # of a table: its head, one row, and the number of further rows


@dataclass(frozen=True)
class TopView:
    """The answers of a server.

    Attributes:
        status: the server's status; None if the server is too old to send one.
        warnings: lines that say why the view is old.
    """

    server: Welcome
    status: Optional[ServerStatus]
    jobs: Tuple[JobStatus, ...]
    warnings: Tuple[str, ...] = ()


def render(view: TopView, width: int, height: Optional[int] = None) -> RenderableType:
    """Return the view for a terminal of `width` columns and `height` rows. Without a height all rows are shown."""
    lines = _lines(view, width)
    workers = list(view.status.workers if view.status else ())
    worker_rows = job_rows = None
    if height is not None:
        rows = max(2 * _MIN_ROWS, height - len(lines) - 2)  # an empty line before each table
        worker_rows = min(len(workers) + 1, max(_MIN_ROWS, rows // 2))
        job_rows = rows - worker_rows
    parts: List[RenderableType] = [*lines]
    if workers:
        parts += [Text(), *_workers_table(workers, view.jobs, worker_rows)]
    parts += [Text(), *_jobs_table(sort_jobs(view.jobs), width, job_rows)]
    return Group(*parts)


def sort_jobs(jobs: Iterable[JobStatus]) -> List[JobStatus]:
    """Return running jobs first, then queued ones in their order, then ended ones, the newest first."""

    def rank(job: JobStatus) -> Tuple[int, int, float]:
        if job.state in _ORDER:
            return (_ORDER.index(job.state), -job.priority, job.created)
        return (len(_ORDER), 0, -job.created)

    return sorted(jobs, key=rank)


# --- the server --------------------------------------------------------------------------------------


def _lines(view: TopView, width: int) -> List[Text]:
    """Return the lines about the server."""
    server, status = view.server, view.status
    words = [f"{server.server} on {server.host}"]
    if status:
        words += [
            f"up {duration_text(status.seconds)}",
            f"{bytes_text(status.resident_bytes)} of memory",
            f"{status.clients} client{'' if status.clients == 1 else 's'}",
            _spool_text(status.spool),
            *_job_counts(status),
        ]
    else:
        words += ["older than protocol 1.1, so without a server status"]
    lines = [Text(line) for line in _wrap(words, width)]
    return lines + [Text(line, style="bold red") for line in _wrap(view.warnings, width)]


def _spool_text(spool: SpoolStatus) -> str:
    """Return the size of the spool and the free space on its disk."""
    limit = f" of {bytes_text(spool.limit_bytes)}" if spool.limit_bytes else ""
    free = f"{bytes_text(spool.free_bytes)} free" if spool.free_bytes is not None else "its disk does not respond"
    return f"spool {bytes_text(spool.used_bytes)}{limit}, {free}"


def _job_counts(status: ServerStatus) -> List[str]:
    """Return the number of jobs in each state and the age of the oldest queued one."""
    counts = [f"{count} {printable(state)}" for state, count in status.jobs.items() if count]
    words = [", ".join(counts) or "no jobs"]
    if status.oldest_queued_s is not None:
        words.append(f"the oldest waits {duration_text(status.oldest_queued_s)}")
    return words


def _wrap(words: Sequence[str], width: int) -> List[str]:
    """Return lines of as many words as fit. A word that is too long for a line is cut."""
    lines: List[str] = []
    for word in map(printable, words):
        longer = f"{lines[-1]} · {word}" if lines else word
        if lines and len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word if len(word) <= width else f"{word[: width - 1]}…")
    return lines


def bytes_text(count: float) -> str:
    """Return a size: `0 B`, `812 kB`, `3.1 GB`. Units are thousands, as in spool_limit_gb."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.1f} {unit}" if unit == "GB" and count < 100 else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


# --- tables ------------------------------------------------------------------------------------------


def _workers_table(
    workers: Sequence[WorkerStatus], jobs: Iterable[JobStatus], max_rows: Optional[int]
) -> List[RenderableType]:
    """Return the table of workers."""
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
                f"{worker.jobs[0]}{f' +{len(worker.jobs) - 1}' if worker.jobs[1:] else ''}" if worker.jobs else "",
                f"{job.progress.stage} {job.progress.done}/{job.progress.total}" if job and job.progress.stage else "",
            )
        )
    return _table(_WORKERS, rows, max_rows, "workers")


def _jobs_table(jobs: Sequence[JobStatus], width: int, max_rows: Optional[int]) -> List[RenderableType]:
    """Return the table of jobs."""
    columns = (*_JOBS, *(_JOBS_WIDE if width >= _WIDE else ()))
    cells = [{**job_cells(job), "pri": str(job.priority)} for job in jobs]
    return _table(columns, [[row[name] for name in columns] for row in cells], max_rows, "jobs")


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], max_rows: Optional[int], noun: str
) -> List[RenderableType]:
    """Return a table of at most `max_rows` lines with its head, and the number of rows left out."""
    if not rows:
        return [Text(f"no {noun}", style="dim")]
    shown = rows if max_rows is None or len(rows) < max_rows else rows[: max(1, max_rows - 2)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        justify: JustifyMethod = "right" if name in _RIGHT_ALIGNED else "left"
        table.add_column(name, no_wrap=True, justify=justify, min_width=_MIN_WIDTHS.get(name))
    for row in shown:
        table.add_row(*(Text(printable(cell)) for cell in row), style=_STYLES.get(row[1], ""))
    more = len(rows) - len(shown)
    return [table, Text(f"and {more} more {noun}", style="dim")] if more else [table]
