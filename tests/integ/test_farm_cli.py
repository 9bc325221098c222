"""`void-bridge farm` as a TD, a wrangler and a worker type it: real processes, real files, real refusals."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.support.farm import Farm, digests, openjd, rules_file
from tests.support.live_server import eventually
from tests.support.shots import disc, write_matte, write_plate
from void_bridge.job import JobFile

pytest.importorskip("openjd.cli")

FRAMES = range(1001, 1007)
SHAPE = (32, 48)


@pytest.fixture
def farm(tmp_path):
    made = Farm(tmp_path)
    yield made
    assert eventually(lambda: not made.processes()), "a process is left over"


@pytest.fixture
def shot(tmp_path):
    """A shot, and a list with it. Returns the list's path."""
    folder = tmp_path / "show"
    write_plate(folder, FRAMES, SHAPE)
    write_matte(folder, FRAMES, disc(SHAPE, (16, 16), 6))
    return listed(tmp_path / "shots.csv", "sh010,show/plate.####.exr,show/roto.####.exr,out/sh010/clean.####.exr")


def listed(path: Path, *lines: str) -> Path:
    head = "shot,plate,remove,output,engine,colorspace,exposure"
    path.write_text("\n".join([head, *(f"{line},propagate,ACEScg,0" for line in lines)]) + "\n", encoding="utf-8")
    return path


def test_a_broken_line_stops_the_list_before_anything_is_written_or_is_left_out(farm, shot, tmp_path):
    good = shot.read_text().splitlines()[1].removesuffix(",propagate,ACEScg,0")
    listed(shot, good, "sh020,show/nothing.####.exr,show/roto.####.exr,out/sh020/clean.####.exr", "sh030")
    ran = farm.run("farm", "submit", "--shots", shot, "--to", "openjd")
    assert ran.code == 2
    assert "line 3: " in ran.result["error"]["message"]
    assert "line 4: " in ran.result["error"]["message"]
    assert not (tmp_path / "out").exists()
    ran = farm.run("farm", "submit", "--shots", shot, "--to", "openjd", "--skip-broken")
    assert (ran.code, ran.result["state"]) == (0, "done"), ran.said
    assert [line.partition(":")[0] for line in ran.result["skipped"]] == ["line 3", "line 4"]
    assert len(digests(tmp_path / "out/sh010")) == len(FRAMES)
    assert not (tmp_path / "out/sh020").exists()


def test_two_jobs_to_one_output_are_refused_in_one_list_and_one_after_the_other(farm, shot, tmp_path):
    line = "show/plate.####.exr,show/roto.####.exr,out/same/clean.####.exr"
    both = listed(tmp_path / "both.csv", f"sh010,{line}", f"sh020,{line}")
    ran = farm.run("farm", "bundle", "--shots", both, "-o", tmp_path / "bundle")
    assert (ran.code, ran.result["error"]["code"]) == (2, "output")
    assert "sh010 and sh020 would both write to" in ran.said
    assert farm.run("farm", "submit", "--shots", shot, "--to", "openjd").code == 0
    changed = JobFile.read(tmp_path / "out/sh010/job.json").job.replace(seed=5)
    JobFile(changed).write(tmp_path / "other.json")
    ran = farm.run("farm", "submit", tmp_path / "other.json", "--to", "openjd")
    assert (ran.code, ran.result["error"]["code"]) == (2, "output")
    assert "with other settings" in ran.said
    before = digests(tmp_path / "out/sh010")
    assert len(before) == len(FRAMES)
    ran = farm.run("farm", "submit", tmp_path / "other.json", "--to", "openjd", "--overwrite")
    assert ran.code == 0, ran.said
    assert JobFile.read(tmp_path / "out/sh010/job.json").job == changed


def test_a_task_of_a_job_that_was_replaced_writes_nothing(farm, shot, tmp_path):
    assert farm.run("farm", "bundle", "--shots", shot, "-o", tmp_path / "bundle").code == 0
    job = JobFile.read(tmp_path / "bundle/jobs/sh010.json").job
    JobFile(job.replace(seed=8)).write(tmp_path / "out/sh010/job.json")
    ran = openjd(farm, "run", tmp_path / "bundle/template.yaml")
    assert ran.returncode != 0
    assert "holds another job than this task's" in ran.stdout
    assert not digests(tmp_path / "out/sh010")


