from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import run_command
from void_bridge.cli.compare import COMMAND
from void_bridge.errors import ColourError, InputError, MissingFrames, OutputError
from void_bridge.frames import FrameRange
from void_bridge.job import Job, JobFile, MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.colour import resolve_colour
from void_bridge.pixels.exr import write_simple
from void_bridge.pixels.movie import probe_movie, read_rgb

WIDTH, HEIGHT = 96, 64
RASTER = Box(0, 0, HEIGHT, WIDTH)
RED, BLUE = (0.5, 0.0, 0.0), (0.0, 0.0, 0.5)
PLAIN = ("--view", "Un-tone-mapped")


def write_flat(folder: Path, name: str, rgb: tuple, frames: FrameRange, box: Box, **header: object) -> str:
    for frame in frames:
        planes = {channel: np.full(box.shape, value, np.float16) for channel, value in zip("RGB", rgb)}
        path = folder / f"{name}.{frame:04d}.exr"
        write_simple(path, planes, RASTER, box, {"framesPerSecond": Fraction(12), **header})
    return str(folder / f"{name}.####.exr")


def make_job(folder: Path, after: tuple = BLUE, box: Box = RASTER, **header: object) -> Path:
    """Return a job of four frames whose plate is red and whose result has another colour."""
    frames = FrameRange.parse("1001-1004")
    job = Job(
        plate=write_flat(folder, "plate", RED, frames, box, **header),
        frames=frames,
        output=write_flat(folder, "clean", after, frames, box, **header),
        colour=resolve_colour("Linear Rec.709 (sRGB)", env={}),
        remove=MatteSource("roto.####.exr"),
    )
    JobFile(job).write(folder / "job.json")
    return folder / "job.json"


def compare(job: Path, *options: str) -> Path:
    movie = job.with_name("compare.mp4")
    assert run_command(COMMAND, job, "-o", movie, *options) == 0
    return movie


def is_red(pixels: np.ndarray) -> bool:
    red, green, blue = np.median(pixels.reshape(-1, 3), axis=0)
    return bool(red > 0.6 and green < 0.2 and blue < 0.2)


def is_blue(pixels: np.ndarray) -> bool:
    return is_red(pixels[..., ::-1])


def test_the_first_part_shows_before_and_after_side_by_side(tmp_path: Path) -> None:
    first = next(iter(read_rgb(compare(make_job(tmp_path), *PLAIN))))
    middle = first[20:40]
    assert is_red(middle[:, 4:44]) and is_blue(middle[:, 52:92])
    assert first[:12].max() < 0.15


def test_the_second_part_is_a_wipe_from_before_to_after_and_back(tmp_path: Path) -> None:
    frames = list(read_rgb(compare(make_job(tmp_path), *PLAIN)))
    wipe = [frame[:40] for frame in frames[len(frames) // 2 :]]
    assert is_red(wipe[0]) and is_blue(wipe[len(wipe) // 2]) and is_red(wipe[-1])
    quarter = wipe[len(wipe) // 4]
    assert is_red(quarter[:, :40]) and is_blue(quarter[:, 56:])


def test_a_short_clip_is_repeated_at_its_own_rate(tmp_path: Path) -> None:
    movie = compare(make_job(tmp_path), *PLAIN)
    assert probe_movie(movie).rate == Fraction(12)
    assert len(list(read_rgb(movie))) == 2 * 36


def test_pixels_outside_the_data_window_are_black(tmp_path: Path) -> None:
    job = make_job(tmp_path, box=Box(-8, 48, HEIGHT + 8, WIDTH + 16))
    *_, last = read_rgb(compare(job, *PLAIN))
    assert last[4:40, 2:44].max() < 0.15 and is_red(last[4:40, 52:94])


def test_wide_pixels_are_shown_in_their_true_shape(tmp_path: Path) -> None:
    info = probe_movie(compare(make_job(tmp_path, pixelAspectRatio=2.0), *PLAIN))
    assert (info.width, info.height) == (2 * WIDTH, HEIGHT)


def test_a_large_plate_is_scaled_to_the_width(tmp_path: Path) -> None:
    info = probe_movie(compare(make_job(tmp_path), "--width", "64", *PLAIN))
    assert (info.width, info.height) == (64, 42)


def test_exposure_and_view_change_the_picture(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    levels = [
        next(iter(read_rgb(compare(job, "--overwrite", *options))))[20:40, 4:44, 0].mean()
        for options in (PLAIN, (*PLAIN, "--exposure", "-2"), ())
    ]
    assert levels[0] > levels[1] + 0.2
    assert abs(levels[0] - levels[2]) > 0.05


def test_not_a_number_in_a_frame_is_shown_as_black(tmp_path: Path) -> None:
    first = next(iter(read_rgb(compare(make_job(tmp_path, after=(np.nan, np.nan, np.nan)), *PLAIN))))
    assert is_red(first[20:40, 4:44]) and np.median(first[20:40, 52:92]) < 0.1


def test_the_folder_of_the_job_stands_for_its_job_json(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    assert run_command(COMMAND, job.parent, "-o", tmp_path / "a.mp4") == 0
    assert probe_movie(tmp_path / "a.mp4").width == WIDTH


def test_missing_result_frames_are_named(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    (tmp_path / "clean.1003.exr").unlink()
    with pytest.raises(MissingFrames, match=r"missing 1003 of 1001-1004"):
        compare(job)
    assert not (tmp_path / "compare.mp4").exists()


def test_an_unknown_view_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    before = set(tmp_path.iterdir())
    with pytest.raises(ColourError, match=r"got view 'Filmic'"):
        compare(job, "--view", "Filmic")
    assert set(tmp_path.iterdir()) == before


def test_a_movie_is_not_overwritten_unasked(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    movie = compare(job)
    with pytest.raises(OutputError, match="already exists"):
        compare(job)
    assert compare(job, "--overwrite") == movie


def test_a_file_that_is_no_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent\.json as a job"):
        compare(tmp_path / "absent.json")
