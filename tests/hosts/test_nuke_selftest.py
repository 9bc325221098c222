"""The self-test inside the fake: every check passes, a failed one is reported, and docs list the same statements."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.hosts.fake_nuke.terminal import write_executable
from tests.hosts.nuke_comp import LAST_S
from tests.hosts.nuke_plugin import started

PAGE = Path(__file__).parents[2] / "docs" / "artists" / "nuke.md"


@pytest.fixture
def fake_nuke(served, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with started(executable=write_executable(tmp_path)) as (fake, plugin):
        fake.nuke.root()["format"].setValue("64 48 1 small")
        yield fake, plugin


@pytest.mark.skipif(sys.platform == "win32", reason="the fake's executable is a shell script")
def test_every_check_passes_in_the_fake(fake_nuke):
    fake, plugin = fake_nuke
    fake.answers[:] = [True, {}]
    fake.cancel_execute_at(200)
    path = Path(plugin.selftest())
    assert "no status of the job yet" in path.read_text()
    fake.pump(lambda: "no status of the job yet" not in path.read_text(), LAST_S)
    report = path.read_text()
    assert "FAIL" not in report, report
    assert "29 of 29 checks pass" in report and "Nuke 17.0v1" in report
    assert fake.nuke.allNodes() == [] and str(path) in fake.messages[-1]


def test_a_failed_check_is_reported_and_stops_no_other(fake_nuke, monkeypatch):
    fake, plugin = fake_nuke
    from host_plugins.nuke import selftest

    few = [check for check in selftest.HOST_CHECKS if check[0] in ("looks", "inputs")]
    monkeypatch.setattr(selftest, "HOST_CHECKS", few)
    fake.answers.append(False)
    path = Path(plugin.selftest())
    fake.pump(lambda: "no status of the job yet" not in path.read_text(), LAST_S)
    report = path.read_text()
    assert "FAIL looks: " in report and "the answer was no" in report and "2 of 3 checks pass" in report


def test_the_docs_list_the_checks_as_unverified():
    with started() as (_, _plugin):
        from host_plugins.nuke.host_checks import HOST_CHECKS, JOB_CHECK

        statements = [statement for _, statement, _ in HOST_CHECKS] + [JOB_CHECK.statement]
    text = PAGE.read_text(encoding="utf-8")
    listed = text[text.index("<!-- self-test -->") : text.index("<!-- /self-test -->")]
    assert [" ".join(line.split()) for line in re.findall(r"^- ((?:.|\n  )+)", listed, re.MULTILINE)] == statements
