"""Processes of this host. A zombie counts as ended, also in containers where no parent collects it."""

from __future__ import annotations

import time
from typing import Any, List, Sequence

from void_bridge.errors import UsageError

_POLL_S = 0.02


def import_psutil() -> Any:
    """Import psutil.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError as exc:
        raise UsageError("a farm's worker needs psutil; install void-bridge[server,farm]") from exc
    return psutil


def is_running(pid: int) -> bool:
    """Return whether a process with this id runs.

    Raises:
        UsageError: psutil is not installed.
    """
    psutil = import_psutil()
    try:
        return still_runs(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def still_runs(process: Any) -> bool:
    """Return whether a `psutil.Process` is still the same process, and runs."""
    psutil = import_psutil()
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def wait_until_ended(processes: Sequence[Any], timeout_s: float) -> List[Any]:
    """Wait for processes to end and return those that still run.

    Args:
        processes: objects of `psutil.Process`.
        timeout_s: the longest wait, in seconds.
    """
    end = time.monotonic() + timeout_s
    while True:
        left = [process for process in processes if still_runs(process)]
        if not left or time.monotonic() >= end:
            return left
        time.sleep(_POLL_S)
