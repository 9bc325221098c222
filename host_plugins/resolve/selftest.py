"""The self-test: the checks of `host_checks` and one job, run inside Fusion or Resolve in about two minutes.

`VOID Remove Self-test` in the Scripts menu runs it on an open composition. It adds tools and deletes them again, writes
below a temporary folder, submits one small job to a local server, and leaves a report for the user to send back.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Mapping, Tuple

from host_plugins.control.host_checks import HostCheck, report_text, run_host_checks
from host_plugins.control.state import JobState
from host_plugins.resolve.check_fixture import UNDO_TITLE, FusionCheckFixture
from host_plugins.resolve.comp_data import jobs_of
from host_plugins.resolve.graph import undo_step
from host_plugins.resolve.host import FusionHost, fusion_host, run_from_menu, show_message
from host_plugins.resolve.host_checks import HOST_CHECKS
from host_plugins.resolve.result import PASTE, RESULT, loader_of
from host_plugins.resolve.session import FusionSession

REPORT = "void_bridge_resolve_selftest.txt"
JOB_S = 300.0
JOB_STATEMENT = "a job goes to a local server, and its frames and its paste matte come into Loaders"


def selftest(host: FusionHost) -> Path:
    """Run every check and return the path of the report."""
    folder = Path(tempfile.mkdtemp(prefix="void-bridge-selftest-"))
    fixture = FusionCheckFixture(host, folder)
    try:
        table = (*HOST_CHECKS, ("job", JOB_STATEMENT, submit_job))
        checks = [HostCheck(name, statement, functools.partial(run, fixture)) for name, statement, run in table]
        results = run_host_checks(checks, lambda check: host.comp.Print(f"VOID self-test: {check.name}\n"))
    finally:
        fixture.remove_tools()
    _empty(folder)
    report = folder / REPORT
    report.write_text(report_text(host.name, results), encoding="utf-8")
    return report


def submit_job(fixture: FusionCheckFixture) -> str:
    """Submit a small job, wait until its Loaders show it, and delete them.

    Raises:
        AssertionError: the job failed, or is not done in time.
    """
    view = _LastLine()
    session = FusionSession(fixture.host, view)
    try:
        session.submission.start(fixture.choice, fixture.settings())
        assert not session.submission.is_waiting, "comp.Render wrote nothing"
        token = session.token_for(fixture.choice)
        end = time.monotonic() + JOB_S
        while not (view.error or _is_shown(fixture, token)):
            assert time.monotonic() < end, f"not done after {JOB_S:.0f} s: {view.line}"
            session.drain(wait_s=0.5)
        assert not view.error, view.error
        with undo_step(fixture.comp, UNDO_TITLE):
            for kind in (RESULT, PASTE):
                loader = loader_of(fixture.comp, token, kind)
                if loader is not None:
                    loader.Delete()
        return view.line
    finally:
        session.close()


def _is_shown(fixture: FusionCheckFixture, token: str) -> bool:
    state = jobs_of(fixture.comp).get(token, JobState())
    return state.phase == "done" and loader_of(fixture.comp, token, PASTE) is not None


class _LastLine:
    """A `SessionView` that keeps the last line and the last error."""

    def __init__(self) -> None:
        self.line = self.error = ""

    def show_status(self, text: str) -> None:
        self.line = text

    def show_state(self, token: str, state: JobState) -> None:
        self.line = state.line
        if state.phase in ("failed", "lost", "cancelled"):
            self.error = state.line

    def show_picture(self, path: str) -> None:
        self.line = path

    def show_engines(self, engines: Tuple[str, ...]) -> None:
        """Ignore the engines: a self-test offers no choice."""

    def show_message(self, text: str) -> None:
        self.error = text


def _empty(folder: Path) -> None:
    """Delete what the checks have rendered."""
    for path in folder.iterdir():
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)


def run(names: Mapping[str, Any]) -> None:
    """Run the self-test and show where its report is.

    Args:
        names: the globals of the script.

    Raises:
        UsageError: the script does not run in Fusion, or no composition is open.
    """
    show_message(names, f"The self-test is done. Please send back: {selftest(fusion_host(names))}")


def script(names: Mapping[str, Any]) -> None:
    """Run the script of the menu, and show its error as a message.

    Args:
        names: the globals of the script.
    """
    run_from_menu(names, run)
