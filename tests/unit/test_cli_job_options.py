from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.shots import write_matte, write_plate
from void_bridge.cli.job_options import add_job_options, job_from_arguments
from void_bridge.cli.main import main
from void_bridge.client.inputs import input_paths, possible_output_frames
from void_bridge.config import Config
from void_bridge.errors import (
    ColourError,
    InputError,
    MissingFrames,
    NoServer,
    NoSuchChannel,
    OutputError,
    SizeMismatch,
    UnreadableFile,
    UsageError,
)
from void_bridge.frames import FrameRange
from void_bridge.job import Job, JobFile, MatteSource
from void_bridge.pixels.box import Box

FRAMES = range(1001, 1009)
SHAPE = (16, 24)


@pytest.fixture
def shot(tmp_path, monkeypatch):
    """A plate of 1001-1008 and roto of 1002-1007 in the current folder."""
    monkeypatch.delenv("OCIO", raising=False)
    monkeypatch.chdir(tmp_path)
    write_plate(tmp_path / "plate", FRAMES, SHAPE)
    write_matte(tmp_path / "roto", range(1002, 1008), np.ones(SHAPE, np.float16), channel="void_bridge.remove")
    return tmp_path


def job_of(*words, plate="plate/plate.####.exr", output="out", config=None) -> Job:
    parser = argparse.ArgumentParser()
    add_job_options(parser)
    output_words = ("-o", output) if output else ()
    return job_from_arguments(parser.parse_args([plate, *output_words, *words]), config or Config())


ROTO = ("--remove", "roto/roto.####.exr", "--frames", "1002-1007")


def test_paths_are_absolute_and_defaults_those_of_a_job(shot):
    job = job_of(*ROTO)
    assert job.plate == str(shot / "plate" / "plate.####.exr")
    assert job.output == str(shot / "out" / "plate_void.####.exr")
    assert job.remove == MatteSource(str(shot / "roto" / "roto.####.exr"))
    assert job.frames == FrameRange(range(1002, 1008))
    assert (job.feather, job.engine, job.grain, job.handles) == (4, "auto", True, 0)


def test_every_option_reaches_the_job(shot):
    roto = "roto/roto.####.exr:void_bridge.remove"
    words = (
        f"--remove {roto} --affected {roto} --keep {roto} --exclude {roto} --invert-keep "
        "--frames 1003-1005 --handles 1 --deliver-handles --engine propagate --prompt grass --passes 2 --fill hybrid "
        "--seed 9 --threshold 0.25 --condition-dilate 3 --dilate 2 --feather 0 --paste snapped --grain off "
        "--canvas 336x192 --confidence --exposure -1.5 --colorspace ACEScg"
    )
    job = job_of(*words.split())
    matte = MatteSource(str(shot / "roto" / "roto.####.exr"), "void_bridge.remove")
    assert (job.remove, job.affected, job.exclude) == (matte, matte, matte)
    assert job.keep == MatteSource(matte.sequence, matte.channel, invert=True)
    assert (job.handles, job.deliver_handles, job.engine, job.prompt) == (1, True, "propagate", "grass")
    assert (job.passes, job.fill, job.seed, job.threshold, job.condition_dilate) == ("2", "hybrid", 9, 0.25, 3)
    assert (job.dilate, job.feather, job.paste, job.grain, job.canvas) == (2, 0, "snapped", False, "192x336")
    assert (job.confidence, job.colour.exposure, job.colour.space) == (True, -1.5, "ACEScg")


def test_a_canvas_of_a_job_file_is_said_in_words(shot, capsys, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(shot / "run"))
    JobFile(job_of(*ROTO, "--canvas", "384wx672h")).write(shot / "kept" / "job.json")
    assert main(["remove", "kept/job.json", "-o", "out", "--no-autostart"]) == NoServer.exit_code
    assert "canvas 384 wide and 672 high" in capsys.readouterr().err


