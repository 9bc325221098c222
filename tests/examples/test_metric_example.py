"""The worked example of a metric: it is on the page of a server."""

from __future__ import annotations

import subprocess
import sys

from tests.support.live_server import DEADLINE_S, REPOSITORY


def test_a_metric_with_one_declaration_is_on_the_page():
    command = [sys.executable, REPOSITORY / "examples/metric.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "# HELP void_bridge_busy_workers_ratio Share of the workers that have a job.",
        "# TYPE void_bridge_busy_workers_ratio gauge",
        "void_bridge_busy_workers_ratio 0.0",
    ]
