"""The settings of a farm submission: kept beside the script, listed before it is sent, and turned into one command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from host_plugins.control.job_follower import FarmJobStatus
from host_plugins.farm import host_submission
from host_plugins.farm.backends import farm_names
from host_plugins.farm.host_submission import check_saved, check_seen, farm_status, listing, submit_words
from host_plugins.farm.options import CompRender
from host_plugins.farm.settings import (
    EVERY,
    FARMS,
    FarmSettings,
    farm_settings_from,
    farm_specs,
    from_sticky_text,
    read_sticky,
    sticky_file,
    with_valid_values,
    write_sticky,
)
from host_plugins.farm.status_files import SubmissionRecord, TaskState, write_submission, write_task
from tests.support.client_jobs import make_job
from void_bridge.config import Config
from void_bridge.errors import InputError, MissingFrames, OutputError, UsageError
from void_bridge.frames import FrameRange

ASKED = FarmSettings(EVERY, "deadline-cloud", "gpu", 80, 48.0, 10, "wire removal", True, "Write1")


@pytest.fixture
def script(tmp_path):
    return tmp_path / "sh010 comp.v1.nk"


def test_settings_stick_to_the_script(script):
    assert read_sticky(script, Config()) == FarmSettings()
    write_sticky(script, ASKED)
    assert sticky_file(script).name == "sh010 comp.v1.void_bridge_farm.json"
    assert read_sticky(script, Config()) == ASKED
    assert [path.name for path in script.parent.iterdir()] == [sticky_file(script).name]


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "null", '{"priority": "high"}', '{"colour": "red"}', "\x00"])
def test_what_cannot_be_read_counts_as_nothing(script, text):
    sticky_file(script).write_text(text)
    assert read_sticky(script, Config()) == FarmSettings()
    assert from_sticky_text(text, Config(farm="opencue")) == FarmSettings(farm="opencue")


def test_bytes_that_are_no_text_count_as_nothing(script):
    sticky_file(script).write_bytes(b"\xff\xfe{")
    assert read_sticky(script, Config()) == FarmSettings()


def test_of_a_file_with_one_wrong_value_the_rest_is_kept(script):
    sticky_file(script).write_text(json.dumps({"pool": "gpu", "priority": 101, "farm": "sheep", "chunk": 5}))
    assert read_sticky(script, Config()) == FarmSettings(pool="gpu", chunk=5)


def test_settings_that_cannot_be_stored_are_logged(tmp_path, caplog):
    (tmp_path / "file").touch()
    write_sticky(tmp_path / "file" / "shot.nk", ASKED)
    assert "cannot store the farm's settings" in caplog.text


def test_the_site_says_which_farm_comes_first_also_one_of_its_own(script):
    assert farm_settings_from({}, Config(farm="deadline10")).farm == "deadline10"
    site = Config(farm="our-farm")
    (spec,) = [spec for spec in farm_specs(site, "this", "every") if spec.name == "farm"]
    assert [value for value, _ in spec.choices] == [*FARMS, "our-farm"]
    assert set(FARMS) == set(farm_names()), "hosts cannot see what is registered"
    assert farm_settings_from({}, site).farm == "our-farm"
    write_sticky(script, farm_settings_from({}, site))
    assert read_sticky(script, Config()).farm == FARMS[0], "a farm that is gone"


def test_only_hosts_with_comps_to_render_are_asked_about_them():
    names = [spec.name for spec in farm_specs(Config(), "this plate", "every plate")]
    assert names == ["shots", "farm", "pool", "priority", "gpu_memory", "chunk", "comment"]
    assert [spec.name for spec in farm_specs(Config(), "", "", comp=True)] == [*names, "comp", "write"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("priority", 101, "priority: got 101, expected 0 to 100"),
        ("priority", "high", "priority: got 'high', expected 0 to 100"),
        ("gpu_memory", "-1", "expected 0 to 1024"),
        ("gpu_memory", "nan", "expected 0 to 1024"),
        ("gpu_memory", "24GB", "expected 0 to 1024"),
        ("chunk", "-5", "expected 0 to 1000000"),
        ("farm", "openjb", "expected one of openjd"),
        ("shot", "all", "did you mean 'shots'"),
    ],
)
def test_what_makes_no_sense_is_said(name, value, words):
    with pytest.raises(UsageError, match=words):
        farm_settings_from({name: value}, Config())


def test_a_dialog_that_is_shown_again_keeps_what_made_sense():
    values = {"pool": "gpu", "priority": "high", "chunk": "12"}
    assert with_valid_values(ASKED, values, Config()) == FarmSettings(
        EVERY, "deadline-cloud", "gpu", 80, 48.0, 12, "wire removal", True, "Write1"
    )


def test_a_script_has_to_be_saved(tmp_path):
    assert check_saved(str(tmp_path / "a.nk"), False) == tmp_path / "a.nk"
    with pytest.raises(UsageError, match="save the script first"):
        check_saved("Root", False)
    with pytest.raises(UsageError, match="unsaved changes; save it"):
        check_saved(str(tmp_path / "a.nk"), True)


def test_the_command_says_all_that_was_asked():
    files = [Path("/p/a b/job.json"), Path("/p/ü/job.json")]
    comp = CompRender("/p/sh010.nk", FrameRange.parse("1001-1010"), "Write1")
    assert submit_words(files, ASKED, comp) == [
        *("farm", "submit", str(files[0]), str(files[1]), "--to=deadline-cloud", "--priority=80", "--gpus=1"),
        *("--chunk=10", "--gpu-memory=48", "--pool=gpu", "--comment=wire removal"),
        *("--then-comp=/p/sh010.nk", "--comp-frames=1001-1010", "--comp-write=Write1", "--detach"),
    ]


def test_the_real_command_reads_it():
    """Include values that begin with a dash; without a GPU there is no GPU memory."""
    from host_plugins.farm.command import COMMAND
    from void_bridge.cli.command import Parser

    parser = Parser(prog="void-bridge farm")
    COMMAND.configure(parser)
    asked = FarmSettings(farm="opencue", pool="-all-", gpu_memory=0.0, comment="--urgent-- do it")
    comp = CompRender("/p/sh010.nk", FrameRange.parse("-5--1"))
    read = parser.parse_args([*submit_words([Path("/p/job.json")], asked, comp)[1:], "--json"])
    assert (read.to, read.pool, read.gpus, read.comment) == ("opencue", "-all-", 0, "--urgent-- do it")
    assert (read.then_comp, read.comp_frames, read.comp_write) == ("/p/sh010.nk", "-5--1", "")
    assert read.detach and read.json and read.jobs == ["/p/job.json"]


def test_the_list_says_what_is_read_and_written(tmp_path):
    jobs = [
        make_job(tmp_path, "one/sh010.####.exr").replace(engine="propagate"),
        make_job(tmp_path, "two/sh020.####.exr"),
    ]
    comp = CompRender(str(tmp_path / "sh010.nk"), FrameRange.parse("1001-1004"))
    text = listing(jobs, FarmSettings(farm="deadline-cloud", pool="gpu", chunk=2), Config(), comp)
    lines = text.splitlines()
    assert lines[0] == "2 shots, 3 tasks, for deadline-cloud, gpu"
    assert lines[2:4] == ["sh010: propagate, 1001-1004", "sh020: void, 1001-1004"]
    assert lines[5].startswith("4 files, ") and lines[6] == f"  4 in {tmp_path / 'plate'}"
    assert lines[8:10] == [f"  {tmp_path / 'one'}", f"  {tmp_path / 'two'}"]
    assert lines[-1] == "Then sh010.nk is rendered: 1001-1004, every Write."


def test_the_list_finds_what_is_wrong(tmp_path):
    job = make_job(tmp_path)
    with pytest.raises(MissingFrames):
        listing([job.replace(frames=FrameRange.parse("1001-1009"))], FarmSettings(), Config())
    with pytest.raises(OutputError, match="would both write to"):
        listing([job, job.replace(output=str(tmp_path / "out" / "b.####.exr"))], FarmSettings(), Config())
    with pytest.raises(InputError, match="farm's workers see"):
        listing([job], FarmSettings(), Config(farm_roots=(str(tmp_path / "plate"),)))


def test_what_the_farm_does_not_see_is_said_with_what_to_do(tmp_path):
    job = make_job(tmp_path, "out/clean.####.exr")
    roto = tmp_path / "roto" / "roto.####.exr"
    job = job.replace(remove=type(job.remove)(str(roto), "A"))

    def said(*roots, job=job):
        check_seen(job, Config(farm_roots=tuple(str(tmp_path / root) for root in roots)), "turn it off")

    said()
    said("plate", "out", "roto")
    with pytest.raises(InputError, match=f"do not see {tmp_path / 'out'}.*choose an output folder"):
        said("plate", "roto")
    with pytest.raises(InputError, match=f"do not see {tmp_path / 'plate'}.*turn it off"):
        said("out", "roto")
    with pytest.raises(InputError, match=f"do not see {roto}.*farm_scratch"):
        said("out", "plate")
    with pytest.raises(InputError, match="move the OCIO config"):
        ours = job.colour.__class__("ACEScg", str(tmp_path / "ocio" / "config.ocio"))
        said("out", "plate", "roto", job=job.replace(colour=ours))


def test_the_status_of_a_farm_job_is_read_from_files_next_to_its_frames(tmp_path):
    assert farm_status(tmp_path) == FarmJobStatus()
    write_submission(tmp_path, SubmissionRecord("opencue", "5", "void", "/b", "sh010", ("1001-1004", "1005-1008")))
    assert farm_status(tmp_path) == FarmJobStatus("opencue 5", "0 of 3 tasks done")
    write_task(tmp_path, TaskState("1001-1004", "done", 100.0))
    write_task(tmp_path, TaskState("1005-1008", "running", 42.0))
    assert farm_status(tmp_path) == FarmJobStatus("opencue 5", "1 of 3 tasks done, 1 running (42 %)")
    write_task(tmp_path, TaskState("1005-1008", "failed", 42.0, "no server answers", "farm07"))
    assert farm_status(tmp_path).line == "1 of 3 tasks done, 1 failed: 1005-1008 on farm07: no server answers"


def test_a_farm_that_gives_no_number_is_known_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(host_submission, "run_command", lambda config, words: {"farm": "deadline10", "farm_job": ""})
    assert host_submission.submitter(FarmSettings())([tmp_path / "job.json"]).farm == "deadline10"