def test_a_bundle_from_windows_runs_here_through_path_mapping_rules(farm, shot, tmp_path):
    assert farm.run("farm", "bundle", "--shots", shot, "-o", tmp_path / "bundle", "--chunk", 4).code == 0
    path = tmp_path / "bundle/jobs/sh010.json"
    here = json.dumps(str(tmp_path))[1:-1]
    there = json.dumps("P:\\Show ä")[1:-1]
    text = path.read_text(encoding="utf-8").replace(here, there)
    for kind in ("plate.", "roto.", "clean."):
        text = (
            text.replace(f"/{kind}", f"\\\\{kind}")
            .replace("/show", "\\\\show")
            .replace("/out/sh010", "\\\\out\\\\sh010")
        )
    path.write_text(text, encoding="utf-8")
    assert JobFile.read(path).job.plate == "P:\\Show ä\\show\\plate.####.exr"
    ran = openjd(farm, "run", tmp_path / "bundle/template.yaml")
    assert ran.returncode != 0
    assert "is outside every mapped root (none)" in ran.stdout
    rules = rules_file(tmp_path / "rules.json", [("WINDOWS", "p:\\show Ä", str(tmp_path))])
    ran = openjd(farm, "run", tmp_path / "bundle/template.yaml", "--path-mapping-rules", f"file://{rules}")
    assert ran.returncode == 0, ran.stdout
    assert len(digests(tmp_path / "out/sh010")) == len(FRAMES)


def test_a_host_without_a_gpu_says_so_before_anything_is_loaded(farm, shot, tmp_path):
    shot.write_text(shot.read_text().replace("propagate", "void"))
    farm.environment["PATH"] = str(Path(sys.executable).parent)  # no nvidia-smi
    ran = farm.run("farm", "submit", "--shots", shot, "--to", "openjd", "--gpu-memory", 16)
    assert (ran.code, ran.result["state"]) == (1, "failed")
    assert "asks for 1 GPU with 16 GB, this one has none" in ran.said
    assert not digests(tmp_path / "out/sh010")


def test_paths_that_the_farm_does_not_see_are_refused_at_submission(farm, shot, tmp_path):
    farm.environment["VOID_BRIDGE_FARM_ROOTS"] = str(tmp_path / "out")
    ran = farm.run("farm", "submit", "--shots", shot, "--to", "openjd")
    assert (ran.code, ran.result["error"]["code"]) == (2, "input")
    assert "is outside the folders that the farm's workers see" in ran.said
    assert not (tmp_path / "out").exists()


def test_a_task_starts_no_server_of_its_own(farm, shot, tmp_path):
    assert farm.run("farm", "bundle", "--shots", shot, "-o", tmp_path / "bundle").code == 0
    task = ("farm", "task", "--jobs", tmp_path / "bundle/jobs", "--shot", "sh010", "--lines", "openjd")
    ended = farm.start(*task)
    output, _ = ended.communicate(timeout=60)
    assert ended.returncode == 3
    assert output.startswith("openjd_fail: the session's server has ended")
    assert not farm.processes("serve")
    state = json.loads((tmp_path / "out/sh010/farm/1001-1006.json").read_text())
    assert state["state"] == "failed"


def test_a_farm_without_sessions_gets_a_server_for_each_task(farm, shot, tmp_path):
    assert farm.run("farm", "bundle", "--shots", shot, "-o", tmp_path / "bundle", "--chunk", 4).code == 0
    one = ("farm", "task", "--own-session", "--bundle", tmp_path / "bundle", "--lines", "deadline10")
    ended = farm.start(*one, "--task", 1)
    output, said = ended.communicate(timeout=120)
    assert ended.returncode == 0, said
    assert "Progress: 100%" in output
    assert sorted(digests(tmp_path / "out/sh010")) == [1005, 1006]
    assert not farm.processes()
    ran = farm.run("farm", "check", "--bundle", tmp_path / "bundle")
    assert (ran.code, ran.result["error"]["code"]) == (2, "missing_frames")
    assert "1001-1004 of 1001-1006 are not in" in ran.said
    for words, reason in (
        (("--task", 7), "got task 7, expected 0 to 1"),
        ((), "got no shot"),
        (("--shot", "sh01"), "did you mean 'sh010'"),
        (("--shot", "sh010", "--frames", "1-4"), "got frames 1-4 of sh010, which delivers 1001-1006"),
    ):
        ran = farm.run(*one, *words)
        assert ran.code == 2
        assert reason in ran.said


