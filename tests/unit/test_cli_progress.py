from __future__ import annotations

import io

import pytest
from rich.console import Console

from void_bridge.cli.jobs import jobs_table
from void_bridge.cli.progress import ProgressView, progress_view
from void_bridge.client.formatting import duration_text, report_lines, status_text, step_text
from void_bridge.errors import InputError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, JobFile, MatteSource
from void_bridge.job_request import parse_job_id
from void_bridge.protocol.messages import JobStatus, Progress


def status(state="running", frames_done=0, **progress) -> JobStatus:
    return JobStatus(
        "abc", state, "propagate", 46, frames_done, user="anna", seconds=61.0, progress=Progress(**progress)
    )


def test_a_status_becomes_a_line_of_text():
    running = status(frames_done=3, stage="flow", done=12, total=45, seconds_left=130.4)
    assert status_text(running) == "running: flow 12/45, 3 of 46 frames, 2:10 left"
    assert status_text(status("queued")) == "queued, 0 of 46 frames"


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (750, "12:30"), (7205, "2:00:05")])
def test_durations_are_hours_minutes_and_seconds(seconds, text):
    assert duration_text(seconds) == text


def test_the_clients_own_steps_become_a_line_of_text():
    assert step_text("hash", 3, 92) == "hash 3 of 92 files"
    assert step_text("send", 12_500_000, 40_000_000) == "send 12.5 of 40.0 MB"


def test_a_pipe_gets_one_line_a_stage_without_control_codes(capsys):
    view = progress_view()
    assert type(view) is ProgressView
    with view:
        view.show_step("hash", 0, 2)
        view.show_step("hash", 1, 2)
        for done in range(5):
            view.show(status(stage="flow", done=done, total=5))
        view.show(status("done", frames_done=46))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["hash 0 of 2 files", "running: flow 0/5, 0 of 46 frames", "done, 46 of 46 frames"]


def test_a_terminal_gets_bars(monkeypatch):
    from void_bridge.cli import progress

    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=100))
    with progress_view() as view:
        view.show_step("send", 1, 2)
        view.show(status(frames_done=12, stage="flow", done=12, total=45, seconds_left=130.0))
    shown = screen.getvalue()
    assert "12/46, 2:10 left" in shown
    assert "flow" in shown


@pytest.mark.parametrize(("width", "columns"), [(80, 8), (200, 10)])
def test_a_table_of_jobs_has_fewer_columns_on_a_narrow_terminal(width, columns):
    console = Console(file=io.StringIO(), width=width)
    running = status(frames_done=3, stage="flow", done=12, total=45, seconds_left=130.0)
    console.print(jobs_table((running,), width))
    head, row = console.file.getvalue().splitlines()
    assert len(head.split()) == columns
    cells = ["abc", "running", "flow", "12/45", "3/46", "1:01", "2:10", "propagate", "anna", "50"]
    assert row.split()[:10] == cells[: columns + 1]


def test_a_report_becomes_lines_of_text():
    assert report_lines({"seen_share": 0.934, "synthesised_share": 0.066, "warnings": ["the matte is empty"]}) == [
        "93.4% of the hidden pixels were seen in other frames, the rest is generated",
        "warning: the matte is empty",
    ]
    assert report_lines({"seen_share": 0.0, "synthesised_share": 0.0}) == []
    assert report_lines({}) == []


def test_a_job_is_named_by_id_or_file(tmp_path):
    job = Job("p.####.exr", FrameRange([1]), "o.####.exr", Colour("ACEScg", "x"), remove=MatteSource("r.####.exr"))
    JobFile(job, "abc123").write(tmp_path / "job.json")
    assert parse_job_id("abc123") == "abc123"
    assert parse_job_id(str(tmp_path / "job.json")) == parse_job_id(str(tmp_path)) == "abc123"
    JobFile(job).write(tmp_path / "job.json")
    with pytest.raises(UsageError, match="has not been submitted"):
        parse_job_id(str(tmp_path / "job.json"))
    with pytest.raises(InputError, match=r"cannot read .*missing.json"):
        parse_job_id(str(tmp_path / "missing.json"))
