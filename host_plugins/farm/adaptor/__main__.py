"""The command `void-bridge-adaptor`. The runtime starts this module again as its daemon."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Optional, Tuple

from host_plugins.farm.adaptor.adaptor import VoidBridgeAdaptor
from host_plugins.farm.adaptor.force_stop import force_stop, session_folder

_REQUEST_S = 60.0  # for an answer of the daemon, on a host that is busy
_STOP_S = 10.0  # the same: a farm gives the stop two minutes for everything
_FAIL = "openjd_fail: "


def main() -> int:
    """Run the adaptor's command line and return 0 when done, 1 after a failure that was reported, 2 for wrong usage."""
    action, connection = _requested_action()
    if action == "_serve":
        return _run_runtime(connection, _REQUEST_S)
    is_new = action == "start" and connection is not None and _make_folder(connection)
    try:
        return _run_runtime(connection, _STOP_S if action == "stop" else _REQUEST_S)
    except Exception as exc:  # the runtime's are of any class
        if action == "stop" and connection:
            _say(f"daemon stop: {_one_line(exc)}")
            force_stop(connection, _say)
            return 0
        _say_failure(exc, action)
        if is_new and connection:
            force_stop(connection, _say)
        return 1


def _run_runtime(connection: Optional[Path], timeout_s: float) -> int:
    from openjd.adaptor_runtime import EntryPoint

    folder = session_folder(connection) if connection else None
    VoidBridgeAdaptor.session_folder = folder if folder and folder.is_dir() else None
    EntryPoint(VoidBridgeAdaptor).start(timeout_in_seconds=timeout_s)
    return 0


def _requested_action() -> Tuple[str, Optional[Path]]:
    """Return the action for the daemon, or an empty string, and its connection file."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--connection-file", type=Path)
    known, _ = parser.parse_known_args()
    is_daemon = known.words[:1] == ["daemon"] and len(known.words) > 1
    return known.words[1] if is_daemon else "", known.connection_file


def _make_folder(connection: Path) -> bool:
    """Make the session's folder, where the runtime also leaves its start logs; all is removed with the session.

    Returns:
        False if the folder, or a connection file, which the runtime refuses, is there already.
    """
    if connection.exists():
        return False
    folder = session_folder(connection)
    try:
        folder.mkdir(mode=0o700)
    except OSError:
        return False
    tempfile.tempdir = str(folder)
    return True


def _say_failure(exc: Exception, action: str) -> None:
    text = str(exc)
    if _FAIL in text:  # the daemon has reported it
        return
    is_gone = action == "run" and (isinstance(exc, OSError) or "connection file" in text)
    more = "the adaptor's daemon has ended; run the task again in a new session: " if is_gone else ""
    _say(f"{_FAIL}{more}{_one_line(exc)}")


def _one_line(exc: Exception) -> str:
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    failures = [line for line in lines if _FAIL in line]
    return (failures or lines)[-1]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
