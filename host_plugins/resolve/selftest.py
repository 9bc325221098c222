"""What could not be verified without Fusion and Resolve, answered by them in two minutes.

`VOID Remove Self-test` in the Scripts menu, on an open composition. It makes tools of its own and takes them out again,
writes below a temporary folder, submits one small job to a local server, and leaves a report to send back.
host_checks.py holds the table; docs/resolve.md lists the same lines.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, List, Mapping

from host_plugins.control.host_checks import HostCheck, HostCheckResult, report_text, run_host_checks
from host_plugins.control.state import JobState
from host_plugins.resolve.check_fixture import FusionCheckFixture
from host_plugins.resolve.comp_data import jobs_of
from host_plugins.resolve.graph import changes
from host_plugins.resolve.host import FusionHost, fusion_host
from host_plugins.resolve.host_checks import HOST_CHECKS, JOB_CHECK
from host_plugins.resolve.message import tell
from host_plugins.resolve.result import PASTE, RESULT, loader_of
from host_plugins.resolve.session import FusionSession
from void_bridge.errors import VoidBridgeError

REPORT = "void_bridge_resolve_selftest.txt"
JOB_S = 300.0
_WORK = ("exports", "render")


def selftest(host: FusionHost) -> Path:
    """Run every check. Returns the report."""
    folder = Path(tempfile.mkdtemp(prefix="void-bridge-selftest-"))
    fixture = FusionCheckFixture(host, folder)
    try:
        checks = [HostCheck(name, what, lambda check=check: check(fixture)) for name, what, check in HOST_CHECKS]  # type: ignore[misc]
        checks.append(HostCheck(JOB_CHECK.name, JOB_CHECK.statement, lambda: job_round_trip(fixture)))
        outcomes = run_host_checks(checks, lambda check: host.comp.Print(f"VOID self-test: {check.name}\n"))
    finally:
        fixture.clear()
    return _report(folder, host.name, outcomes)


def job_round_trip(fixture: FusionCheckFixture) -> str:
    """Submit a small job, wait for it, and look at its Loaders; they are taken out again."""
    front = _Console(fixture.host)
    session = FusionSession(fixture.host, front)
    try:
        session.submit(fixture.choice, fixture.settings())
        assert not session.submission.is_waiting, "comp.Render wrote nothing"
        token = session.token_for(fixture.choice)
        end = time.monotonic() + JOB_S
        while not (front.failed or _is_home(fixture, token)):
            assert time.monotonic() < end, f"not done after {JOB_S:.0f} s: {front.line}"
            session.drain(wait_s=0.5)
        assert not front.failed, front.failed
        with changes(fixture.comp, "VOID Remove: self-test"):
            for kind in (RESULT, PASTE):
                loader = loader_of(fixture.comp, token, kind)
                if loader is not None:
                    loader.Delete()
        return front.line
    finally:
        session.close()


def _is_home(fixture: FusionCheckFixture, token: str) -> bool:
    state = jobs_of(fixture.comp).get(token, JobState())
    return state.phase == "done" and loader_of(fixture.comp, token, PASTE) is not None


class _Console:
    """A `SessionView` that remembers the last words."""

    def __init__(self, host: FusionHost) -> None:
        self._host = host
        self.line = self.failed = ""

    def show_line(self, text: str) -> None:
        self.line = text

    def show_state(self, token: str, state: JobState) -> None:
        self.line = state.line
        if state.phase in ("failed", "lost", "cancelled"):
            self.failed = state.line

    def show_picture(self, path: str) -> None:
        self.line = path

    def tell(self, text: str) -> None:
        self.failed = text


def _report(folder: Path, host: str, outcomes: List[HostCheckResult]) -> Path:
    """Written beside what was rendered, which goes away."""
    for path in folder.iterdir():
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True) if path.is_file() else None
    report = folder / REPORT
    report.write_text(report_text(host, outcomes), encoding="utf-8")
    return report


def script(names: Mapping[str, Any]) -> None:
    """For a menu: run it, and say where the report lies."""
    try:
        tell(names, f"The self-test is done. Please send back: {selftest(fusion_host(names))}")
    except VoidBridgeError as exc:
        tell(names, exc.message)
