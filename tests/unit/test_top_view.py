"""The view of `void-bridge top` on terminals of several sizes."""

from __future__ import annotations

import pytest
from rich.console import Console

from void_bridge.cli.jobs import jobs_table
from void_bridge.cli.top_view import TopView, bytes_text, render, sort_jobs
from void_bridge.protocol.messages import JobStatus, Progress, ServerStatus, SpoolStatus, Welcome, WorkerStatus

WELCOME = Welcome("1.1", "void-bridge 0.1.0", "here", "anna@gpu1", "tcp://*:5571", 4, 5)
RUNS = JobStatus(
    "8826d4bf19e6", "running", "void", 120, 37, "anna", created=50.0, progress=Progress("flow", 7, 46, 130)
)
WAITS = JobStatus("3b1f00000001", "queued", "auto", 8, 0, "ben", created=60.0)
URGENT = JobStatus("3b1f00000002", "queued", "auto", 8, 0, "eve", priority=90, created=70.0)
OLD = tuple(JobStatus(f"d{n:011}", "done", "auto", 4, 4, "anna", created=float(n)) for n in range(20))
WORKERS = (
    WorkerStatus(0, "running", 11, "cuda:0", "void", ("8826d4bf19e6", "d00000000019"), 0.2, 12_100_000_000, 3),
    WorkerStatus(1, "idle", 12, "cpu", silent_s=9.0, resident_bytes=81_000_000),
    WorkerStatus(2, "stopped"),
)
STATUS = ServerStatus(
    started=0.0,
    seconds=90_061.0,
    pid=10,
    resident_bytes=212_000_000,
    spool=SpoolStatus(12_300_000_000, 50_000_000_000, 120_000_000_000),
    jobs={"running": 1, "queued": 2, "done": 20, "failed": 0},
    workers=WORKERS,
    oldest_queued_s=320.0,
    clients=2,
)
VIEW = TopView(WELCOME, STATUS, (*OLD, WAITS, RUNS, URGENT))


def drawn(view, width=80, height=None):
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(render(view, width, height))
    return captured.get().splitlines()


def row(lines, first):
    return next(line.split() for line in lines if line.startswith(first))


def test_the_first_lines_give_the_servers_status():
    head = " · ".join(line.strip() for line in drawn(VIEW)[:3])
    assert head == (
        "void-bridge 0.1.0 on anna@gpu1 · up 25:01:01 · 212 MB of memory · 2 clients · "
        "spool 12.3 GB of 50.0 GB, 120 GB free · 1 running, 2 queued, 20 done · the oldest waits 5:20"
    )


def test_each_worker_has_a_row():
    lines = drawn(VIEW)
    assert row(lines, "0 ") == [
        "0",
        "running",
        "cuda:0",
        "void",
        "12.1",
        "GB",
        "3",
        "8826d4bf19e6",
        "+1",
        "flow",
        "7/46",
    ]
    assert row(lines, "1 ") == ["1", "idle", "cpu", "81", "MB"]
    assert row(lines, "2 ") == ["2", "stopped"]


def test_running_jobs_come_first_then_queued_then_the_newest():
    lines = drawn(VIEW)
    assert row(lines, RUNS.id) == [RUNS.id, "running", "flow", "7/46", "37/120", "2:10", "50", "anna"]
    assert [line[:12] for line in lines[-23:]] == [RUNS.id, URGENT.id, WAITS.id, *(job.id for job in OLD[::-1])]


def test_queued_jobs_are_in_the_order_of_the_queue():
    assert sort_jobs([WAITS, URGENT]) == [URGENT, WAITS]
    assert sort_jobs([RUNS, *OLD])[0] is RUNS


@pytest.mark.parametrize("width", [40, 60, 80, 110, 200])
@pytest.mark.parametrize("height", [12, 24, 60])
def test_the_view_fits_the_terminal(width, height):
    lines = drawn(VIEW, width, height)
    assert max(map(len, lines)) <= width
    if width >= 60:
        assert len(lines) <= height
        assert any(line.startswith(RUNS.id) for line in lines)


def test_rows_that_do_not_fit_are_counted():
    lines = drawn(VIEW, 80, 14)
    jobs = [line for line in lines if line[:12] in {job.id for job in VIEW.jobs}]
    assert f"and {23 - len(jobs)} more jobs" in lines
    assert len(lines) == 14 and len(jobs) >= 2


def test_many_workers_leave_room_for_jobs():
    crowd = tuple(WorkerStatus(index, "idle", 100 + index) for index in range(64))
    lines = drawn(TopView(WELCOME, ServerStatus(0, 1, 1, 1, SpoolStatus(0), {}, crowd), VIEW.jobs), 80, 24)
    assert len(lines) <= 24
    assert any(line.startswith(RUNS.id) for line in lines)
    assert any("more workers" in line for line in lines)


def test_a_lost_server_is_a_warning_above_its_last_status():
    lines = drawn(TopView(WELCOME, STATUS, VIEW.jobs, ("waiting for the server, for 0:12", "no answer")), 80, 24)
    assert "waiting for the server, for 0:12 · no answer" in lines
    assert len(lines) <= 24 and any(line.startswith(RUNS.id) for line in lines)


def test_an_older_server_shows_its_jobs():
    lines = drawn(TopView(WELCOME, None, (RUNS,)))
    assert "older than protocol 1.1" in " ".join(lines[:2])
    assert row(lines, RUNS.id)[1] == "running"


def test_a_disk_that_does_not_answer_is_reported():
    lines = drawn(TopView(WELCOME, ServerStatus(0, 1, 1, 1, SpoolStatus(5_000, 0, None), {}), ()))
    assert "spool 5 kB, its disk does not respond" in " ".join(lines)
    assert "no jobs" in lines


HOSTILE = JobStatus("a" * 12, "queued", "auto", 1, 0, user="[/x][red]\x1b[2J\nroot")


def test_names_of_clients_are_neither_control_codes_nor_markup():
    console = Console(width=120, force_terminal=True, color_system="truecolor")
    for drawing in (render(TopView(WELCOME, STATUS, (HOSTILE,)), 120), jobs_table((HOSTILE,), 120)):
        with console.capture() as captured:
            console.print(drawing)
        assert "[/x][red]�[2J�root" in captured.get()
        assert "\x1b[2J" not in captured.get()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (81_400_000, "81 MB"), (999_600_000, "1.0 GB"), (5.2e12, "5.2 TB")],
)
def test_bytes_are_readable(count, text):
    assert bytes_text(count) == text
