"""The whole loop as its users run it: real footage on disk, the command line, a real server and its real worker."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from gpu_server import picture_quality
from gpu_server.footage import Scene
from gpu_server.private_server import private_server
from tests.support.exrs import same_bits
from tests.support.live_server import eventually
from void_bridge.client.launch import child_environment
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame, write_frame
from void_bridge.sequence import Sequence

FRAMES = range(1001, 1013)
LINEAR_SRGB = "Linear Rec.709 (sRGB)"


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    """A moving camera, an object with a shadow, overscan, an AOV; mattes as layers. Returns its scene and sequences."""
    scene = Scene("pan_zoom_rotation", 180, 320, len(FRAMES), seed=2)
    folder = tmp_path_factory.mktemp("shot")
    plate, roto = (Sequence.parse(str(folder / f"{name}.####.exr")) for name in ("plate", "roto"))
    window, display = Box(0, 0, 180, 320), Box(10, 10, 170, 310)
    for index, frame in enumerate(FRAMES):
        made = scene.frame(index)
        picture = {name: half(made.plate[..., axis]) for axis, name in enumerate("RGB")}
        picture["A"] = np.ones(window.shape, np.float16)
        picture["depth.Z"] = np.full(window.shape, index, np.float32)
        header = {"studio/shot": "sh010", "pixelAspectRatio": 1.0}
        write_frame(ExrFrame((ExrPart(picture, window, display, header=header),)), plate.path(frame))
        mattes = {"void_bridge.remove": half(made.remove), "void_bridge.affected": half(made.affected)}
        write_frame(ExrFrame((ExrPart(mattes, window, display),)), roto.path(frame))
    return scene, plate, roto


def half(plane):
    return np.ascontiguousarray(plane, dtype=np.float16)


@pytest.fixture
def server(tmp_path):
    with private_server(tmp_path / "server") as running:
        yield running


def command(server, *words):
    """A command line in a process of its own, to be waited for or killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "void_bridge.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(server.config),
    )


def finished(process):
    """Exit code and the object of --json. Raises subprocess.TimeoutExpired."""
    out, err = process.communicate(timeout=120)
    assert out.strip(), err
    return process.returncode, json.loads(out.strip().splitlines()[-1])


def removal(shot, output, *options):
    _, plate, roto = shot
    mattes = ("--remove", f"{roto}:void_bridge.remove", "--affected", f"{roto}:void_bridge.affected")
    return ("remove", plate, "-o", output, *mattes, "--colorspace", LINEAR_SRGB, *options, "--json")


def digests(folder: Path):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.exr"))}


def test_a_clean_plate_is_close_to_the_background_and_keeps_everything_else(shot, server, tmp_path):
    scene, plate, _ = shot
    exact = ("--engine", "propagate", "--feather", 0, "--dilate", 0)
    code, outcome = finished(command(server, *removal(shot, tmp_path / "clean.####.exr", *exact)))
    assert (code, outcome["state"], outcome["frames"], outcome["engine"]) == (0, "done", len(FRAMES), "propagate")
    result = Sequence.parse(outcome["output"])
    quality, inpainted, lamps = [], [], []
    for index, frame in enumerate(FRAMES):
        made = scene.frame(index)
        before, after = read_frame(plate.path(frame)).picture, read_frame(result.path(frame)).picture
        outside = np.maximum(half(made.remove), half(made.affected)) == 0
        for name in before.channels:
            assert same_bits(before.channels[name][outside], after.channels[name][outside]), (frame, name)
        assert all(same_bits(before.channels[n], after.channels[n]) for n in ("A", "depth.Z"))
        assert (after.data_window, after.display_window) == (before.data_window, before.display_window)
        assert after.header["studio/shot"] == "sh010"
        rgb = np.stack([after.channels[c].astype(np.float32) for c in "RGB"], -1)
        hole = np.maximum(made.remove, made.affected) > 0.5
        quality.append(picture_quality.psnr(rgb, made.background, hole))
        inpainted.append(picture_quality.psnr(picture_quality.inpainted(made.plate, ~outside), made.background, hole))
        lamps.append(rgb.max(axis=2)[hole & (made.background.max(axis=2) > 8)])
    assert np.mean(quality) >= 32
    assert np.mean(quality) >= np.mean(inpainted) + 16
    lamps = np.concatenate(lamps)
    assert len(lamps) > 10
    assert np.mean(lamps > 5) > 0.99


