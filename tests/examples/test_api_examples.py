"""The complete examples of the Python API, run as a user runs them, against a real server and real footage."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from gpu_server.demo_command import DemoSequences, _write_footage
from gpu_server.footage import Scene
from gpu_server.private_server import private_server
from tests.support.live_server import REPOSITORY
from tests.support.shots import write_matte
from void_bridge.client.launch import child_environment
from void_bridge.pixels.exr import read_frame

FRAMES = range(1001, 1009)
DEADLINE_S = 120


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    """Footage as `void-bridge demo` makes it, with the object's matte as an alpha, and a holdout."""
    footage = DemoSequences(tmp_path_factory.mktemp("shot"))
    scene = Scene("pan", 90, 160, len(FRAMES), seed=1)
    _write_footage(scene, footage)
    mattes = [scene.frame(index).remove.astype(np.float16) for index in range(len(FRAMES))]
    write_matte(footage.out / "alpha", FRAMES, lambda frame: mattes[frame - 1001])
    write_matte(footage.out / "holdout", FRAMES, lambda frame: np.float16(1) - mattes[frame - 1001], name="holdout")
    return footage


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that runs an example and returns what it prints."""
    with private_server(tmp_path_factory.mktemp("server")) as server:

        def run(name, *words, code=0):
            command = [sys.executable, f"examples/{name}.py", *map(str, words)]
            environment = child_environment(server.config)
            done = subprocess.run(
                command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=DEADLINE_S
            )
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout

        yield run


def test_remove_shows_its_progress_and_says_where_the_frames_are(tmp_path, run, shot):
    out = run("api_remove", shot.plate, tmp_path / "clean", f"{shot.matte}:void_bridge.remove")
    lines = out.splitlines()
    progress = [line.strip() for line in lines if "of 8 frames" in line]
    assert len(progress) > 1 and progress[-1] == "done, 8 of 8 frames"
    (result,) = (line for line in lines if line.startswith("1001-1008"))
    assert result.startswith(f"1001-1008 in {tmp_path / 'clean' / 'plate_void.####.exr'}, ")
    assert len(list((tmp_path / "clean").glob("plate_void.*.exr"))) == len(FRAMES)


def test_several_shots_are_submitted_and_fetched(tmp_path, run, shot):
    (tmp_path / "shots" / "sh005").mkdir(parents=True)  # without a plate
    for name in ("sh010", "sh020"):
        folder = tmp_path / "shots" / name
        folder.mkdir()
        for frame in FRAMES[:4] if name == "sh010" else FRAMES[4:]:
            (folder / f"plate.{frame}.exr").symlink_to(shot.plate.path(frame))
            (folder / f"roto.{frame}.exr").symlink_to(shot.out / "alpha" / f"roto.{frame}.exr")
    lines = run("api_submit_fetch", tmp_path / "shots", tmp_path / "clean", code=1).splitlines()
    assert lines[0].startswith("sh005 was refused: found no frames of ")
    assert [line.split()[:3] for line in lines[1:3]] == [["sh010", "is", "job"], ["sh020", "is", "job"]]
    assert "sh010 done, 4 of 4 frames" in lines
    assert f"sh020 has 1005-1008, the first in {tmp_path / 'clean/sh020/plate_void.1005.exr'}" in lines
    assert {line.split()[1] for line in lines[-2:]} == {"done"}


def test_types_take_the_place_of_text(tmp_path, run, shot):
    holdout = shot.out / "holdout" / "holdout.####.exr"
    out = run("api_colour_and_options", shot.plate, holdout, tmp_path / "clean.####.exr", "1003-1006")
    assert out.startswith("4 frames: 1003-1006\nseen in other frames: ")
    written = read_frame(tmp_path / "clean.1003.exr").parts[0].channels
    plate = read_frame(shot.plate.path(1003)).parts[0].channels
    paste = written["void_bridge.paste"]
    assert 0 < (paste > 0).mean() < 0.5  # inverted: the object, not all else
    assert np.array_equal(written["R"][paste == 0], plate["R"][paste == 0])
    assert any("confidence" in name for name in written)
