"""Checks of `void-bridge doctor`, one module for each subject.

Other packages register their checks as entry points in `void_bridge.checks`: functions without arguments that yield
findings.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Callable, Iterable, Iterator, List, Literal

from void_bridge.entry_points import find_entry_points
from void_bridge.errors import VoidBridgeError

State = Literal["ok", "note", "bad"]
GROUP = "void_bridge.checks"
LIMIT_S = 5.0
_REGISTERED_S = 20.0  # registered checks may run programs, which have limits of their own


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        name: the thing that was checked.
        state: ok; note, which may be right for this machine; or bad, which is not.
        detail: the fact.
        fix: what to do about it.
    """

    name: str
    state: State
    detail: str
    fix: str = ""


def registered_findings() -> Iterator[Finding]:
    """Yield the findings of all registered checks. A check that cannot be loaded is a finding too."""
    for name, entry in find_entry_points(GROUP).items():
        yield from run_check(name, functools.partial(_run_registered, entry), limit_s=_REGISTERED_S)


def _run_registered(entry: EntryPoint) -> Iterable[Finding]:
    """Load and run a registered check."""
    found: Iterable[Finding] = entry.load()()
    return found


def run_check(
    name: str, check: Callable[[], Iterable[Finding]], fix: str = "", limit_s: float = LIMIT_S
) -> List[Finding]:
    """Return the findings of a check. If it fails or takes too long, as on a stalled disk, that is a finding too.

    Args:
        name: name of that finding.
        check: yields the findings.
        fix: fix of that finding.
        limit_s: seconds after which the check is left alone, in a daemon thread.
    """
    found: List[Finding] = []
    thread = threading.Thread(target=_collect, args=(name, check, found), name=f"doctor {name}", daemon=True)
    thread.start()
    thread.join(limit_s)
    so_far = list(found)
    if thread.is_alive():
        so_far.append(
            Finding(name, "bad", f"does not answer in {limit_s:g} s", fix or "a disk or a driver does not respond")
        )
    return so_far


def _collect(name: str, check: Callable[[], Iterable[Finding]], found: List[Finding]) -> None:
    """Append the findings of a check and its error, if any."""
    try:
        found.extend(iter(check()))
    except VoidBridgeError as exc:
        found.append(Finding(name, "bad", exc.message))
    except (ImportError, AttributeError) as exc:
        found.append(Finding(name, "note", f"cannot be checked: {exc}", _import_fix(exc)))
    except OSError as exc:
        found.append(Finding(name, "bad", f"{exc.filename or name}: {exc.strerror or exc}"))
    except Exception as exc:  # one check must not stop the others
        found.append(Finding(name, "note", f"cannot be checked: {type(exc).__name__}: {exc}"))


def _import_fix(exc: Exception) -> str:
    """Return the fix for an import error. A client has no packages of a server, and its Python may be too old."""
    missing = (getattr(exc, "name", None) or "void_bridge").partition(".")[0]
    if missing in ("void_bridge", "gpu_server", "host_plugins"):
        return "install void-bridge again"
    return "on a client, nothing; a server needs Python 3.11 or later and void-bridge[server]"
