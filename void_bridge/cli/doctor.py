"""The command `void-bridge doctor`, which checks this machine and says what to fix."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Optional, Tuple

from void_bridge.cli.command import Command
from void_bridge.cli.findings import (
    Finding,
    disk,
    folders,
    keys,
    machine,
    python,
    registered_findings,
    run_check,
    server,
)
from void_bridge.cli.server_options import add_server_options, load_config
from void_bridge.config import Config, load
from void_bridge.errors import VoidBridgeError
from void_bridge.typed import to_plain
from void_bridge.version import __version__

_STALLED_SPOOL = "its disk does not respond: repair it, or set VOID_BRIDGE_SPOOL to a folder on a local disk"
_STALLED = "its disk does not respond: repair it, or use a local folder"
_SERVER_S = 20.0  # a server on another machine may take 15 to answer

Check = Callable[[Config], Iterable[Finding]]
_CHECKS: Tuple[Tuple[str, Check, str, float], ...] = (
    ("machine", machine.machine_findings, "", 5.0),
    ("spool", disk.spool_findings, _STALLED_SPOOL, 5.0),
    ("colour", machine.colour_findings, "the config's disk does not respond: check OCIO and VOID_BRIDGE_OCIO", 5.0),
    ("runtime", folders.runtime_findings, "set VOID_BRIDGE_RUNTIME_DIR to a local folder", 5.0),
    ("leftovers", server.leftover_findings, _STALLED, 5.0),
    ("keys", keys.key_findings, "set VOID_BRIDGE_KEYS to a folder on a local disk", 5.0),
    ("paths", folders.path_findings, _STALLED, 5.0),
    ("answer", server.server_findings, "look at the server's log", _SERVER_S),
)


def run(arguments: argparse.Namespace) -> int:
    """Print all findings. Returns 1 if one of them is bad."""
    arguments.autostart = False
    findings = list(_findings(lambda: load_config(arguments)))
    arguments.outcome.set_without_job(findings=to_plain(findings))
    arguments.outcome.summary("\n".join(line for finding in findings for line in _lines(finding)))
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def collect_findings(config: Optional[Config] = None) -> List[Finding]:
    """Return all findings within a minute, even if a disk or driver stalls. Raises nothing and starts no server.

    Args:
        config: the configuration; default: this user's. If it cannot be read, that is a finding.
    """
    return list(_findings(lambda: (config or load().config).replace(autostart=False)))


def _findings(read_config: Callable[[], Config]) -> Iterator[Finding]:
    """Yield the findings of all checks."""
    yield Finding("void-bridge", "ok", f"{__version__} in {Path(__file__).parents[2]}")
    yield from run_check("python", python.python_findings, limit_s=30.0)
    known = ""
    try:
        config = read_config()
    except VoidBridgeError as exc:
        known = exc.message
        yield Finding("config", "bad", exc.message, "correct that value; void-bridge config show prints all of them")
    else:
        for name, check, fix, limit_s in _CHECKS:
            yield from run_check(name, functools.partial(check, config), fix, limit_s)
    yield from (finding for finding in registered_findings() if finding.detail != known)


def _lines(finding: Finding) -> Iterator[str]:
    """Yield the lines of a finding and its fix."""
    yield f"{finding.state:<5} {finding.name:<12} {finding.detail}"
    if finding.fix:
        yield f"{'':<18} -> {finding.fix}"


DOCTOR = Command("doctor", "check this machine and say how to fix each problem", add_server_options, run)
