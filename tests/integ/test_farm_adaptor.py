"""The adaptor as a farm runs it: its daemon in a process of its own, and a whole bundle through openjd-cli."""

from __future__ import annotations

import json
import re
import signal
import subprocess

import pytest

from tests.support.farm import BIN, Farm, digests, openjd
from tests.support.live_server import eventually
from tests.support.shots import disc, write_matte, write_plate

pytest.importorskip("openjd.adaptor_runtime")

from host_plugins.farm.adaptor.adaptor import INTERFACE, check  # needs the runtime
from void_bridge.errors import UsageError

SHAPE = (32, 48)


@pytest.fixture
def farm(tmp_path):
    made = Farm(tmp_path)
    yield made
    assert eventually(lambda: not made.processes()), "a process is left over"


def bundle_of(farm, tmp_path, frames=range(1001, 1007), shape=SHAPE, *options):
    write_plate(tmp_path / "show", frames, shape)
    write_matte(tmp_path / "show", frames, lambda n: disc(shape, (shape[0] // 2, 16 + 2 * (n - 1000)), 6))
    (tmp_path / "shots.csv").write_text(
        "shot,plate,remove,output,engine,colorspace,exposure\n"
        "sh010,show/plate.####.exr,show/roto.####.exr,out/clean.####.exr,propagate,ACEScg,0\n"
    )
    words = ("farm", "bundle", "--shots", tmp_path / "shots.csv", "-o", tmp_path / "bundle", "--runner", "adaptor")
    assert farm.run(*words, *options).code == 0
    return tmp_path / "bundle"


class Daemon:
    def __init__(self, farm, tmp_path) -> None:
        self._farm, self._connection = farm, tmp_path / "connection.json"

    def start(self, *words) -> subprocess.Popen[str]:
        command = [BIN / "void-bridge-adaptor", "daemon", words[0], "--connection-file", self._connection, *words[1:]]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen([str(word) for word in command], env=self._farm.environment, text=True, **pipes)

    def call(self, *words) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        output, _ = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, output)


@pytest.fixture
def daemon(farm, tmp_path):
    made = Daemon(farm, tmp_path)
    began = made.call("start", "--init-data", json.dumps({"gpus": 0}))
    assert began.returncode == 0, began.stdout
    yield made
    ended = made.call("stop")
    assert ended.returncode == 0, ended.stdout


def task(bundle, frames, more=()):
    data = {"jobs": str(bundle / "jobs"), "shot": "sh010", "frames": frames}
    return "--run-data", json.dumps({**data, **dict(more)})


def test_tasks_share_one_server_and_make_their_own_frames(farm, daemon, tmp_path):
    bundle = bundle_of(farm, tmp_path)
    servers = []
    for frames in ("1001-1004", "1005-1006"):
        ran = daemon.call("run", *task(bundle, frames))
        assert ran.returncode == 0, ran.stdout
        assert "openjd_progress: 100" in ran.stdout
        servers.append([process.pid for process in farm.processes("serve --autostarted")])
    assert len(servers[0]) == 1
    assert servers[0] == servers[1]
    assert sorted(digests(tmp_path / "out")) == list(range(1001, 1007))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"shoot": "x"}, "unknown key 'shoot'; did you mean 'shot'"),
        ({"frames": "1-4"}, "got frames 1-4 of sh010, which delivers 1001-1006"),
        ({"shot": "sh01"}, "did you mean 'sh010'"),
    ],
)
def test_data_that_is_wrong_fails_the_task_in_words(farm, daemon, tmp_path, more, words):
    ran = daemon.call("run", *task(bundle_of(farm, tmp_path), "1001-1006", more))
    assert ran.returncode != 0
    assert "openjd_fail: " in ran.stdout
    assert words in ran.stdout


def test_a_cancelled_task_keeps_what_is_finished(farm, daemon, tmp_path):
    bundle = bundle_of(farm, tmp_path, range(1001, 1025), (216, 384))
    running = daemon.start("run", *task(bundle, "1001-1024"))
    eventually(lambda: running.poll() is not None or digests(tmp_path / "out"), 120)
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=120)
    assert running.returncode != 0, output
    state = eventually(lambda: json.loads((tmp_path / "out/farm/1001-1024.json").read_text()))
    eventually(lambda: json.loads((tmp_path / "out/farm/1001-1024.json").read_text())["state"] == "cancelled")
    assert state["frames"] == "1001-1024"
    assert 1 <= len(digests(tmp_path / "out")) < 24


def test_a_whole_bundle_runs_through_the_adaptor(farm, tmp_path):
    bundle = bundle_of(farm, tmp_path, range(1001, 1007), SHAPE, "--chunk", 4, "--gpus", 0)
    assert "passes validation" in openjd(farm, "check", bundle / "template.yaml").stdout
    ran = openjd(farm, "run", bundle / "template.yaml")
    assert ran.returncode == 0, ran.stdout
    assert len(digests(tmp_path / "out")) == 6
    assert (tmp_path / "out/report.json").exists()


def test_a_host_that_lacks_the_gpu_does_not_start(farm, tmp_path):
    farm.environment["PATH"] = str(BIN)  # no nvidia-smi
    daemon = Daemon(farm, tmp_path)
    began = daemon.call("start", "--init-data", json.dumps({"gpus": 1, "gpu_memory_gb": 24}))
    daemon.call("stop")  # as a session does, however its start ended
    assert began.returncode != 0
    assert "asks for 1 GPU with 24 GB, this one has none" in began.stdout


def test_the_interface_has_a_version_that_farms_may_ask_for(farm):
    def compatible(version):
        words = [
            "is-compatible",
            "--openjd-adaptor-cli-version",
            "0.1",
            "--integration-data-interface-version",
            version,
        ]
        done = subprocess.run(
            [BIN / "void-bridge-adaptor", *words], capture_output=True, text=True, env=farm.environment
        )
        return done.returncode == 0

    assert compatible(str(INTERFACE))
    assert not compatible(f"{INTERFACE.major + 1}.0")
    shown = subprocess.run(
        [BIN / "void-bridge-adaptor", "version-info"], capture_output=True, text=True, env=farm.environment
    )
    assert re.search(r"VoidBridgeAdaptor Data Interface Version: .*1\.0", shown.stdout)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("init_data", {"gpu": 1}, "unknown key 'gpu'; did you mean 'gpus'"),
        ("init_data", {"gpus": -1}, "minimum"),
        ("init_data", {"gpus": "one"}, "integer"),
        ("run_data", {"shot": "x", "frames": "1"}, "no 'jobs'"),
        ("run_data", {"jobs": "", "shot": "x", "frames": "1"}, "non-empty"),
    ],
)
def test_the_schemas_hold(name, data, words):
    with pytest.raises(UsageError, match=words):
        check(name, data)


def test_what_the_bundle_hands_over_fits_the_schemas():
    check("init_data", {"gpus": 1, "gpu_memory_gb": 24})
    check("init_data", {})
    check("run_data", {"jobs": "/b/jobs", "shot": "sh010", "frames": "-5--1x2"})
    check("run_data", {"jobs": "/b/jobs", "shot": "sh010", "frames": 1001})
