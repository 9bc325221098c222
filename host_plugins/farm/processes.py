"""Processes of this host. One that has ended counts as such also where nobody collects it, as in many containers."""

from __future__ import annotations

import time
from typing import Any, List, Sequence

from void_bridge.errors import UsageError

_POLL_S = 0.02


def import_psutil() -> Any:
    """Raises UsageError: it is not installed."""
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError as exc:
        raise UsageError("a farm's worker needs psutil; install void-bridge[server,farm]") from exc
    return psutil


def is_running(pid: int) -> bool:
    """Whether a process of this number runs. Raises UsageError: psutil is not installed."""
    psutil = import_psutil()
    try:
        return still_runs(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def still_runs(process: Any) -> bool:
    """Whether a psutil.Process is the one that it was, and runs."""
    psutil = import_psutil()
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def wait_until_ended(processes: Sequence[Any], timeout_s: float) -> List[Any]:
    """Returns those of some psutil.Process that still run after `timeout_s` seconds."""
    end = time.monotonic() + timeout_s
    while True:
        left = [process for process in processes if still_runs(process)]
        if not left or time.monotonic() >= end:
            return left
        time.sleep(_POLL_S)