def test_a_task_that_is_terminated_ends_its_own_server(farm, tmp_path):
    shape = (216, 384)
    plate = write_plate(tmp_path / "show", range(1001, 1021), shape)
    write_matte(tmp_path / "show", range(1001, 1021), lambda n: disc(shape, (100, 40 + 10 * (n - 1000)), 40))
    path = listed(tmp_path / "shots.csv", f"sh010,{plate},show/roto.####.exr,out/clean.####.exr")
    assert farm.run("farm", "bundle", "--shots", path, "-o", tmp_path / "bundle").code == 0
    task = farm.start("farm", "task", "--own-session", "--bundle", tmp_path / "bundle", "--task", 0)
    eventually(lambda: task.poll() is not None or digests(tmp_path / "out"), 120)
    task.send_signal(signal.SIGTERM)
    task.communicate(timeout=60)
    assert task.returncode == 130
    assert 1 <= len(digests(tmp_path / "out")) < 20
    assert json.loads((tmp_path / "out/farm/1001-1020.json").read_text())["state"] == "cancelled"
    assert not farm.processes()


def test_a_job_in_the_background_is_followed_by_its_files(farm, shot, tmp_path):
    ran = farm.run("farm", "submit", "--shots", shot, "--to", "openjd", "--detach")
    assert (ran.code, ran.result["state"]) == (0, "queued"), ran.said
    assert int(ran.result["farm_job"]) > 0

    def status():
        return farm.run("farm", "status", tmp_path / "out/sh010").result

    assert eventually(lambda: status()["state"] == "done", 60)
    assert status()["farm_job"] == ran.result["farm_job"]
    assert len(digests(tmp_path / "out/sh010")) == len(FRAMES)


def test_a_comp_is_rendered_after_the_shots(farm, shot, tmp_path):
    """Nuke is a fake here: a script that notes what it was called with, and whether the frames were there by then."""
    nuke = tmp_path / "fake nuke"
    nuke.write_text(
        f'#!/bin/sh\nls "{tmp_path}/out/sh010" | grep -c exr >> "{tmp_path}/seen"\necho "$@" >> "{tmp_path}/calls"\n'
    )
    nuke.chmod(0o755)
    (tmp_path / "a comp.nk").write_text("# comp\n")
    comp = ("--then-comp", tmp_path / "a comp.nk", "--comp-write", "Write1", "--comp-frames", "1001-1002")
    ran = farm.run("farm", "submit", "--shots", shot, "--to", "openjd", "-p", f"Nuke={nuke}", *comp)
    assert ran.code == 0, ran.said
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [f"-X Write1 -F {frame} {tmp_path}/a comp.nk" for frame in (1001, 1002)]
    assert (tmp_path / "seen").read_text().split() == ["6", "6"]


def test_site_hooks_are_called_once_a_job(farm, shot, tmp_path):
    (tmp_path / "studio_farm_hooks.py").write_text(
        "import json\n"
        f"root = {str(tmp_path)!r}\n"
        "def before(job):\n    open(root + '/before', 'a').write('x')\n    return job.replace(prompt='a wall')\n"
        "def after(job, paths, report):\n"
        "    open(root + '/after', 'a').write(json.dumps([len(paths), report['frames'], job.prompt]) + '\\n')\n"
    )
    farm.environment["PYTHONPATH"] = str(tmp_path)
    farm.environment["VOID_BRIDGE_BEFORE_SUBMIT"] = "studio_farm_hooks:before"
    farm.environment["VOID_BRIDGE_AFTER_RESULT"] = "studio_farm_hooks:after"
    ran = farm.run("farm", "submit", "--shots", shot, "--to", "openjd", "--chunk", 2)
    assert ran.code == 0, ran.said
    assert (tmp_path / "before").read_text() == "x"
    assert json.loads((tmp_path / "after").read_text()) == [6, 6, "a wall"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("submit", "nothing.json", "--to", "opnjd"), "did you mean 'openjd'"),
        (("submit", "--to", "openjd"), "got no job"),
        (("submit", "nothing.json"), "got no farm; give --to"),
        (("bundle", "--shots", "shots.csv", "-o", "b", "-p", "VoidBrige=x"), "did you mean 'VoidBridge'"),
        (("bundle", "--shots", "shots.csv", "-o", "b", "-p", "VoidBridge"), "expected NAME=VALUE"),
        (("bundle", "--shots", "shots.csv", "-o", "b", "--chunk", "-1"), "got chunk -1, expected 0 to"),
        (("submit", "--shots", "shots.csv", "--to", "openjd", "--depends-on", "7"), "one after the other"),
        (("bundle", "--shots", "shots.csv", "-o", "b", "--then-comp", "no.nk"), "save the script first"),
        (("status", "show"), "has no farm submission"),
    ],
)
def test_wrong_usage_is_reported_and_leaves_nothing(farm, shot, tmp_path, words, reason):
    before = sorted(tmp_path.rglob("*"))
    ran = farm.run("farm", *words)
    assert ran.code == 2
    assert reason in ran.result["error"]["message"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path not in before]