def test_a_killed_client_costs_nothing(shot, server, tmp_path):
    client = command(server, *removal(shot, tmp_path / "clean.####.exr", "--engine", "propagate"))
    eventually((tmp_path / "job.json").exists)
    client.kill()
    client.communicate()
    code, outcome = finished(command(server, "fetch", tmp_path / "job.json", "--json"))
    assert (code, outcome["state"], outcome["frames"]) == (0, "done", len(FRAMES))
    assert len(digests(tmp_path)) == len(FRAMES)


def test_a_killed_worker_is_replaced_and_the_bytes_are_the_same(shot, server, tmp_path):
    first = command(server, *removal(shot, tmp_path / "a" / "clean.####.exr", "--engine", "propagate"))
    assert finished(first)[0] == 0
    second = removal(shot, tmp_path / "b" / "clean.####.exr", "--engine", "propagate")
    client = command(server, *second)
    eventually(lambda: list((tmp_path / "b").glob("*.exr")), deadline_s=60)
    for worker in psutil.Process(server.process.pid).children():
        worker.kill()
    code, outcome = finished(client)
    assert (code, outcome["state"]) == (0, "done")
    assert digests(tmp_path / "b") == digests(tmp_path / "a")


def test_a_killed_server_goes_on_where_it_was(shot, tmp_path):
    with private_server(tmp_path / "server") as server:
        client = command(server, *removal(shot, tmp_path / "clean.####.exr", "--engine", "propagate"))
        eventually(lambda: list(tmp_path.glob("clean.*.exr")), deadline_s=60)
        server.process.kill()
        server.process.wait()
        client.kill()
        client.communicate()
    with private_server(tmp_path / "server") as server:
        code, outcome = finished(command(server, "fetch", tmp_path / "job.json", "--json"))
    assert (code, outcome["state"], len(digests(tmp_path))) == (0, "done", len(FRAMES))


def test_the_same_job_gives_the_same_bytes_over_either_transport_and_in_a_fresh_spool(shot, tmp_path):
    made = []
    for transport in ("inline", "path"):
        folder = tmp_path / transport
        with private_server(folder / "server") as server:
            words = removal(shot, folder / "clean.####.exr", "--engine", "propagate", "--transport", transport)
            assert finished(command(server, *words))[0] == 0
        made.append(digests(folder))
    assert made[0] == made[1]
    assert len(made[0]) == len(FRAMES)


def test_interrupting_the_command_cancels_the_job(shot, server, tmp_path):
    client = command(server, *removal(shot, tmp_path / "clean.####.exr", "--engine", "propagate"))
    eventually((tmp_path / "job.json").exists)
    client.send_signal(signal.SIGINT)
    code, outcome = finished(client)
    assert (code, outcome["state"], outcome["error"]["code"]) == (130, "cancelled", "cancelled")


def test_the_demo_leaves_frames_a_sheet_and_a_report(tmp_path):
    words = [sys.executable, "-m", "void_bridge.cli", "demo", "--out", tmp_path, "--size", "320x180", "--length", "8"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=180, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "report.md").read_text()
    assert "changed where the paste matte is 0: 0." in report
    assert (tmp_path / "contact_sheet.png").stat().st_size > 10_000
    assert len(list((tmp_path / "clean").glob("clean.*.exr"))) == 8


def sample(name):
    roots = [os.environ.get("VOID_BRIDGE_SAMPLES"), Path(__file__).parents[3] / "shared" / "samples"]
    found = [Path(root) / name for root in roots if root and (Path(root) / name).is_dir()]
    if not found:
        pytest.skip(f"no sample {name}: set VOID_BRIDGE_SAMPLES to a folder that holds it")
    return found[0]


def test_a_sample_shot_goes_from_movie_to_clean_plate(server, tmp_path):
    code, _ = finished(command(server, "ingest", sample("BigBen"), "-o", tmp_path, "--json"))
    assert code == 0
    words = ("remove", tmp_path / "job.json", "-o", tmp_path / "clean", "--frames", "1001-1012", "--json")
    code, outcome = finished(command(server, *words))
    assert (code, outcome["state"], outcome["frames"]) == (0, "done", 12)
