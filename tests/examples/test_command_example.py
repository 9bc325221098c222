"""The worked example of a command: registered by a package, it lists missing frames."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

from tests.support.shots import make_job, write_plate
from void_bridge.cli import main as program
from void_bridge.job import JobFile


@pytest.fixture
def result(tmp_path, monkeypatch):
    """Return the job.json of a result that lacks frame 1003, where the command is registered."""
    entry = EntryPoint("missing", "examples.command:COMMAND", program.GROUP)
    monkeypatch.setattr(program, "find_entry_points", lambda group: {"missing": entry})
    output = write_plate(tmp_path / "clean", [1001, 1002], (8, 8))
    path = tmp_path / "clean" / "job.json"
    JobFile(make_job("plate.####.exr", range(1001, 1004), "roto.####.exr").replace(output=str(output))).write(path)
    return path


def test_it_lists_the_missing_frames(result, capsys):
    assert program.main(["missing", str(result)]) == 1
    assert capsys.readouterr().out == "1003\n"


def test_it_ends_with_a_line_of_json(result, capsys):
    assert program.main(["missing", str(result), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"missing": "1003"}
