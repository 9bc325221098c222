import argparse
import json

import cv2
import numpy as np
import pytest

from void_bridge.cli.console import CommandOutcome
from void_bridge.cli.quadmask import COMMAND
from void_bridge.errors import NoSuchChannel, OutputError, SizeMismatch, UsageError
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import read_frame, write_simple
from void_bridge.pixels.movie import probe_movie

FORMAT = Box(0, 0, 108, 192)
FRAMES = range(1001, 1004)


@pytest.fixture
def shot(tmp_path):
    """Return a plate of three frames, and a matte whose window is a square that moves to the right."""
    for frame in FRAMES:
        rgb = {name: np.full(FORMAT.shape, 0.18, np.float16) for name in "RGB"}
        write_simple(tmp_path / f"plate.{frame}.exr", rgb)
        window = Box(40, 20 + 30 * (frame - 1001), 60, 40 + 30 * (frame - 1001))
        roto = {"A": np.ones(window.shape, np.float16)}
        write_simple(tmp_path / f"roto.{frame}.exr", roto, display_window=FORMAT, data_window=window)
    return tmp_path


def run(shot, *options, output="cond.####.exr", is_json=False):
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    words = [str(shot / "plate.####.exr"), "-o", str(shot / output), "--canvas", "160x96", "--exposure", "0", *options]
    arguments = parser.parse_args(words)
    arguments.outcome = CommandOutcome(is_json)
    code = COMMAND.run(arguments)
    arguments.outcome.write()
    return code


def roto(shot, name="roto"):
    return str(shot / f"{name}.####.exr")


def written(shot, frame):
    return np.rint(read_frame(shot / f"cond.{frame}.exr").parts[0].channels["Y"].astype(np.float32) * 255)


def test_the_models_quadmask_is_written_for_every_frame(shot, capsys):
    assert run(shot, "--remove", roto(shot)) == 0
    centres = []
    for frame in FRAMES:
        quadmask = written(shot, frame)
        assert quadmask.shape == (96, 160) and set(np.unique(quadmask)) == {0, 255}
        centres.append(np.nonzero(quadmask == 0)[1].mean())
    steps = np.diff(centres)
    assert steps.min() > 20 and steps[0] == pytest.approx(steps[1], abs=1)
    assert "frames 1001-1003; the model sees" in capsys.readouterr().out


def test_roles_from_one_file_and_inverted_make_overlap_and_keep(shot):
    assert run(shot, "--remove", roto(shot), "--affected", roto(shot), "--keep", roto(shot), "--invert-keep") == 0
    assert set(np.unique(written(shot, 1002))) == {63, 255}


def test_empty_mattes_are_reported(shot, capsys):
    for frame in FRAMES:
        write_simple(shot / f"empty.{frame}.exr", {"A": np.zeros(FORMAT.shape, np.float16)})
    assert run(shot, "--remove", roto(shot, "empty")) == 0
    assert "no pixel would change" in capsys.readouterr().out
    assert (written(shot, 1001) == 255).all()


def test_a_still_preview_shows_the_middle_frame(shot):
    assert run(shot, "--remove", roto(shot), "--preview", str(shot / "look.png")) == 0
    picture = cv2.imread(str(shot / "look.png"))[..., ::-1].astype(int)
    assert picture.shape == (108, 192, 3)
    red = picture[..., 0] - picture[..., 2]
    assert red[45:55, 55:65].min() > 50 and abs(red[45:55, 25:35]).max() < 10


def test_a_numbered_preview_shows_every_frame(shot):
    assert run(shot, "--remove", roto(shot), "--preview", str(shot / "look.####.png")) == 0
    assert all((shot / f"look.{frame}.png").exists() for frame in FRAMES)


def test_a_movie_preview_has_every_frame(shot):
    assert run(shot, "--remove", roto(shot), "--paste", "snapped", "--preview", str(shot / "look.mp4")) == 0
    info = probe_movie(shot / "look.mp4")
    assert (info.width, info.height, info.frames) == (192, 108, 3)


def test_a_moving_crop_is_reported_and_in_every_frames_metadata(tmp_path, capsys):
    frames, plate = range(1001, 1031), Box(0, 0, 216, 384)
    for frame in frames:
        write_simple(tmp_path / f"plate.{frame}.exr", {n: np.full(plate.shape, 0.18, np.float16) for n in "RGB"})
        window = Box(100, 20 + 10 * (frame - 1001), 120, 40 + 10 * (frame - 1001))
        roto_plane = {"A": np.ones(window.shape, np.float16)}
        write_simple(tmp_path / f"roto.{frame}.exr", roto_plane, display_window=plate, data_window=window)
    look = tmp_path / "look.####.png"
    assert run(tmp_path, "--remove", roto(tmp_path), "--framing", "moving", "--preview", str(look)) == 0
    assert "at 0,62 to 224,62 as 160x96" in capsys.readouterr().out
    for frame in frames:
        corner = tuple(map(int, read_frame(tmp_path / f"cond.{frame}.exr").parts[0].header["void_bridge/crop"].split()))
        ys, xs = np.nonzero(written(tmp_path, frame) == 0)
        assert (ys.min() + corner[1], xs.min() + corner[0]) == (100, 20 + 10 * (frame - 1001))
        picture = cv2.imread(str(tmp_path / f"look.{frame}.png"))
        assert (picture[corner[1] + 10 : corner[3] - 20, corner[2]] == 170).all()  # the frame's right side


def test_json_ends_with_one_object(shot, capsys):
    assert run(shot, "--remove", roto(shot), is_json=True) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["state"] == "done" and result["frames"] == 3 and result["output"].endswith("cond.####.exr")


@pytest.mark.parametrize("there", ["cond.1002.exr", "look.png"])
def test_existing_files_are_not_replaced_unasked(shot, there):
    (shot / there).write_bytes(b"mine")
    options = ("--remove", roto(shot), "--preview", str(shot / "look.png"))
    with pytest.raises(OutputError, match="--overwrite"):
        run(shot, *options)
    assert (shot / there).read_bytes() == b"mine" and not (shot / "cond.1001.exr").exists()
    assert run(shot, *options, "--overwrite") == 0


def test_another_kind_of_preview_is_refused(shot):
    with pytest.raises(UsageError, match=r"look\.gif"):
        run(shot, "--remove", roto(shot), "--preview", "look.gif")


def test_a_missing_channel_is_refused(shot):
    with pytest.raises(NoSuchChannel, match="mask"):
        run(shot, "--remove", f"{roto(shot)}:mask")


def test_a_later_frame_of_another_format_is_named(shot):
    write_simple(shot / "roto.1003.exr", {"A": np.ones((50, 50), np.float16)})
    with pytest.raises(SizeMismatch, match=r"roto\.1003\.exr is 50x50"):
        run(shot, "--remove", roto(shot))
