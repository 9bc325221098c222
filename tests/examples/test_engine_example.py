"""The worked example of an engine: installed as a package of its own, and chosen for a job on a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from tests.support.client_jobs import config_for
from tests.support.live_server import DEADLINE_S, REPOSITORY, eventually
from tests.support.shots import COLOUR, disc, write_matte, write_plate
from void_bridge.config import as_environment
from void_bridge.connection import connection_path
from void_bridge.pixels.exr import read_frame
from void_bridge.sequence import Sequence

FRAMES, SHAPE = range(1001, 1006), (24, 40)


@pytest.fixture
def environment(tmp_path):
    """Variables of processes that find the example beside VOID Bridge."""
    source, target = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(REPOSITORY / "examples/engine", source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--target", target, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    paths = os.pathsep.join(map(str, (REPOSITORY, target)))
    return {**os.environ, **as_environment(config_for(tmp_path)), "PYTHONPATH": paths}


@pytest.fixture
def server(tmp_path, environment):
    """A server process that uses the example."""
    command = [sys.executable, "-m", "void_bridge.cli", "serve", "--spool", str(tmp_path / "spool")]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    eventually(lambda: connection_path(tmp_path / "run").exists() or process.poll() is not None)
    yield process
    process.terminate()
    process.communicate(timeout=DEADLINE_S)


@pytest.mark.skipif(not find_spec("setuptools"), reason="needs setuptools, to build without a package index")
def test_an_engine_of_another_package_does_a_job(tmp_path, environment, server):
    """Each pixel is hidden in one frame at most, so that the median of the others is the locked-off background."""
    plate = write_plate(tmp_path / "plate", FRAMES, SHAPE)
    roto = write_matte(tmp_path / "roto", FRAMES, lambda frame: disc(SHAPE, (12, 6 + 7 * (frame - FRAMES[0])), 3))
    out = Sequence.parse(str(tmp_path / "clean/clean.####.exr"))
    words = ["remove", str(plate), "--remove", str(roto), "-o", str(out), "--engine", "median", "--dilate", "0"]
    words += ["--feather", "0", "--colorspace", COLOUR.space, "--json"]
    command = [sys.executable, "-m", "void_bridge.cli", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S * 3)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["state"], said["engine"], said["frames"]) == ("done", "median", len(FRAMES))
    planes = np.stack([read_frame(plate.path(frame)).parts[0].channels["G"] for frame in FRAMES]).astype(np.float32)
    for place, frame in enumerate(FRAMES):
        hole = disc(SHAPE, (12, 6 + 7 * place), 3) > 0
        others = np.delete(planes, place, axis=0)[:, hole]
        result = read_frame(out.path(frame)).parts[0].channels["G"][hole]
        np.testing.assert_allclose(result, np.median(others, axis=0), rtol=2e-3, atol=1e-3)
