"""The files of a job do not depend on when it ran: they are byte for byte the same under another clock and locale.

The wall clock of Python (server, client, worker) is moved by 400 days; libraries in C see the real one, some seconds
later the second time. Time zone, locale, SOURCE_DATE_EPOCH and the seed of hashes differ, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.dated import SITE
from tests.support.live_server import REPOSITORY

UNLIKE = (
    {"SHIFT_DAYS": "0", "TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    {
        "SHIFT_DAYS": "400",
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "2",
        "SOURCE_DATE_EPOCH": "86400",
    },
)
SECONDS = ("seconds", "seconds_by_stage")


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Return path -> bytes of two runs. Both are made in the same place, as a job names its files."""
    root = tmp_path_factory.mktemp("dated")
    site = root / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    found = []
    for number, unlike in enumerate(UNLIKE):
        environment = {**os.environ, **unlike, "PYTHONPATH": os.pathsep.join((str(site), str(REPOSITORY)))}
        words = [sys.executable, "-m", "tests.support.dated", str(root / "work")]
        done = subprocess.run(words, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        (root / "work").rename(root / f"was-{number}")
        made = root / f"was-{number}" / "made"
        found.append({str(p.relative_to(made)): p.read_bytes() for p in sorted(made.rglob("*")) if p.is_file()})
    return found


def test_both_runs_had_different_clocks(trees):
    first, second = (tree["clock.txt"].decode().split() for tree in trees)
    assert int(second[0]) - int(first[0]) in (400, 401)
    assert (first[1], second[1]) == ("UTC", "+0545")


def test_both_made_the_same_files(trees):
    first, second = trees
    assert sorted(first) == sorted(second)
    kinds = {name.rpartition(".")[2] for name in first}
    assert {"exr", "png", "mp4", "json"} <= kinds
    assert len([name for name in first if name.endswith(".exr")]) >= 5 * 6


def test_frames_pictures_movies_job_and_bundle_are_the_same_bytes(trees):
    first, second = trees
    unlike = [name for name in first if first[name] != second[name]]
    assert set(unlike) <= {"clock.txt", "out/report.json"}, unlike
    assert json.loads(first["out/job.json"])["id"] == "same-number"


def test_reports_differ_in_seconds_alone(trees):
    first, second = (json.loads(tree["out/report.json"]) for tree in trees)
    for report in (first, second):
        for name in SECONDS:
            assert report.pop(name)
    assert first == second
    assert first["engine"] == "propagate"
