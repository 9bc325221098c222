"""The command line client of a farm, run to its end."""

from __future__ import annotations

import os
import subprocess
from typing import Any, Dict, Sequence

# For every call: no input, one stream of text, UTF-8 on any console.
PIPES: Dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "encoding": "utf-8",
    "errors": "replace",
}


def environment() -> Dict[str, str]:
    """Return the environment for a client written in Python, which would otherwise use the console's encoding."""
    return {**os.environ, "PYTHONIOENCODING": "utf-8"}


def run_client(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a client and return its output.

    Raises:
        OSError: the client cannot be started.
        subprocess.TimeoutExpired: it did not end in time.
    """
    return subprocess.run(command, env=environment(), timeout=timeout_s, **PIPES)
