"""The adaptor's data, its version, its words: what needs no server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openjd.adaptor_runtime")

import yaml  # the runtime's dependency

from host_plugins.farm.adaptor.adaptor import INTERFACE, VoidBridgeAdaptor
from host_plugins.farm.adaptor.force_stop import session_folder
from host_plugins.farm.adaptor.validation import check
from tests.support.farm import BIN, Farm
from void_bridge.errors import InternalError, UsageError

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[1] / "golden/bundles/adaptor/expected/template.yaml"
TASK = {"jobs": "/b/jobs", "shot": "sh010", "frames": "1001-1004"}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("init_data", {"gpu": 1}, "init_data: unknown key 'gpu'; did you mean 'gpus'"),
        ("init_data", {"gpus": -1}, "init_data: gpus: -1 is less than the minimum"),
        ("init_data", {"gpus": "one"}, "gpus: 'one' is not of type 'integer'"),
        ("init_data", {"gpus": True}, "gpus: True is not of type 'integer'"),
        ("init_data", {"gpu_memory_gb": "24"}, "gpu_memory_gb: '24' is not of type 'number'"),
        ("run_data", {"shot": "x", "frames": "1"}, "run_data: no 'jobs'; expected jobs, shot, frames"),
        ("run_data", {"job": "/b", "shot": "x", "frames": "1"}, "unknown key 'job'; did you mean 'jobs'"),
        ("run_data", {**TASK, "shoot": "x"}, "unknown key 'shoot'; did you mean 'shot'"),
        ("run_data", {**TASK, "jobs": ""}, "jobs: '' should be non-empty"),
        ("run_data", {**TASK, "frames": [1, 2]}, r"frames: \[1, 2\] is not of type"),
        ("run_data", {**TASK, 7: "x"}, "unknown key 7"),
    ],
)
def test_data_that_does_not_fit_is_named_with_the_nearest_key(name, data, words):
    with pytest.raises(UsageError, match=words):
        check(name, data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("init_data", {}),
        ("init_data", {"gpus": 1, "gpu_memory_gb": 24}),
        ("init_data", {"gpus": 2, "gpu_memory_gb": 79.5}),
        ("run_data", {**TASK, "frames": "-5--1x2"}),
        ("run_data", {**TASK, "frames": 1001}),
    ],
)
def test_data_that_fits_is_accepted(name, data):
    check(name, data)


@pytest.mark.parametrize("jobs", ["/sessions/a b/Jobs ä", r"C:\sessions\a: b\jobs", "/a # b/'jobs'"])
def test_the_data_of_a_bundle_fits_with_any_names(jobs):
    (step,) = [step for step in yaml.safe_load(GOLDEN.read_text("utf-8"))["steps"] if "stepEnvironments" in step]
    (init,) = step["stepEnvironments"][0]["script"]["embeddedFiles"]
    check("init_data", yaml.safe_load(init["data"]))
    (run,) = step["script"]["embeddedFiles"]
    task = {"Param.Jobs": jobs, "Task.Param.Shot": "no: 1", "Task.Param.Frames": "1001"}
    text = run["data"]
    for name, value in task.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    data = yaml.safe_load(text)
    check("run_data", data)
    assert data == {"jobs": jobs, "shot": "no: 1", "frames": "1001"}


@pytest.mark.parametrize(
    "rule",
    [
        {"source_path": "/a", "destination_path": "/b"},
        {"source_path_format": "AMIGA", "source_path": "/a", "destination_path": "/b"},
        {"source_path_format": "POSIX", "source_path": "/a", "destination": "/b"},
    ],
)
def test_rules_that_cannot_be_read_are_refused(rule):
    with pytest.raises(UsageError, match=r"cannot read path mapping rules: .*pathmapping-1\.0"):
        VoidBridgeAdaptor({}, path_mapping_data={"version": "pathmapping-1.0", "path_mapping_rules": [rule]})


def test_a_task_before_the_start_is_refused():
    adaptor = VoidBridgeAdaptor({})
    with pytest.raises(InternalError, match="before the adaptor was started"):
        adaptor.on_run(TASK)
    adaptor.on_cleanup()  # as a farm does, whatever came before; there is nothing to end


def test_each_connection_file_has_a_folder_of_its_own():
    a, b = (session_folder(Path(name)) for name in ("/s/a.json", "/s/b.json"))
    assert a != b
    assert (a.parent, a.name) == (Path("/s"), "a.json.session")


def asked(tmp_path, *words) -> subprocess.CompletedProcess[str]:
    """void-bridge-adaptor as a process; the runtime writes below HOME."""
    environment = {**Farm(tmp_path).environment, "HOME": str(tmp_path)}
    command = [BIN / "void-bridge-adaptor", *words]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, timeout=60)


def compatible(tmp_path, version) -> subprocess.CompletedProcess[str]:
    words = ("--openjd-adaptor-cli-version", "0.1", "--integration-data-interface-version", version)
    return asked(tmp_path, "is-compatible", *words)


def test_a_farm_may_ask_for_the_version_of_the_data(tmp_path):
    assert compatible(tmp_path, str(INTERFACE)).returncode == 0
    assert compatible(tmp_path, f"{INTERFACE.major + 1}.0").returncode == 2
    assert f"Data Interface Version: '{INTERFACE}'" in asked(tmp_path, "version-info").stdout


def test_the_runtime_finds_its_configuration(tmp_path):
    shown = asked(tmp_path, "show-config")
    assert shown.returncode == 0, shown.stderr
    assert "log_level: INFO" in shown.stdout


def test_stopping_what_is_not_there_is_no_failure(tmp_path):
    done = asked(tmp_path, "daemon", "stop", "--connection-file", tmp_path / "none.json")
    assert done.returncode == 0, done.stderr
    assert "nothing to stop: no daemon has the connection file" in done.stdout


@pytest.mark.parametrize("data", ["[1, 2]", "file:///nowhere/run.yaml", "a: b: c"])
def test_run_data_that_cannot_be_read_is_a_failure_in_words(tmp_path, data):
    done = asked(tmp_path, "daemon", "run", "--connection-file", tmp_path / "none.json", "--run-data", data)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "--run-data" in done.stderr or "openjd_fail: " in done.stdout


def test_importing_the_adaptor_needs_no_pixels():
    code = "import sys, host_plugins.farm.adaptor.__main__; print(*({'numpy', 'OpenEXR', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
