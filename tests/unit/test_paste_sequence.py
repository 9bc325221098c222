"""The paste matte of delivered frames as a sequence of its own, and the command that writes it without a server."""

from __future__ import annotations

import numpy as np
import OpenEXR
import pytest

from tests.support.commands import run_command
from tests.support.shots import disc, make_job, noise
from void_bridge.cli.jobs import FETCH
from void_bridge.errors import MissingFrames, NoServer, NoSuchChannel, OutputError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import JobFile
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame, write_frame
from void_bridge.pixels.paste_sequence import PASTE_CHANNEL, write_paste_sequence
from void_bridge.sequence import Sequence

SHAPE = (12, 20)
FRAMES = FrameRange([-1, 1001, 1002])
DATA, DISPLAY = Box(-2, 3, 10, 23), Box(0, 0, 8, 16)


def matte(frame: int) -> np.ndarray:
    return disc(SHAPE, (5, 8), 3 + frame % 3)


def deliver(folder, frames=FRAMES, with_paste=True) -> Sequence:
    """Write frames as a job delivers them: the plate's channels, and the paste matte besides."""
    sequence = Sequence.parse(str(folder / "clean.####.exr"))
    for frame in frames:
        channels = {name: noise(SHAPE, [frame + 5, i]) for i, name in enumerate("RGBA")}
        if with_paste:
            channels[PASTE_CHANNEL] = matte(frame)
        header = {"pixelAspectRatio": 2.0, "timeCode": OpenEXR.TimeCode(1, 2, 3, 4, *[0] * 14), "owner": "someone"}
        write_frame(ExrFrame((ExrPart(channels, DATA, DISPLAY, header=header),)), sequence.path(frame))
    return sequence


@pytest.fixture
def target(tmp_path) -> Sequence:
    return Sequence.parse(str(tmp_path / "paste" / "paste.####.exr"))


def test_every_file_has_the_matte_as_picture_and_alpha(tmp_path, target):
    write_paste_sequence(deliver(tmp_path / "out"), FRAMES, target)
    assert target.frames_on_disk() == FRAMES
    for frame in FRAMES:
        part = read_frame(target.path(frame)).picture
        assert sorted(part.channels) == ["A", "B", "G", "R"]
        for plane in part.channels.values():
            assert plane.dtype == np.float16 and np.array_equal(plane, matte(frame))


def test_windows_aspect_and_timecode_come_through_and_nothing_else(tmp_path, target):
    write_paste_sequence(deliver(tmp_path / "out"), FRAMES, target)
    part = read_frame(target.path(1001)).picture
    assert (part.data_window, part.display_window, part.pixel_aspect) == (DATA, DISPLAY, 2.0)
    assert part.header["timeCode"].hours == 1
    assert "owner" not in part.header


def test_a_second_run_writes_the_missing_files(tmp_path, target):
    delivered = deliver(tmp_path / "out")
    write_paste_sequence(delivered, FRAMES, target)
    kept = target.path(1001).stat().st_mtime_ns
    target.path(1002).unlink()
    write_paste_sequence(delivered, FRAMES, target)
    assert target.frames_on_disk() == FRAMES and target.path(1001).stat().st_mtime_ns == kept


def test_other_files_stay_without_overwrite(tmp_path, target):
    delivered = deliver(tmp_path / "out")
    target.path(1001).parent.mkdir()
    target.path(1001).write_bytes(b"somebody's")
    with pytest.raises(OutputError, match="is not this matte"):
        write_paste_sequence(delivered, FRAMES, target)
    assert target.path(1001).read_bytes() == b"somebody's"
    write_paste_sequence(delivered, FRAMES, target, overwrite=True)
    assert np.array_equal(read_frame(target.path(1001)).picture.channels["A"], matte(1001))


def test_a_missing_frame_begins_nothing(tmp_path, target):
    with pytest.raises(MissingFrames, match="1003"):
        write_paste_sequence(deliver(tmp_path / "out"), FrameRange([1001, 1003]), target)
    assert not target.path(1001).parent.exists()


def test_frames_of_another_program_are_named(tmp_path, target):
    with pytest.raises(NoSuchChannel, match=r"void_bridge\.paste.*clean\.-001\.exr"):
        write_paste_sequence(deliver(tmp_path / "out", with_paste=False), FRAMES, target)
    assert not target.path(1001).parent.exists()


def test_the_delivered_frames_are_never_replaced(tmp_path):
    delivered = deliver(tmp_path / "out")
    with pytest.raises(OutputError, match="delivered frames themselves"):
        write_paste_sequence(delivered, FRAMES, delivered, overwrite=True)


@pytest.fixture
def job_file(tmp_path, monkeypatch):
    """Return the job.json of a finished job, without any server."""
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "false")
    plate = Sequence.parse(str(tmp_path / "plate.####.exr"))
    delivered = deliver(tmp_path / "out")
    path = tmp_path / "out" / "job.json"
    JobFile(make_job(plate, FRAMES, plate).replace(output=str(delivered)), "abc").write(path)
    return path


def test_the_command_needs_no_server_for_frames_that_are_there(job_file, target, capsys):
    assert run_command(FETCH, job_file, "--paste-sequence", target) == 0
    assert target.frames_on_disk() == FRAMES
    assert "the paste matte of 3 frames" in capsys.readouterr().out


def test_the_command_asks_the_server_for_frames_that_are_not(job_file, target):
    (job_file.parent / "clean.1002.exr").unlink()
    with pytest.raises(NoServer):
        run_command(FETCH, job_file, "--paste-sequence", target)
    assert not target.path(1001).parent.exists()


@pytest.mark.parametrize("words", [("paste.exr",), ("paste.####.png",), ("paste.####.exr", "--no-wait")])
def test_the_command_takes_a_pattern_and_every_frame(job_file, words):
    with pytest.raises(UsageError, match="--paste-sequence"):
        run_command(FETCH, job_file, "--paste-sequence", *words)
