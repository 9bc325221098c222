"""Self-tests of hosts: every claim that could not be verified without the host is one line, answered inside it.

A host's table of `HostCheck`s is the whole list; its page in docs/ names the same lines as unverified.
"""

from __future__ import annotations

import platform
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Callable, List, Sequence

from void_bridge import __version__


@dataclass(frozen=True)
class HostCheck:
    """name: short, for the report. what: the claim as a sentence.

    check: does it, and returns a word about what it saw; what it raises is why the claim does not hold.
    """

    name: str
    what: str
    check: Callable[[], str]


@dataclass(frozen=True)
class HostCheckResult:
    check: HostCheck
    holds: bool
    saw: str
    seconds: float


def run_host_checks(
    checks: Sequence[HostCheck], on_check: Callable[[HostCheck], None] = lambda check: None
) -> List[HostCheckResult]:
    """Run every check in turn; one that fails stops none of the others."""
    results = []
    for each in checks:
        on_check(each)
        began = time.monotonic()
        try:
            holds, saw = True, each.check() or "ok"
        except Exception as exc:
            where = traceback.extract_tb(exc.__traceback__)[-1]
            holds, saw = False, f"{type(exc).__name__}: {exc} ({where.name}, line {where.lineno})"
        results.append(HostCheckResult(each, holds, " ".join(saw.split()), time.monotonic() - began))
    return results


def report_text(host: str, results: Sequence[HostCheckResult]) -> str:
    """A report to send back. It names versions, no user and no path but those that an error holds."""
    held = sum(result.holds for result in results)
    lines = [
        f"VOID Bridge {__version__} in {host}",
        f"Python {platform.python_version()} on {platform.platform()}, {sys.executable.rpartition('/')[2]}",
        f"{held} of {len(results)} claims hold",
        "",
    ]
    for result in results:
        lines += [
            f"{'ok  ' if result.holds else 'FAIL'} {result.check.name}: {result.check.what}",
            f"     {result.saw} ({result.seconds:.1f} s)",
        ]
    return "\n".join(lines) + "\n"
