"""The boundary of the Python API: text and types become one job; wrong types and names are refused by name."""

from __future__ import annotations

import argparse
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import void_bridge
from tests.support.shots import COLOUR, write_matte, write_plate
from void_bridge.arguments import (
    check_flags,
    convert_callback,
    convert_config,
    convert_count,
    convert_frames,
    convert_job,
    convert_job_id,
    convert_options,
    convert_output,
)
from void_bridge.cli.job_options import add_job_options, job_from_arguments
from void_bridge.config import Config
from void_bridge.errors import ConfigError, FrameRangeError, InputError, MissingFrames, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, JobFile, MatteSource
from void_bridge.options import options_of
from void_bridge.protocol.messages import JobStatus
from void_bridge.resolution import Resolution
from void_bridge.sequence import Sequence
from void_bridge.typed import from_plain, to_plain

FRAMES = range(1001, 1005)
ARGUMENTS = ("plate", "output", "frames", "colorspace", "priority")


@pytest.fixture
def shot(tmp_path, monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)
    monkeypatch.chdir(tmp_path)
    write_plate(tmp_path / "plate", FRAMES, (8, 8))
    write_matte(tmp_path / "roto", FRAMES, np.ones((8, 8), np.float16))
    return tmp_path


def made(plate="plate/plate.####.exr", output="out", frames=None, colorspace=None, **options) -> Job:
    options.setdefault("remove", "roto/roto.####.exr:A")
    return convert_job(plate, output, frames, colorspace, options, Config(), others=ARGUMENTS)


def of_command_line(*words) -> Job:
    parser = argparse.ArgumentParser()
    add_job_options(parser)
    return job_from_arguments(parser.parse_args(["plate/plate.####.exr", "-o", "out", *words]), Config())


# --- frames ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ("1001-1004", "1001-1004"),
        (FrameRange.parse("-5--1"), "-5--1"),
        (7, "7"),
        (np.int64(7), "7"),
        (range(1, 10, 2), "1-9x2"),
        ([3, 1, 2, 2], "1-3"),
        ((frame for frame in (4, 5)), "4-5"),
        (np.arange(3), "0-2"),
    ],
)
def test_frames_are_text_numbers_or_a_range(frames, text):
    assert str(convert_frames(frames)) == text


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (3.5, "frames: got 3.5, expected a range such as '1001-1046', or whole numbers"),
        (True, "frames: got True, expected a range"),
        (None, "frames: got None, expected"),
        (b"1001", "frames: got b'1001', expected"),
        ([1001, 2.0], "frames: got 2.0, expected"),
        ([1001, "1002"], "frames: got '1002', expected"),
        (["1001-1004"], "frames: got '1001-1004', expected"),
        ([], "frames: got none, expected 1 to 100000"),
        (range(10**12), "frames: got 100001, expected 1 to 100000"),
        ("1001-", "cannot read frame range '1001-'"),
        (Fraction(3, 1), "frames: got Fraction"),
    ],
)
def test_other_frames_are_refused(frames, message):
    with pytest.raises(FrameRangeError) as caught:
        convert_frames(frames)
    assert message in str(caught.value)


# --- plate, mattes, output -------------------------------------------------------------------------


def test_text_and_types_make_the_same_job_as_the_command_line(shot):
    expected = of_command_line("--remove", "roto/roto.####.exr:A", "--frames", "1001-1003", "--canvas", "672x384")
    assert made(frames="1001-1003", canvas="672x384") == expected
    by_types = made(
        Sequence.parse("plate/plate.####.exr"),
        Path("out"),
        range(1001, 1004),
        remove=MatteSource("roto/roto.####.exr", "A"),
        canvas=Resolution(672, 384),
    )
    assert by_types == expected
    assert made(Path("plate/plate.####.exr"), frames=FrameRange(range(1001, 1004))) == expected


