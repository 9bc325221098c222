"""What can be known of another process of this machine without a library."""

from __future__ import annotations

import os


def has_ended(pid: int) -> bool:
    """Whether no process of this number runs. False where that cannot be known: for 0, and on Windows.

    On Linux one that nobody has collected (a zombie) has ended; elsewhere it counts as running.
    """
    if not pid or os.name == "nt":  # there, signal 0 would be sent
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """By the letter after the name: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2].startswith(b"Z")
    except OSError:
        return False


def available_cores() -> int:
    """Those that the system lets this process run on; where it does not say, all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
