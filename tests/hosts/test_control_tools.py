"""Previews and movies that the server's Python makes for a host, in a real child process."""

from __future__ import annotations

import cv2
import pytest

from host_plugins.control.settings import Settings
from host_plugins.control.tools import PixelTools, run_command
from tests.hosts.test_controller import MainThread
from tests.support.shots import disc, make_job, write_matte, write_plate
from void_bridge.config import Config
from void_bridge.errors import InputError, NoServer
from void_bridge.job import JobFile

FRAMES = range(1001, 1004)


@pytest.fixture
def job(tmp_path):
    plate = write_plate(tmp_path / "plate", FRAMES, (96, 160))
    roto = write_matte(tmp_path / "roto", FRAMES, disc((96, 160), (40, 70), 15))
    return make_job(plate, FRAMES, roto).replace(output=str(tmp_path / "out" / "clean.####.exr"))


@pytest.fixture
def main(tmp_path, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(tmp_path / "run"))
    return MainThread()


def result_of(main, start):
    results = []
    start(lambda path, error: results.append((path, error)))
    main.until(lambda: results)
    return results[0]


def test_a_preview_shows_one_frame_with_its_mattes(tmp_path, job, main):
    picture = tmp_path / "pictures" / "preview.png"
    path, error = result_of(main, lambda report: PixelTools(main.post).preview(job, 1002, picture, Settings(), report))
    assert (path, error) == (picture.as_posix(), "")
    seen = cv2.imread(str(picture))
    assert seen.shape == (96, 160, 3)
    blue, _, red = seen[40, 70].astype(int)
    assert red > blue + 60
    assert not (tmp_path / "out").exists()


def test_a_preview_without_its_frame_says_so(tmp_path, job, main):
    picture = tmp_path / "preview.png"
    path, error = result_of(main, lambda report: PixelTools(main.post).preview(job, 1009, picture, Settings(), report))
    assert path == "" and error.startswith("Frames are missing on disk: missing 1009")
    assert not picture.exists()


def test_a_comparison_is_a_movie(tmp_path, job, main):
    job_file = tmp_path / "out" / "job.json"
    JobFile(job, "abc").write(job_file)
    write_plate(tmp_path / "out", FRAMES, (96, 160))
    for frame in FRAMES:
        (tmp_path / "out" / f"plate.{frame}.exr").rename(tmp_path / "out" / f"clean.{frame}.exr")
    movie = tmp_path / "out" / "out_compare.mp4"
    path, error = result_of(main, lambda report: PixelTools(main.post).compare(job_file, Settings(), report))
    assert (path, error) == (movie.as_posix(), "") and movie.stat().st_size > 1000


def test_an_error_of_the_command_is_raised_as_itself(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.json"):
        run_command(Config(), ["compare", str(tmp_path / "nothing.json"), "-o", str(tmp_path / "a.mp4")])


def test_a_missing_python_is_reported(tmp_path):
    with pytest.raises(NoServer, match="no-python-here"):
        run_command(Config(executable=str(tmp_path / "no-python-here")), ["doctor"])
