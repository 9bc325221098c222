"""Detection of ended processes, zombies among them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from host_plugins.farm.processes import is_running, wait_until_ended
from tests.support.live_server import eventually
from void_bridge.processes import has_ended

SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def process():
    with subprocess.Popen(SLEEPS) as process:
        yield process
        process.kill()


def test_a_running_process_has_not_ended(process):
    assert not has_ended(process.pid) and is_running(process.pid)
    assert [left.pid for left in wait_until_ended([psutil.Process(process.pid)], 0.1)] == [process.pid]


@pytest.mark.skipif(sys.platform != "linux", reason="zombies are told from running processes by /proc")
def test_a_zombie_has_ended(process):
    watched = psutil.Process(process.pid)
    process.kill()
    eventually(lambda: watched.status() == psutil.STATUS_ZOMBIE)
    began = time.monotonic()
    assert wait_until_ended([watched], 20.0) == [] and time.monotonic() - began < 10.0
    assert has_ended(process.pid) and not is_running(process.pid)


@pytest.mark.skipif(os.name == "nt", reason="not known there")
def test_a_collected_process_has_ended(process):
    process.kill()
    process.wait()
    assert has_ended(process.pid) and not is_running(process.pid)
    assert not has_ended(0)
