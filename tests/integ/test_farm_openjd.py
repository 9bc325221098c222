"""Bundles run for real by openjd-cli: two shots, a void one, what fails, what is cancelled, a server that dies."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from gpu_server.private_server import private_server
from tests.hosts.shots_on_disk import FRAMES, make_footage
from tests.support.farm import Farm, digests, openjd
from tests.support.live_server import eventually
from tests.support.shots import disc, write_matte, write_plate
from void_bridge.client import connect
from void_bridge.job import JobFile

pytest.importorskip("openjd.cli")

SHAPE = (96, 160)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Two shots below a folder with a space and letters beyond ASCII."""
    folder = tmp_path_factory.mktemp("footage") / "Einstellung ä 1"
    return {name: make_footage(folder / name) for name in ("sh010", "sh020")}


@pytest.fixture
def farm(tmp_path):
    made = Farm(tmp_path)
    yield made
    left = eventually(lambda: not made.processes() or None) or made.processes()
    assert left is True, f"left over: {left}"


def shot_list(folder: Path, footage, **columns) -> Path:
    lines = [",".join(["shot,plate,remove,affected,engine,colorspace,output", *columns])]
    for name, shot in footage.items():
        cells = [name, shot.plate, f"{shot.roto}:A", shot.shadow, "propagate", "ACEScg", f"out/{name}/{name}.####.exr"]
        lines.append(",".join(map(str, [*cells, *columns.values()])))
    path = folder / "shots.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def local_frames(folder: Path, job_file: Path, **settings) -> dict[int, str]:
    """Digests of the frames that a local server makes of the same job."""
    job = JobFile.read(job_file).job
    job = job.replace(output=str(folder / "local" / job_file.parent.name / "x.####.exr"))
    with private_server(folder / "server", **settings) as server, connect(server.config) as client:
        id = client.submit(job).id
        *_, last = client.watch(id)
        assert last.state == "done", last.error
        client.fetch(id)
    return digests(folder / "local" / job_file.parent.name)


def test_two_shots_in_one_session_give_the_frames_of_the_local_job(farm, footage, tmp_path):
    ran = farm.run("farm", "submit", "--shots", shot_list(tmp_path, footage), "--to", "openjd", "--chunk", 3)
    assert ran.code == 0, ran.said
    assert (ran.result["state"], ran.result["farm"], ran.result["frames"]) == ("done", "openjd", 2 * len(FRAMES))
    assert ran.said.count("openjd_env: VOID_BRIDGE_CONNECT=") <= 1
    assert len(re.findall(r"starting a local server", ran.said)) == 1, "one server a session"
    assert ran.said.count("Shot(STRING) = sh010") == 3 + 1, "three chunks and a check"
    for name in footage:
        folder = tmp_path / "out" / name
        assert digests(folder) == local_frames(tmp_path, folder / "job.json")
        assert {f"{name}_contact.png", f"{name}_compare.mp4", "report.json"} <= {path.name for path in folder.iterdir()}
        report = json.loads((folder / "report.json").read_text())
        assert (report["frames"], report["engine"]) == (len(FRAMES), "propagate")
    status = farm.run("farm", "status", ran.result["bundle"]).result
    assert (status["state"], status["tasks"], status["tasks_done"]) == ("done", 8, 8)


def test_the_bundle_passes_the_vendors_check_and_runs_one_task_of_it(farm, footage, tmp_path):
    one = {"sh010": footage["sh010"]}
    words = ("farm", "bundle", "--shots", shot_list(tmp_path, one), "-o", tmp_path / "moved from", "--chunk", 4)
    assert farm.run(*words).code == 0
    bundle = (tmp_path / "moved from").rename(tmp_path / "moved to")
    assert "passes validation" in openjd(farm, "check", bundle / "template.yaml").stdout
    task = ("--step", "Remove", "-tp", "Shot=sh010", "-tp", "Frames=1005-1008")
    ran = openjd(farm, "run", bundle / "template.yaml", *task)
    assert ran.returncode == 0, ran.stdout
    assert sorted(digests(tmp_path / "out/sh010")) == [1005, 1006, 1007, 1008]
    again = openjd(farm, "run", bundle / "template.yaml", *task)
    assert "all 4 frames already exist" in again.stdout