def test_defaults_are_those_of_the_command_line(shot):
    assert made() == of_command_line("--remove", "roto/roto.####.exr:A")
    assert made(remove=Path("roto/roto.####.exr")) == of_command_line("--remove", "roto/roto.####.exr")
    assert made(remove=Sequence.parse("roto/roto.####.exr")).remove == MatteSource(str(shot / "roto/roto.####.exr"))
    assert made(keep=None) == made()


def test_a_matte_is_inverted_where_it_is_named(shot):
    expected = of_command_line("--remove", "roto/roto.####.exr:A", "--invert-remove")
    assert made(remove=MatteSource("roto/roto.####.exr", "A", invert=True)) == expected


def test_a_job_or_its_file_is_a_plate(shot, monkeypatch):
    job = made(seed=5, frames=1002)
    JobFile(job.replace(plate="plate/plate.####.exr")).write(shot / "job.json")
    relative = Job("plate/plate.####.exr", job.frames, "out/a.####.exr", job.colour, MatteSource("roto/roto.####.exr"))
    options = {"frames": None, "colorspace": None, "config": Config()}
    found = convert_job(relative, None, options={"seed": 5}, **options)
    assert (found.plate, found.remove.sequence) == (job.plate, job.remove.sequence)
    assert (found.output, found.seed) == (str(shot / "out" / "a.####.exr"), 5)
    monkeypatch.chdir("/")
    assert convert_job(shot / "job.json", None, options={}, **options) == job
    assert convert_job(str(shot / "job.json"), None, options={"seed": 6}, **options) == job.replace(seed=6)
    assert convert_job(job, None, options={"quadmask": str(shot / "roto/roto.####.exr")}, **options).remove is None


def test_a_colour_needs_no_plate_to_be_read(shot):
    assert made(colorspace=COLOUR).colour == COLOUR
    assert made(colorspace="ACEScg", exposure=1).colour.exposure == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plate": 5}, "plate: got 5, expected files such as 'plate.####.exr', a job.json, a Sequence or a Job"),
        ({"plate": None}, "plate: got None, expected files"),
        ({"plate": b"plate.####.exr"}, "plate: got b'plate.####.exr', expected files"),
        ({"plate": ""}, "plate: got '', expected files"),
        ({"output": 5}, "output: got 5, expected a folder, or files such as 'clean.####.exr'"),
        ({"output": ["a", "b"]}, "output: got ['a', 'b'], expected"),
        ({"output": None}, "got no output"),
        ({"colorspace": 5}, "colorspace: got 5, expected the name of a colour space, or a Colour"),
        ({"colorspace": Colour(5, 5)}, "colorspace.space: got int 5, expected text"),
        ({"remove": 5}, "remove: got 5, expected files such as 'roto.####.exr:A', or a MatteSource"),
        ({"remove": ["roto.####.exr"]}, "remove: got ['roto.####.exr'], expected"),
        ({"remove": MatteSource(Path("roto.####.exr"), invert=1)}, "remove.invert: got int 1, expected true or false"),
        ({"remove": "roto/roto.####.exr:"}, "expected SEQ or SEQ:channel"),
        ({"remove": None}, "got no matte"),
    ],
)
def test_a_wrong_type_is_reported_with_the_name_of_the_argument(shot, arguments, message):
    with pytest.raises(UsageError) as caught:
        made(**arguments)
    assert message in str(caught.value)


def test_a_job_of_wrong_types_is_refused(shot):
    job = made()
    with pytest.raises(UsageError, match=r"plate\.frames: got float 3\.5, expected text"):
        made(job.replace(frames=3.5))
    assert made(job.replace(frames="1001-1002")).frames == FrameRange([1001, 1002])


def test_missing_frames_are_named_before_a_server_is_asked(shot):
    with pytest.raises(MissingFrames, match="missing 1005-1006"):
        made(frames="1001-1006")