def test_a_given_canvas_is_said_in_words(shot, capsys, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(shot / "run"))
    words = ["remove", "plate/plate.####.exr", "-o", "out", *ROTO, "--canvas", "336x192", "--no-autostart"]
    assert main(words) == NoServer.exit_code
    assert "canvas 336 wide and 192 high" in capsys.readouterr().err


def test_frames_default_to_those_on_disk(shot):
    write_matte(shot / "full", FRAMES, np.ones(SHAPE, np.float16))
    assert job_of("--remove", "full/roto.####.exr").frames == FrameRange(FRAMES)


def test_frames_named_in_the_pattern_count(shot):
    assert job_of(*ROTO[:2], plate="plate/plate.1003-1004#.exr").frames == FrameRange([1003, 1004])


def test_handles_are_read_where_plate_and_mattes_have_them(shot):
    job = job_of(*ROTO[:2], "--frames", "1004-1005", "--handles", "5")
    read = input_paths(job)
    assert [Path(path).name for path in read[:6]] == [f"plate.{frame}.exr" for frame in range(1002, 1008)]
    assert len(read) == 12
    assert possible_output_frames(job) == job.frames
    assert possible_output_frames(job.replace(deliver_handles=True)) == FrameRange(range(999, 1011))


def test_a_file_that_holds_plate_and_matte_is_read_once(shot):
    assert len(input_paths(job_of("--remove", "plate/plate.####.exr:A"))) == len(FRAMES)


def test_a_still_matte_serves_every_frame(shot):
    write_matte(shot / "still", [1], np.ones(SHAPE, np.float16))
    (shot / "still" / "roto.0001.exr").rename(shot / "still" / "garbage.exr")
    job = job_of("--remove", "still/garbage.exr", "--frames", "1003-1004", "--handles", "1")
    assert len(input_paths(job)) == 5


@pytest.mark.parametrize(("grey", "stops"), [(0.18, 0.0), (2.0**-9, 4.0)])
def test_exposure_is_measured_and_fixed(tmp_path, monkeypatch, grey, stops):
    monkeypatch.chdir(tmp_path)
    write_plate(tmp_path / "plate", FRAMES, SHAPE, extra={name: np.full(SHAPE, grey, np.float16) for name in "RGB"})
    write_matte(tmp_path / "roto", FRAMES, np.ones(SHAPE, np.float16))
    assert job_of("--remove", "roto/roto.####.exr").colour.exposure == stops
    assert job_of("--remove", "roto/roto.####.exr", "--exposure", "2").colour.exposure == 2.0


# --- job.json --------------------------------------------------------------------------------------


@pytest.fixture
def job_file(shot):
    """A job.json with paths from where it is."""
    job = job_of(*ROTO, "--seed", "5", "--exposure", "1")
    relative = job.replace(
        plate="plate/plate.####.exr", remove=MatteSource("./roto/roto.####.exr"), output="out/clean.####.exr"
    )
    JobFile(relative).write(shot / "job.json")
    return shot / "job.json"


def test_a_job_file_is_a_plate(shot, job_file, monkeypatch):
    monkeypatch.chdir("/")
    job = job_of(plate=str(job_file), output="")
    assert job.plate == str(shot / "plate" / "plate.####.exr")
    assert job.remove.sequence == str(shot / "roto" / "roto.####.exr")
    assert job.output == str(shot / "out" / "clean.####.exr")
    assert (job.seed, job.colour.exposure, len(job.frames)) == (5, 1.0, 6)


def test_options_win_over_a_job_file(job_file):
    job = job_of("--seed", "6", "--frames", "1003", "--exposure", "auto", "--invert-remove", plate=str(job_file))
    measured = job_of(*ROTO[:2], "--frames", "1003").colour.exposure
    assert (job.seed, job.frames, job.colour.exposure) == (6, FrameRange([1003]), measured)
    assert job.remove.invert
    assert job.output.endswith("out/plate_void.####.exr")


