"""The self-test that runs inside Nuke: checks what cannot be verified without it, in two minutes.

    import void_bridge_nuke
    void_bridge_nuke.selftest()

It works in a group of its own that is deleted afterwards, writes below a temporary folder, submits one small job to a
local server, and leaves a report to send back. host_checks.py holds the table; docs/artists/nuke.md lists
the same lines.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path
from typing import List

import nuke

from host_plugins.control.host_checks import HostCheck, HostCheckResult, report_text, run_host_checks
from host_plugins.control.request import Order, make_job
from host_plugins.control.state import ENDED, JobState
from host_plugins.nuke.export import write_export
from host_plugins.nuke.host_checks import HOST_CHECKS, JOB_CHECK, NukeCheckFixture
from host_plugins.nuke.panel import settings_of
from host_plugins.nuke.session import session
from host_plugins.nuke.submission import plan_exports

REPORT = "void_bridge_nuke_selftest.txt"


def selftest() -> str:
    """Run every check and return the path of the report, which is complete once the job in it has ended."""
    folder = Path(tempfile.mkdtemp(prefix="void-bridge-selftest-"))
    group = nuke.nodes.Group(name="VOIDSelfTest1")
    try:
        with group:
            fixture = NukeCheckFixture(folder)
            checks = [HostCheck(name, text, functools.partial(run, fixture)) for name, text, run in HOST_CHECKS]
            results = run_host_checks(checks, lambda check: nuke.tprint(f"VOID self-test: {check.name}"))
            order = _job_order(fixture)
    finally:
        nuke.delete(group)
    _write_report(folder, [*results, HostCheckResult(JOB_CHECK, False, "no status of the job yet", 0.0)])
    _start_job(order, folder, results)
    return str(folder / REPORT)


def _job_order(fixture: NukeCheckFixture) -> Order:
    """Return a small job over the frames that the checks have exported."""
    settings = settings_of(fixture.node)
    export = plan_exports(fixture.node, settings)[0]
    write_export(fixture.node, export)
    return Order(make_job(settings, export.shot, (fixture.folder / "job" / "clean.####.exr").as_posix()), settings)


def _start_job(order: Order, folder: Path, results: List[HostCheckResult]) -> None:
    """Submit the job and complete the report when it has ended."""

    def on_state(state: JobState) -> None:
        if state.phase in ENDED:
            result = HostCheckResult(JOB_CHECK, state.phase == "done", f"{state.phase}: {state.line}", 0.0)
            path = _write_report(folder, [*results, result])
            shutil.rmtree(folder / "job", ignore_errors=True)
            nuke.message(f"The self-test is done. Please send back:\n{path}")

    session().listen(order.id, on_state)
    session().controller.submit(order)


def _write_report(folder: Path, results: List[HostCheckResult]) -> Path:
    path = folder / REPORT
    path.write_text(report_text(f"Nuke {nuke.NUKE_VERSION_STRING}", results), encoding="utf-8")
    return path
