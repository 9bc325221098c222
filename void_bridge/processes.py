"""What can be known of another process of this machine without a library."""

from __future__ import annotations

import os


def has_ended(pid: int) -> bool:
    """Whether no process has this number. False where that cannot be known: for 0, and on Windows."""
    if not pid or os.name == "nt":  # there, signal 0 would be sent
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