# --- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("handles", 8, 8),
        ("handles", "8", 8),
        ("handles", np.int32(8), 8),
        ("threshold", 0.25, 0.25),
        ("threshold", np.float32(0.25), 0.25),
        ("guidance", None, None),
        ("guidance", "auto", None),
        ("guidance", 2, 2.0),
        ("exposure", -1, -1.0),
        ("grain", False, False),
        ("grain", "off", False),
        ("passes", 2, "2"),
        ("passes", "auto", "auto"),
        ("model_fps", 12, "12"),
        ("canvas", "672x384", "384x672"),
        ("canvas", Resolution(384, 672), "672x384"),
        ("prompt", "an empty sofa", "an empty sofa"),
        ("engine", "mine", "mine"),
    ],
)
def test_options_are_text_or_values(option, value, expected):
    (found,) = convert_options({option: value}).values()
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("handles", True, "handles: got True, expected a whole number, 0 to 10000"),
        ("handles", 3.5, "handles: got 3.5, expected a whole number, 0 to 10000"),
        ("handles", -1, "handles: got -1, expected 0 to 10000"),
        ("handles", None, "handles: got None, expected a whole number"),
        ("handles", [8], "handles: got [8], expected a whole number"),
        ("threshold", True, "threshold: got True, expected a number between 0 and 1"),
        ("threshold", 2, "threshold: got 2.0, expected a number between 0 and 1"),
        ("exposure", float("nan"), "exposure: got nan, expected auto, or -20 to 20 stops"),
        ("exposure", True, "exposure: got True, expected auto, or -20 to 20 stops"),
        ("grain", 1, "grain: got 1, expected True or False"),
        ("passes", 3, "passes: got 3, expected one of auto, 1, 2"),
        ("passes", True, "passes: got True, expected one of auto, 1, 2"),
        ("engine", 5, "engine: got 5, expected one of auto, propagate, void"),
        ("canvas", (672, 384), "canvas: got (672, 384), expected WIDTHxHEIGHT such as '672x384'"),
        ("prompt", 5, "prompt: got 5, expected text"),
        ("step_cache", None, "step_cache: got None, expected one of off, first-block"),
        ("feater", 2, "got an unknown option 'feater'; did you mean 'feather'?"),
        ("colourspace", "ACEScg", "got an unknown option 'colourspace'; did you mean 'colorspace'"),
        ("invert_remove", True, "got an unknown option 'invert_remove'; give remove=MatteSource(..., invert=True)"),
        ("invert_qqq", True, "got an unknown option 'invert_qqq'; docs/reference/options.md lists them"),
        ("qqq", 1, "got an unknown option 'qqq'; docs/reference/options.md lists them"),
    ],
)
def test_other_options_are_refused(option, value, message):
    with pytest.raises(UsageError) as caught:
        convert_options({option: value}, others=ARGUMENTS)
    assert message in str(caught.value)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.fractions(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.lists(st.integers(-5, 5) | st.text() | st.floats(), max_size=3),
    st.dictionaries(st.text(), st.integers(), max_size=2),
    st.sampled_from(
        [10**5000, -(10**5000), Fraction(10**5000), 1j, object(), Path("a"), FrameRange([1]), "auto", "\0"]
    ),
)


@given(name=st.sampled_from([each.name for each in options_of(Job)]), value=VALUES)
def test_any_value_of_an_option_is_converted_or_refused(name, value):
    try:
        values = convert_options({name: value})
        if not isinstance(values.get(name), MatteSource):
            values["remove"] = MatteSource("roto.####.exr")
        exposure = values.pop("exposure", None)
        job = Job("p.####.exr", FrameRange([1]), "o.####.exr", replace(COLOUR, exposure=exposure), **values)
        assert from_plain(Job, msgpack.unpackb(msgpack.packb(to_plain(job)))) == job
    except UsageError as error:
        assert error.message


@given(value=VALUES)
def test_any_frames_job_or_colour_are_converted_or_refused(value):
    for convert in (convert_frames, convert_job_id, convert_output):
        try:
            convert(value)
        except (UsageError, InputError) as error:
            assert error.message
    for arguments in ({"plate": value}, {"colorspace": value}, {"output": value}):
        given = {"plate": "none.####.exr", "output": "out", "frames": 1, "colorspace": COLOUR, **arguments}
        with pytest.raises((UsageError, InputError)):
            convert_job(**given, options={"remove": "none.####.exr"}, config=Config())


