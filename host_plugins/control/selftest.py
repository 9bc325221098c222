"""Self-tests of hosts: every claim that could not be verified without the host is one line, answered inside it.

A host's table of `Claim`s is the whole list; its page in docs/ names the same lines as unverified.
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
class Claim:
    """name: short, for the report. what: the claim as a sentence.

    check: does it, and returns a word about what it saw; what it raises is why the claim does not hold.
    """

    name: str
    what: str
    check: Callable[[], str]


@dataclass(frozen=True)
class Outcome:
    claim: Claim
    holds: bool
    saw: str
    seconds: float


def run_claims(claims: Sequence[Claim], on_claim: Callable[[Claim], None] = lambda claim: None) -> List[Outcome]:
    """Every claim in turn; one that fails stops none of the others."""
    outcomes = []
    for claim in claims:
        on_claim(claim)
        began = time.monotonic()
        try:
            holds, saw = True, claim.check() or "ok"
        except Exception as exc:
            where = traceback.extract_tb(exc.__traceback__)[-1]
            holds, saw = False, f"{type(exc).__name__}: {exc} ({where.name}, line {where.lineno})"
        outcomes.append(Outcome(claim, holds, " ".join(saw.split()), time.monotonic() - began))
    return outcomes


def report_text(host: str, outcomes: Sequence[Outcome]) -> str:
    """A report to send back. It names versions, no user and no path but those that an error holds."""
    held = sum(outcome.holds for outcome in outcomes)
    lines = [
        f"VOID Bridge {__version__} in {host}",
        f"Python {platform.python_version()} on {platform.platform()}, {sys.executable.rpartition('/')[2]}",
        f"{held} of {len(outcomes)} claims hold",
        "",
    ]
    for outcome in outcomes:
        lines += [
            f"{'ok  ' if outcome.holds else 'FAIL'} {outcome.claim.name}: {outcome.claim.what}",
            f"     {outcome.saw} ({outcome.seconds:.1f} s)",
        ]
    return "\n".join(lines) + "\n"
