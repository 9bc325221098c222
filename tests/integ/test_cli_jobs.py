"""The command line in separate processes: exit codes, output streams, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.support.client_jobs import config_for, make_job
from tests.support.live_server import eventually, running, settings
from tests.support.shots import write_matte, write_plate
from void_bridge.client import connect
from void_bridge.config import as_environment
from void_bridge.errors import InputError
from void_bridge.job import JobFile

FRAMES = range(1001, 1005)
FIELDS = {"job", "state", "output", "frames", "engine", "seconds"}


@pytest.fixture
def shot(tmp_path):
    """Return the arguments of `remove` for a small shot."""
    plate = write_plate(tmp_path / "plate", FRAMES, shape=(8, 8))
    roto = write_matte(tmp_path / "roto", FRAMES, np.ones((8, 8), np.float16))
    return ["remove", plate.pattern, "--remove", f"{roto.pattern}:A", "-o", str(tmp_path / "out" / "clean.####.exr")]


@pytest.fixture
def server(tmp_path):
    with running(settings(tmp_path)):
        yield


def environment(tmp_path):
    return {**os.environ, **as_environment(config_for(tmp_path))}


def start(tmp_path, *words):
    command = [sys.executable, "-m", "void_bridge.cli", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment(tmp_path), cwd=tmp_path)


def run(tmp_path, *words):
    process = start(tmp_path, *words)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def script(**what):
    return ("--prompt", json.dumps(what))


def test_remove_ends_with_one_line_of_json(tmp_path, server, shot):
    code, out, err = run(tmp_path, *shot, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert set(found) >= FIELDS
    assert (found["state"], found["frames"], found["output"]) == ("done", 4, str(tmp_path / "out" / "clean.####.exr"))
    assert len(list((tmp_path / "out").glob("clean.*.exr"))) == 4
    assert "\x1b" not in err
    assert "4 frames" in err


def test_remove_prints_its_result_on_standard_output(tmp_path, server, shot):
    code, out, err = run(tmp_path, *shot)
    assert (code, out) == (0, f"4 frames in {tmp_path / 'out'}, 0:00 by auto\n"), err
    assert "ACEScg" in err
    assert "done, 4 of 4 frames" in err


def test_a_failed_job_exits_1_with_its_code(tmp_path, server, shot):
    code, out, err = run(tmp_path, *shot, *script(fail=["missing_frames", "1003 is gone"]), "--json")
    found = json.loads(out)
    assert code == 1
    assert (found["state"], found["error"]) == ("failed", {"code": "missing_frames", "message": "1003 is gone"})
    assert err.splitlines()[-1] == f"void-bridge: job {found['job']} failed: 1003 is gone"


def test_a_missing_server_gives_exit_code_3(tmp_path, shot):
    code, out, err = run(tmp_path, *shot, "--json", "--no-autostart")
    assert code == 3
    assert json.loads(out)["error"]["code"] == "no_server"
    assert "Traceback" not in err


def test_missing_frames_are_named_before_a_server_is_asked(tmp_path, shot):
    code, out, err = run(tmp_path, *shot, "--frames", "1003-1007")
    assert (code, out) == (2, "")
    assert err == (
        f"void-bridge: missing 1005-1007 of 1003-1007 in {tmp_path / 'plate' / 'plate.####.exr'}; "
        "the folder has 1001-1004: render them or give other --frames\n"
    )


def test_wrong_usage_is_one_line_and_exits_2(tmp_path):
    code, out, err = run(tmp_path, "remove", "--sed", "3", "--json")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert json.loads(out)["error"]["code"] == "usage"


def test_ctrl_c_cancels_the_job_and_exits_130(tmp_path, server, shot):
    process = start(tmp_path, *shot, *script(gate=str(tmp_path / "never")), "--json")
    with connect(config_for(tmp_path)) as client:
        id = eventually(lambda: submitted_id(tmp_path))
        eventually(lambda: process.stderr.readline().startswith("running"))  # the command follows it by now
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, client.status(id).state) == (130, "cancelled")
    found = json.loads(out)
    assert (found["job"], found["state"], found["error"]["code"]) == (id, "cancelled", "cancelled")
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["watch", "fetch"])
def test_ctrl_c_leaves_a_watched_job_running(tmp_path, server, shot, command):
    id = run(tmp_path, "submit", *shot[1:], *script(gate=str(tmp_path / "never")))[1].strip()
    process = start(tmp_path, command, id, "--json")
    eventually(lambda: process.stderr.readline().startswith("running"))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    found = json.loads(out)
    assert set(found) >= FIELDS
    assert (process.returncode, found["job"], found["state"]) == (130, id, "running")
    assert found["error"] == {"code": "cancelled", "message": f"interrupted; job {id} continues"}
    assert json.loads(run(tmp_path, "status", id, "--json")[1])["state"] == "running"


def submitted_id(tmp_path):
    try:
        return JobFile.read(tmp_path / "out" / "job.json").id
    except InputError:
        return None


def test_a_killed_client_loses_nothing(tmp_path, server, shot):
    gate = tmp_path / "gate"
    process = start(tmp_path, *shot, *script(gate=str(gate), gate_at=1003))
    eventually(lambda: len(list((tmp_path / "out").glob("clean.*.exr"))) == 2)
    process.kill()
    process.communicate()
    fetch = start(tmp_path, "fetch", tmp_path / "out" / "job.json", "--json")
    gate.touch()
    out, err = fetch.communicate(timeout=60)
    assert fetch.returncode == 0, err
    assert json.loads(out)["frames"] == 4
    assert len(list((tmp_path / "out").glob("clean.*.exr"))) == 4


def test_a_job_is_submitted_watched_fetched_and_listed(tmp_path, server, shot):
    gate = tmp_path / "gate"
    code, out, _ = run(tmp_path, "submit", *shot[1:], *script(gate=str(gate), gate_at=1002))
    id = out.strip()
    assert code == 0
    with connect(config_for(tmp_path)) as client:
        eventually(lambda: client.status(id).frames_done == 1)
    code, out, _ = run(tmp_path, "status", id, "--json")
    assert (code, json.loads(out)["state"], json.loads(out)["frames"]) == (0, "running", 1)
    code, out, _ = run(tmp_path, "fetch", id, "--no-wait", "-o", tmp_path / "early")
    assert (code, out) == (0, "1 of 4 frames are on disk; the job is running\n")
    assert (tmp_path / "early" / "clean.1001.exr").exists()
    gate.touch()
    code, out, _ = run(tmp_path, "watch", id, "--json")
    assert (code, json.loads(out)["state"]) == (0, "done")
    code, out, _ = run(tmp_path, "jobs", "--json")
    assert [job["id"] for job in json.loads(out)["jobs"]] == [id]


def test_cancel_prints_the_state_of_the_job(tmp_path, server, shot):
    id = run(tmp_path, "submit", *shot[1:], *script(gate=str(tmp_path / "never")))[1].strip()
    code, out, _ = run(tmp_path, "cancel", id, "--json")
    assert (code, json.loads(out)["state"]) == (0, "cancelled")
    assert run(tmp_path, "watch", id)[0] == 130


def test_cancel_says_that_a_job_had_ended(tmp_path, server, shot):
    id = json.loads(run(tmp_path, *shot, "--json")[1])["job"]
    code, out, err = run(tmp_path, "cancel", id, "--json")
    found = json.loads(out)
    assert (code, found["state"], found["output"]) == (0, "done", str(tmp_path / "out" / "clean.####.exr"))
    assert f"job {id} had ended; nothing was cancelled" in err


def test_an_unknown_job_exits_2(tmp_path, server):
    code, _, err = run(tmp_path, "status", "nosuchjob")
    assert code == 2
    assert err.startswith("void-bridge: this server knows no job 'nosuchjob'")


def test_doctor_finds_the_server(tmp_path, server):
    code, out, err = run(tmp_path, "doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)["findings"]}
    assert findings["answer"]["state"] == "ok"
    assert "scripted" in findings["answer"]["detail"]
    assert {"nuke", "resolve"} <= set(findings)
    assert {finding["state"] for finding in findings.values()} <= {"ok", "note"}, err
    assert code == 0


_LITTLE_ROOM = """
import resource, sys
from void_bridge.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("transport", ["inline", "path"])
def test_a_full_disk_leaves_no_partial_frame(tmp_path, server, transport):
    with connect(config_for(tmp_path)) as client:
        id = client.submit(make_job(tmp_path, size=100_000)).id
        list(client.watch(id))
    process = subprocess.run(
        [sys.executable, "-c", _LITTLE_ROOM, "fetch", id, "-o", tmp_path / "copy", "--json"],
        capture_output=True,
        env={**environment(tmp_path), "VOID_BRIDGE_TRANSPORT": transport},
        text=True,
        timeout=60,
    )
    assert process.returncode == 2
    assert json.loads(process.stdout)["error"]["code"] == "output"
    assert "cannot write" in process.stderr and "clean.1001.exr" in process.stderr
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["job.json"]


def test_a_closed_pipe_is_no_error(tmp_path):
    process = start(tmp_path, "config", "show")
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(30)