def test_a_quadmask_takes_the_place_of_mattes_and_back(shot, job_file):
    job = job_of("--quadmask", "roto/roto.####.exr", plate=str(job_file))
    assert (job.remove, job.quadmask is not None) == (None, True)
    JobFile(job).write(shot / "quadmask.json")
    job = job_of("--remove", "roto/roto.####.exr", plate=str(shot / "quadmask.json"))
    assert (job.remove is not None, job.quadmask) == (True, None)


def test_a_job_file_of_the_future_is_refused(shot, job_file):
    data = json.loads(job_file.read_text())
    data["schema"] = 2
    job_file.write_text(json.dumps(data))
    with pytest.raises(InputError, match="schema 2, this void-bridge reads 1"):
        job_of(plate=str(job_file))


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--frames", "1002-1007"), UsageError, "give --remove, --affected or --quadmask"),
        (("--remove", "roto/roto.####.exr"), MissingFrames, r"missing 1001,1008 of 1001-1008 in .*roto.####.exr"),
        ((*ROTO[:2], "--frames", "1007-1012"), MissingFrames, r"missing 1009-1012 of 1007-1012 in .*plate.####.exr"),
        (("--remove", "roto/roto.####.exr:void_bridge.affected", *ROTO[2:]), NoSuchChannel, "void_bridge.remove"),
        ((*ROTO, "--colorspace", "ACESgc"), ColourError, "ACEScg"),
        ((*ROTO, "--exposure", "bright"), UsageError, "got 'bright', expected auto, or -20 to 20 stops"),
        ((*ROTO, "--exposure", "nan"), UsageError, "-20 to 20"),
        ((*ROTO, "--invert-keep"), UsageError, "--invert-keep without --keep"),
        ((*ROTO, "--quadmask", "roto/roto.####.exr"), UsageError, "either --quadmask or --remove"),
        ((*ROTO, "--canvas", "100x100"), UsageError, "multiples of 16"),
    ],
)
def test_bad_input_is_named_before_a_server_is_asked(shot, words, error, message):
    with pytest.raises(error, match=message):
        job_of(*words)


def test_the_plate_as_output_is_refused(shot):
    with pytest.raises(OutputError, match="would be overwritten"):
        job_of(*ROTO, output="plate/plate.####.exr")


def test_no_output_is_refused_unless_the_site_says_where(shot):
    with pytest.raises(UsageError, match="give -o"):
        job_of(*ROTO, output="")
    assert job_of(*ROTO, output="", config=Config(resolve_output="site:place")).output == ""


def test_no_plate_at_all_is_named(shot):
    with pytest.raises(MissingFrames, match=r"no frames of .*plat.####.exr"):
        job_of(*ROTO[:2], plate="plat.####.exr")


def test_another_format_of_the_matte_is_refused(shot):
    write_matte(shot / "small", FRAMES, np.ones((8, 12), np.float16))
    with pytest.raises(SizeMismatch, match=r"12x8.*24x16"):
        job_of("--remove", "small/roto.####.exr")


def test_a_smaller_data_window_of_the_matte_is_fine(shot):
    part, whole = Box(4, 4, 12, 16), Box(0, 0, *SHAPE)
    write_matte(shot / "small", FRAMES, np.ones((8, 12), np.float16), data_window=part, display_window=whole)
    assert job_of("--remove", "small/roto.####.exr").remove is not None


def test_a_file_that_is_no_exr_is_named(shot):
    (shot / "roto" / "roto.1002.exr").write_bytes(b"not an EXR")
    with pytest.raises(UnreadableFile, match=r"roto.1002.exr"):
        job_of(*ROTO)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is no job.json of void-bridge"),
        ('{"frames": 3}', "is no job.json"),
        ('{"schema": 99}', "has job schema 99"),
    ],
)
def test_a_file_that_is_no_job_of_this_version_is_refused(tmp_path, text, message):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        JobFile.read(path)