def test_a_void_shot_is_one_task_and_the_same_as_at_home(farm, tmp_path):
    models = tmp_path / "tiny"
    farm.start("models", "init-tiny", models, "--seed", 4).communicate(timeout=60)
    farm.environment["VOID_BRIDGE_MODELS"] = str(models)
    plate = write_plate(tmp_path, range(1001, 1008), SHAPE)
    roto = write_matte(tmp_path, range(1001, 1008), disc(SHAPE, (40, 60), 20))
    (tmp_path / "shots.csv").write_text(
        "shot;plate;remove;engine;colorspace;canvas;steps;passes;output\n"
        f"sh030;{plate};{roto};void;ACEScg;80x48;2;1;out/sh030/clean.####.exr\n"
    )
    words = ("farm", "submit", "--shots", tmp_path / "shots.csv", "--to", "openjd", "--gpus", 0, "--chunk", 2)
    ran = farm.run(*words)
    assert ran.code == 0, ran.said
    assert ran.said.count("Shot(STRING) = sh030") == 1 + 1, "one task and a check, whatever --chunk says"
    assert digests(tmp_path / "out/sh030") == local_frames(tmp_path, tmp_path / "out/sh030/job.json", models=models)


def test_a_task_that_fails_says_why_and_a_rerun_does_what_is_missing(farm, tmp_path):
    footage = {name: make_footage(tmp_path / name) for name in ("sh010", "sh020")}
    broken = footage["sh020"].plate.path(1004)  # not one of those that are looked at for the exposure
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    words = ("farm", "submit", "--shots", shot_list(tmp_path, footage), "--to", "openjd", "--chunk", 4)
    ran = farm.run(*words)
    assert (ran.code, ran.result["state"]) == (1, "failed")
    assert "plate.1004.exr" in ran.said
    failed = json.loads((tmp_path / "out/sh020/farm/1001-1004.json").read_text())
    assert failed["state"] == "failed"
    assert "plate.1004.exr" in failed["line"]
    assert farm.run("farm", "status", tmp_path / "out/sh020").result["state"] == "failed"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/sh010").glob("*.exr")}
    assert len(before) == len(FRAMES)
    broken.write_bytes(whole)
    ran = farm.run(*words)
    assert (ran.code, ran.result["state"]) == (0, "done"), ran.said
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert ran.said.count("frames already exist") == 2


@pytest.fixture
def long_shot(tmp_path):
    """Long enough to be caught in the middle."""
    shape, frames = (216, 384), range(1001, 1025)
    plate = write_plate(tmp_path, frames, shape)
    roto = write_matte(tmp_path, frames, lambda frame: disc(shape, (110, 40 + 10 * (frame - 1000)), 40))
    (tmp_path / "shots.csv").write_text(
        f"shot,plate,remove,engine,colorspace,output\nsh040,{plate},{roto},propagate,ACEScg,out/clean.####.exr\n"
    )
    return ("farm", "submit", "--shots", tmp_path / "shots.csv", "--to", "openjd")


def test_a_cancelled_job_keeps_what_is_finished(farm, tmp_path, long_shot):
    running = farm.start(*long_shot, "--json")
    out = tmp_path / "out"
    eventually(lambda: running.poll() is not None or len(digests(out)) >= 2, 120)
    running.send_signal(signal.SIGINT)
    ran = farm.ended(running)
    assert (ran.code, ran.result["state"]) == (130, "cancelled"), ran.said
    state = json.loads((out / "farm/1001-1024.json").read_text())
    assert state["state"] == "cancelled"
    kept = digests(out)
    assert 2 <= len(kept) < 24
    ran = farm.run(*long_shot)
    assert ran.code == 0, ran.said
    frames = digests(out)
    assert len(frames) == 24
    assert kept.items() <= frames.items()
    made = json.loads((out / "farm/report_1001-1024.json").read_text())["frames"]
    assert made == 24 - len(kept), "a re-run does only what is missing"


def test_a_server_that_dies_fails_its_task_and_leaves_nothing(farm, tmp_path, long_shot):
    running = farm.start(*long_shot, "--json")
    out = tmp_path / "out"
    eventually(lambda: running.poll() is not None or digests(out), 120)
    (server,) = farm.processes("serve --autostarted")
    server.kill()
    ran = farm.ended(running)
    assert (ran.code, ran.result["state"]) == (1, "failed")
    state = json.loads((out / "farm/1001-1024.json").read_text())
    assert state["state"] == "failed"
    assert "the session's server has ended" in state["line"]
    assert "had already ended" in ran.said, "the session tells the server's last words"
    kept = digests(out)
    ran = farm.run(*long_shot)
    assert ran.code == 0, ran.said
    assert kept.items() <= digests(out).items()