# --- the rest --------------------------------------------------------------------------------------


def test_settings_are_added_to_the_configuration(monkeypatch, tmp_path):
    assert convert_config(Config(priority=10), connect="tcp://gpu1:5570", priority=None) == Config(
        connect="tcp://gpu1:5570", priority=10
    )
    monkeypatch.setenv("VOID_BRIDGE_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("VOID_BRIDGE_PRIORITY", "30")
    assert convert_config(None, transport="inline").replace(transport="auto").priority == 30


@pytest.mark.parametrize("config", [None, Config()])
def test_text_of_a_setting_is_read_as_in_the_environment(config):
    found = convert_config(config, priority="5", autostart="off", connect="tcp://gpu1:5570")
    assert (found.priority, found.autostart, found.connect) == (5, False, "tcp://gpu1:5570")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"priority": True}, "arguments: priority: got True, expected a whole number"),
        ({"priority": "high"}, "arguments: priority: got str 'high', expected a whole number"),
        ({"priority": 200}, "got priority 200, expected 0 to 100"),
        ({"transport": "fast"}, "arguments: transport: got 'fast', expected one of auto, inline, path"),
        ({"autostart": 1}, "arguments: autostart: got int 1, expected true or false"),
        ({"connect": 5570}, "arguments: connect: got int 5570, expected text"),
    ],
)
@pytest.mark.parametrize("config", [None, Config()])
def test_wrong_settings_are_refused(config, settings, message):
    with pytest.raises(ConfigError) as caught:
        convert_config(config, **settings)
    assert message in str(caught.value)


def test_a_job_is_an_id_its_file_or_its_status(tmp_path):
    job = Job("p.####.exr", FrameRange([1]), "o.####.exr", COLOUR, MatteSource("m.exr"))
    JobFile(job, "abc").write(tmp_path / "job.json")
    assert convert_job_id("abc") == "abc"
    assert convert_job_id(tmp_path / "job.json") == convert_job_id(str(tmp_path / "job.json")) == "abc"
    assert convert_job_id(tmp_path) == convert_job_id(f"{tmp_path}/") == "abc"
    assert convert_job_id("x" * 300) == "x" * 300
    assert convert_job_id(JobStatus("abc", "done", "propagate", 1, 1)) == "abc"
    with pytest.raises(UsageError, match=r"job: got 5, expected a job's id, a job\.json, its folder or a JobStatus"):
        convert_job_id(5)
    with pytest.raises(InputError, match="cannot read"):
        convert_job_id(tmp_path / "no" / "job.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"cannot read .*empty/job\.json"):
        convert_job_id(tmp_path / "empty")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_flags(wait=1), "wait: got 1, expected True or False"),
        (lambda: convert_count("limit", True), "limit: got True, expected a whole number from 1"),
        (lambda: convert_count("limit", 0), "limit: got 0, expected a whole number from 1"),
        (lambda: convert_callback("on_progress", "print"), "on_progress: got 'print', expected a function"),
        (lambda: convert_config({"priority": 5}), "config: got {'priority': 5}, expected a Config"),
        (lambda: convert_output(""), "output: got '', expected a folder"),
    ],
)
def test_other_arguments_of_wrong_types_are_refused(call, message):
    with pytest.raises(UsageError) as caught:
        call()
    assert message in str(caught.value)


def test_every_public_name_is_found_in_the_package():
    assert set(void_bridge.__all__) <= set(dir(void_bridge))
    for name in void_bridge.__all__:
        assert getattr(void_bridge, name) is not None
    with pytest.raises(AttributeError, match="module 'void_bridge' has no attribute 'remoev'"):
        void_bridge.remoev  # noqa: B018
