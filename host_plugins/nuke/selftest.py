"""What could not be verified without Nuke, answered by Nuke itself in two minutes.

    import void_bridge_nuke
    void_bridge_nuke.selftest()

It works in a group of its own that is deleted afterwards, writes below a temporary folder, submits one small job to a
local server, and leaves a report to send back. claims.py holds the table; docs/nuke.md lists the same lines.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path
from typing import List

import nuke

from host_plugins.control.request import Order, make_job
from host_plugins.control.selftest import HostCheck, HostCheckResult, report_text, run_host_checks
from host_plugins.control.state import ENDED, JobState
from host_plugins.nuke.claims import CLAIMS, JOB_CLAIM, Bench
from host_plugins.nuke.export import export
from host_plugins.nuke.panel import settings_of
from host_plugins.nuke.session import session
from host_plugins.nuke.submission import plans_of

REPORT = "void_bridge_nuke_selftest.txt"


def selftest() -> str:
    """Run every claim. Returns the path of the report, which is complete once the job in it has ended."""
    folder = Path(tempfile.mkdtemp(prefix="void-bridge-selftest-"))
    group = nuke.nodes.Group(name="VOIDSelfTest1")
    try:
        with group:
            bench = Bench(folder)
            outcomes = run_host_checks(_claims(bench), lambda claim: nuke.tprint(f"VOID self-test: {claim.name}"))
            order = _order(bench)
    finally:
        nuke.delete(group)
    _report(folder, [*outcomes, HostCheckResult(JOB_CLAIM, False, "no news of the job yet", 0.0)])
    _start_job(order, folder, outcomes)
    return str(folder / REPORT)


def _claims(bench: Bench) -> List[HostCheck]:
    return [HostCheck(name, what, functools.partial(check, bench)) for name, what, check in CLAIMS]


def _order(bench: Bench) -> Order:
    """A small job over what the claims have exported."""
    settings = settings_of(bench.node)
    plan = plans_of(bench.node, settings)[0]
    export(bench.node, plan)
    return Order(make_job(settings, plan.shot, (bench.folder / "job" / "clean.####.exr").as_posix()), settings)


def _start_job(order: Order, folder: Path, outcomes: List[HostCheckResult]) -> None:
    def news(state: JobState) -> None:
        if state.phase in ENDED:
            held = state.phase == "done"
            path = _report(folder, [*outcomes, HostCheckResult(JOB_CLAIM, held, f"{state.phase}: {state.line}", 0.0)])
            shutil.rmtree(folder / "job", ignore_errors=True)
            nuke.message(f"The self-test is done. Please send back:\n{path}")

    session().listen(order.id, news)
    session().controller.submit(order)


def _report(folder: Path, outcomes: List[HostCheckResult]) -> Path:
    path = folder / REPORT
    path.write_text(report_text(f"Nuke {nuke.NUKE_VERSION_STRING}", outcomes), encoding="utf-8")
    return path
