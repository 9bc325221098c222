"""The VOID engine as its users run it: the command line, a real server and worker, a tiny checkpoint."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_server.private_server import private_server
from tests.support.shots import disc, write_matte, write_plate
from void_bridge.client.launch import child_environment
from void_bridge.pixels.exr import read_frame

FRAMES = range(1001, 1008)
SHAPE = (96, 160)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    command("models", "init-tiny", folder, "--seed", 4)
    return folder


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shot")
    return write_plate(folder, FRAMES, SHAPE), write_matte(folder, FRAMES, disc(SHAPE, (40, 60), 20))


def command(*words, environment=None, exit_code=0):
    done = subprocess.run(
        [sys.executable, "-m", "void_bridge.cli", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == exit_code, done.stderr
    return done.stdout


def remove(server, shot, output, *options, exit_code=0):
    plate, roto = shot
    words = ("remove", plate, "-o", output, "--remove", roto, "--engine", "void", "--canvas", "80x48", "--steps", 2)
    outcome = command(*words, *options, "--json", environment=child_environment(server.config), exit_code=exit_code)
    return json.loads(outcome.strip().splitlines()[-1])


def digests(folder: Path):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.exr"))}


def test_both_passes_through_two_fresh_servers_give_the_same_bytes(models, shot, tmp_path):
    results = []
    for name in ("a", "b"):
        with private_server(tmp_path / name, models=models) as server:
            outcome = remove(server, shot, tmp_path / name / "clean.####.exr", "--passes", 2, "--prompt", "a bare wall")
        assert (outcome["state"], outcome["frames"], outcome["engine"]) == ("done", len(FRAMES), "void")
        results.append(digests(tmp_path / name))
    assert results[0] == results[1]
    assert len(results[0]) == len(FRAMES)
    header = read_frame(tmp_path / "a" / "clean.1004.exr").parts[0].header
    assert (header["void_bridge/passes"], header["void_bridge/prompt"]) == ("2", "a bare wall")


def test_auto_chooses_another_engine_without_a_gpu(models, shot, tmp_path):
    with private_server(tmp_path / "server", models=models) as server:
        outcome = remove(server, shot, tmp_path / "clean.####.exr", "--engine", "auto")
    assert (outcome["state"], outcome["engine"]) == ("done", "propagate")


def test_a_job_without_weights_fails_and_says_how_to_get_them(shot, tmp_path):
    with private_server(tmp_path / "server", models=tmp_path / "nothing here") as server:
        outcome = remove(server, shot, tmp_path / "out.####.exr", exit_code=1)
    assert (outcome["state"], outcome["error"]["code"]) == ("failed", "engine")
    assert "models fetch" in outcome["error"]["message"]
