"""The self-test in the fake Fusion: every check passes, the report names failures, and the docs list all checks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from host_plugins.resolve import host_checks, selftest
from host_plugins.resolve.check_fixture import exr_header, exr_row
from host_plugins.resolve.host import fusion_host
from tests.hosts.fake_fusion import FakeFusion
from tests.hosts.shots_on_disk import point_hosts_at, propagate_server
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import write_simple

PAGE = Path(__file__).parents[2] / "docs" / "artists" / "resolve.md"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    with propagate_server(tmp_path / "server") as server:
        point_hosts_at(server, monkeypatch)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        fake = FakeFusion()
        fake.new_comp("shot", range(1001, 1011))
        yield fake


def artist(user):
    """Turn a page of the window and close it; let the window with the timer close by itself."""
    if user.window.id == host_checks.TIMER_WINDOW:
        for _ in range(host_checks.TICKS):
            user.tick()
    else:
        user.turn_to("pages", "Server")
        assert user.item("stack").CurrentIndex == 1
        user.close()


def test_every_check_passes_in_the_fake(fake):
    comp = fake.comp
    comp.SetData(host_checks.MARK, "was here")
    fake.user, fake.answers = artist, [{}, {}, {}]
    path = selftest.selftest(fusion_host(fake.names()))
    report = path.read_text()
    assert "FAIL" not in report, report
    assert (
        f"{len(host_checks.HOST_CHECKS) + 1} of {len(host_checks.HOST_CHECKS) + 1} checks pass" in report
        and "Fusion fake 1.0" in report
    )
    assert comp.tools == [] and comp.locks == 0
    assert list(path.parent.iterdir()) == [path]


def test_checks_that_fail_are_in_the_report_and_stop_no_other(fake, monkeypatch):
    few = [check for check in host_checks.HOST_CHECKS if check[0] in ("dialog", "render", "saved", "kinds")]
    monkeypatch.setattr(selftest, "HOST_CHECKS", few)
    fake.answers = [None]
    fake.comp.on_render = lambda frames: None
    report = selftest.selftest(fusion_host(fake.names())).read_text()
    assert re.findall(r"FAIL (\w+):", report) == ["render", "saved", "dialog", "job"]
    assert "artists will be told to use Render All Savers" in report and "the dialog was cancelled" in report
    assert "1 of 5 checks pass" in report
    assert fake.comp.tools == []


def test_the_menu_script_says_where_the_report_is(fake, monkeypatch):
    monkeypatch.setattr(selftest, "HOST_CHECKS", host_checks.HOST_CHECKS[:1])
    fake.comp.on_render = lambda frames: None
    messages = []

    def artist(user):
        messages.append(user.text("text"))
        user.click("ok")

    fake.user = artist
    selftest.script(fake.names())
    assert messages[0].startswith("The self-test is done. Please send back: ")
    assert messages[0].endswith(selftest.REPORT)


def test_the_docs_list_every_check_as_unverified():
    text = PAGE.read_text(encoding="utf-8")
    listed = text[text.index("<!-- self-test -->") : text.index("<!-- /self-test -->")]
    lines = [" ".join(line.split()) for line in re.findall(r"^- ((?:.|\n  )+)", listed, re.MULTILINE)]
    assert lines == [statement for _, statement, _ in host_checks.HOST_CHECKS] + [selftest.JOB_STATEMENT]


@pytest.mark.parametrize("compression", ["none", "zips", "zip"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_exr_reader_of_the_checks_reads_what_openexr_writes(tmp_path, compression, dtype):
    rng = np.random.default_rng(3)
    planes = {name: rng.normal(size=(37, 21)).astype(dtype) for name in "RGBA"}
    write_simple(tmp_path / "a.exr", planes, Box(0, 0, 40, 30), Box(-5, -2, 32, 19), compression=compression)
    header = exr_header(tmp_path / "a.exr")
    assert header["dataWindow"] == (-2, -5, 18, 31)
    assert header["channels"] == dict.fromkeys("ABGR", "half" if dtype == np.float16 else "float")
    for line in (0, 15, 16, 36):
        assert exr_row(tmp_path / "a.exr", "G", line) == [float(value) for value in planes["G"][line]]
    with pytest.raises(AssertionError, match="no channel Z"):
        exr_row(tmp_path / "a.exr", "Z", 0)
