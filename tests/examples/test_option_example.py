"""The worked example of an option: one declaration, and the command line, the panels, the job and the pages have it."""

from __future__ import annotations

import argparse
import subprocess
import sys

import numpy as np
import pytest

from examples.option import SharpenedJob
from host_plugins.control.settings import setting_specs, settings_from
from tests.support.live_server import DEADLINE_S, REPOSITORY
from tests.support.shots import write_matte, write_plate
from tools.write_options import lua_list, options_page, protocol_rows
from void_bridge.cli.job_options import add_job_options, job_from_arguments
from void_bridge.config import Config
from void_bridge.errors import UsageError
from void_bridge.job import Colour, MatteSource
from void_bridge.options import options_of
from void_bridge.typed import from_plain, to_plain

SHOT = {
    "plate": "p.####.exr",
    "frames": "1",
    "output": "",
    "colour": {"space": "", "config": ""},
    "remove": {"sequence": "m.exr"},
}


def test_the_example_prints_the_option_wherever_it_is_found():
    command = [sys.executable, "-m", "examples.option"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "--sharpen X           sharpen the patch by so much (default: 0)",
        "sharpen: a number from 0 to 2. Sharpen what the engine made; 0 leaves it as it is.",
        "job.sharpen is 0.5",
        "| `--sharpen X` | sharpen the patch by so much"
        '<br><span class="detail">0 to 2; default 0; engine void; in panels *sharpen*</span> |',
    ]


def test_the_command_line_makes_a_job_with_it(tmp_path):
    write_plate(tmp_path / "plate", [1001], (16, 24))
    write_matte(tmp_path / "roto", [1001], np.ones((16, 24), np.float16))
    parser = argparse.ArgumentParser()
    add_job_options(parser, SharpenedJob)
    words = [str(tmp_path / "plate/plate.####.exr"), "-o", str(tmp_path / "out"), "--sharpen", "1.5"]
    words += ["--remove", str(tmp_path / "roto/roto.####.exr"), "--colorspace", "ACEScg", "--exposure", "0"]
    assert job_from_arguments(parser.parse_args(words), Config(), SharpenedJob).sharpen == 1.5


def test_a_panel_holds_it_to_the_same_limits_as_the_job():
    (spec,) = (spec for spec in setting_specs("remove", SharpenedJob) if spec.name == "sharpen")
    assert (spec.kind, spec.default, spec.low, spec.high, spec.group) == ("number", 0.0, 0, 2, "Pixels")
    with pytest.raises(UsageError, match=r"sharpen: got 3, expected 0 to 2"):
        settings_from({"sharpen": 3}, SharpenedJob)
    with pytest.raises(UsageError, match=r"sharpen: got 3.0, expected 0 to 2"):
        SharpenedJob("p", None, "", Colour("", ""), MatteSource("m"), sharpen=3.0)


def test_files_and_messages_hold_it():
    job = from_plain(SharpenedJob, {**SHOT, "sharpen": 1})
    assert job.sharpen == 1.0 and to_plain(job)["sharpen"] == 1.0
    assert from_plain(SharpenedJob, SHOT).sharpen == 0.0


def test_the_pages_and_the_lua_script_get_their_lines():
    assert options_page(SharpenedJob).count("--sharpen") == 1
    assert '{ name = "sharpen", flag = "--sharpen", label = "sharpen", default = 0.0 },' in lua_list(SharpenedJob)
    page = (REPOSITORY / "docs/reference/protocol.md").read_text(encoding="utf-8")
    section = page.partition("### `Job`\n")[2].partition("### ")[0]
    assert "| `sharpen` | float | `0.0` | sharpen the patch by so much |" in protocol_rows(section, SharpenedJob)
    assert len(protocol_rows(section, SharpenedJob).splitlines()) == len(section.splitlines()) + 1


def test_nothing_else_differs():
    assert [each.name for each in options_of(SharpenedJob) if each.name != "sharpen"] == [
        each.name for each in options_of(SharpenedJob.__base__)
    ]
