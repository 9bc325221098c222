"""The worked example of hooks, called as the configuration names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from void_bridge.config import Config
from void_bridge.errors import Refused
from void_bridge.frames import FrameRange
from void_bridge.hooks import announce_result, prepare_job
from void_bridge.job import Colour, Job, MatteSource

HOOKS = Config(
    resolve_output="examples.hooks:resolve_output",
    before_submit="examples.hooks:before_submit",
    after_result="examples.hooks:after_result",
)


def job(frames="1-10", handles=0):
    matte = MatteSource("roto.####.exr")
    colour = Colour("ACEScg", "x")
    return Job("/shot/plate/p.####.exr", FrameRange.parse(frames), "", colour, remove=matte, handles=handles)


def test_the_hooks_name_the_output_and_add_handles():
    prepared = prepare_job(job(), HOOKS)
    assert (Path(prepared.output), prepared.handles) == (Path("/shot/clean/p.####.exr"), 8)
    assert prepare_job(job(handles=20), HOOKS).handles == 20


def test_a_hook_refuses_a_long_job():
    with pytest.raises(Refused, match="got 501 frames, expected at most 500"):
        prepare_job(job("1-501"), HOOKS)


def test_a_hook_takes_note_of_a_result(tmp_path):
    announce_result(job().replace(output="clean.####.exr"), [tmp_path / "clean.0001.exr"], {}, HOOKS)
    assert (tmp_path / "delivered.txt").read_text() == "clean.####.exr: 1 frames\n"
