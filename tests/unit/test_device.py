"""The GPU that a worker gets, with a fake management library that counts as many GPUs as the test says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

COMPILER = shutil.which("cc")
LIBRARY = """
#include <stdlib.h>
int nvmlInit_v2(void) { return getenv("DRIVER_FAILS") != 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = atoi(getenv("GPUS")); return 0; }
"""
CLAIM = """
import json, os, sys
from gpu_server.device import claim_device, visible_gpus
answers = []
for case in json.loads(sys.argv[1]):
    for name in ("GPUS", "CUDA_VISIBLE_DEVICES", "DRIVER_FAILS"):
        os.environ.pop(name, None)
    os.environ.update(case["environment"])
    claimed = claim_device(case["worker"])
    answers.append([claimed, os.environ.get("CUDA_VISIBLE_DEVICES"), visible_gpus()])
print(json.dumps(answers))
"""


def claimed_devices(folder, *cases):
    """Return, for each case, the device of its worker, the environment after the claim, and the visible GPUs."""
    if sys.platform != "linux" or COMPILER is None:
        pytest.skip("needs Linux and a C compiler")
    (folder / "nvml.c").write_text(LIBRARY)
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", folder / "nvml.c"], check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    queries = [{"environment": {"GPUS": str(gpus), **more}, "worker": worker} for gpus, worker, more in cases]
    done = subprocess.run(
        [sys.executable, "-c", CLAIM, json.dumps(queries)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [tuple(answer) for answer in json.loads(done.stdout)]


def test_each_worker_gets_one_gpu(tmp_path):
    cases = [(2, worker, {}) for worker in range(3)]
    assert claimed_devices(tmp_path, *cases) == [("cuda:0", "0", ["0"]), ("cuda:0", "1", ["1"]), ("cuda:0", "0", ["0"])]


def test_visible_gpus_are_those_that_cuda_sees(tmp_path):
    listed = ["1", "3,2", "GPU-5ebe9f43,1", "0,-1,1", "-1", "", "9", " 1 , 0 "]
    answers = claimed_devices(tmp_path, *((4, 1, {"CUDA_VISIBLE_DEVICES": names}) for names in listed))
    given = [visible for _, visible, _ in answers]
    assert given[:4] == ["1", "2", "1", "0"] and given[7] == "0"
    for name, (device, _, usable) in zip(listed[4:7], answers[4:7], strict=True):
        assert (device, usable) == ("cpu", []), f"{name!r} hides every GPU"


def test_without_a_driver_that_answers_there_is_no_gpu(tmp_path):
    hidden = {"CUDA_VISIBLE_DEVICES": "0"}
    answers = claimed_devices(tmp_path, (0, 0, {}), (0, 0, hidden), (4, 0, {"DRIVER_FAILS": "1"}), (4, 0, {**hidden}))
    assert [device for device, _, _ in answers] == ["cpu", "cpu", "cpu", "cuda:0"]
