"""Facts about processes of this machine that need no library."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_ended(pid: int) -> bool:
    """Return whether no process with this id runs.

    On Linux a zombie, whose parent has not collected it, has ended; elsewhere it counts as running. The result is False
    where the answer cannot be known: for 0, and on Windows.
    """
    if not pid or os.name == "nt":  # on Windows, os.kill would send the signal 0
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether Linux shows the state Z: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2].startswith(b"Z")
    except OSError:
        return False
