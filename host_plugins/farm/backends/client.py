"""A farm's own command line client, run and run_client to its end."""

from __future__ import annotations

import os
import subprocess
from typing import Any, Dict, Sequence

# What is common to every call: nothing to type, one stream of text, whatever the console's encoding.
PIPES: Dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "encoding": "utf-8",
    "errors": "replace",
}


def environment() -> Dict[str, str]:
    """Of a client that is written in Python and would else use the console's encoding."""
    return {**os.environ, "PYTHONIOENCODING": "utf-8"}


def run_client(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a client. Raises OSError: it is not there. TimeoutExpired."""
    return subprocess.run(command, env=environment(), timeout=timeout_s, **PIPES)
