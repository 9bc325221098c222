"""Findings about the files in the spool: those of another user, and a lock that another process holds."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from void_bridge.cli.findings import Finding
from void_bridge.cli.findings.server import is_stale
from void_bridge.config import Config, load
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import VoidBridgeError

_OURS = ("incoming", "blobs", "jobs", "logs", "cache", "journal.sqlite", "lock")
_LOCKS = Path("/proc/locks")


def spool_file_findings(config: Config | None = None) -> Iterator[Finding]:
    """Yield the findings about the spool.

    Args:
        config: names the spool; None: this user's configuration.
    """
    config = config or load().config
    if not config.spool.is_dir():
        return
    wrong = list(_foreign_files(config.spool))
    yield from wrong
    lock = _lock_finding(config)
    if lock:
        yield lock
    elif not wrong:
        yield Finding("spool files", "ok", "owned by this user; no server uses the spool")


def _foreign_files(spool: Path) -> Iterator[Finding]:
    """Yield the files for which a server refuses to start: see `gpu_server.server.spool`."""
    if os.name == "nt":
        return
    ours = {os.getuid(), spool.stat().st_uid}
    for path in (spool / name for name in _OURS):
        if not (path.is_symlink() or path.exists()):
            continue
        owners = {path.lstat().st_uid, path.stat().st_uid} - ours
        if owners:
            detail = f"{path} belongs to another user ({owners.pop()}): no server can use it"
            fix = f"check it, then run rm -r {shlex.quote(str(path))}; or set VOID_BRIDGE_SPOOL to your own folder"
            yield Finding("spool files", "bad", detail, fix)


def _lock_finding(config: Config) -> Finding | None:
    """Return the finding about the lock, which is bad if clients cannot find the process that holds it."""
    holders = _holders(config.spool / "lock")
    if not holders:
        return None
    known = _local_server(config)
    if known in holders:
        return Finding("spool files", "ok", f"in use by the local server, process {known}")
    (pid, *_) = holders
    detail = f"process {pid} uses the spool, and no connection file in {config.runtime_dir} names it"
    fix = f"end process {pid} if it is a lost server, or use its VOID_BRIDGE_RUNTIME_DIR or XDG_RUNTIME_DIR?"
    return Finding("spool files", "bad", detail, fix)


def _local_server(config: Config) -> int:
    """Return the process of the local server; 0 if none is known."""
    path = connection_path(config.runtime_dir)
    try:
        found = read_connection(path)
        return 0 if is_stale(found, path) else found.server_pid
    except VoidBridgeError:
        return 0


def _holders(lock: Path) -> list[int]:
    """Return the processes that hold a lock on a file.

    The lock is not tried: a server that starts just now would be refused.
    Linux alone; a process of another container has no number here.
    """
    if sys.platform != "linux" or not lock.exists():
        return []
    inode = lock.stat().st_ino
    rows = (line.split() for line in _LOCKS.read_text().splitlines())
    held = [int(row[4]) for row in rows if len(row) == 8 and row[5].rpartition(":")[2] == str(inode)]
    return [pid for pid in dict.fromkeys(held) if pid > 0 and _has_open(pid, lock)]


def _has_open(pid: int, path: Path) -> bool:
    """Return whether a process has a file open: inode numbers repeat on other disks. True if that may not be seen."""
    try:
        return any(file.samefile(path) for file in Path(f"/proc/{pid}/fd").iterdir() if file.exists())
    except PermissionError:
        return True
    except OSError:
        return False
