"""Checks that only a real host can pass or fail, and the report of its self-test.

Each host has one table of `HostCheck`s; its page in docs/ lists the same statements as unverified.
"""

from __future__ import annotations

import platform
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Callable, List, Sequence

from void_bridge.version import __version__


@dataclass(frozen=True)
class HostCheck:
    """A statement about a host that only the host itself can verify.

    Attributes:
        name: a short name for the report.
        statement: what has to hold, as a sentence.
        run: performs the check and returns a few words about the values it found; raises if the statement is false.
    """

    name: str
    statement: str
    run: Callable[[], str]


@dataclass(frozen=True)
class HostCheckResult:
    """The outcome of one check.

    Attributes:
        check: the check.
        passed: whether its statement holds.
        detail: the values that were found, or the exception, as one line.
        seconds: the time that it took.
    """

    check: HostCheck
    passed: bool
    detail: str
    seconds: float


def run_host_checks(checks: Sequence[HostCheck], on_check: Callable[[HostCheck], object]) -> List[HostCheckResult]:
    """Run every check in order; one that fails stops none of the others.

    Args:
        checks: the checks to run.
        on_check: called with each check before it runs.
    """
    results = []
    for check in checks:
        on_check(check)
        start = time.monotonic()
        try:
            passed, detail = True, check.run() or "ok"
        except Exception as exc:
            where = traceback.extract_tb(exc.__traceback__)[-1]
            passed, detail = False, f"{type(exc).__name__}: {exc} ({where.name}, line {where.lineno})"
        results.append(HostCheckResult(check, passed, " ".join(detail.split()), time.monotonic() - start))
    return results


def report_text(host: str, results: Sequence[HostCheckResult]) -> str:
    """Return the report that a user sends back: versions, and two lines for each check.

    It holds no user name, and no path but those that an error message contains.
    """
    lines = [
        f"VOID Bridge {__version__} in {host}",
        f"Python {platform.python_version()} on {platform.platform()}, {sys.executable.rpartition('/')[2]}",
        f"{sum(result.passed for result in results)} of {len(results)} checks pass",
        "",
    ]
    for result in results:
        lines += [
            f"{'ok  ' if result.passed else 'FAIL'} {result.check.name}: {result.check.statement}",
            f"     {result.detail} ({result.seconds:.1f} s)",
        ]
    return "\n".join(lines) + "\n"
