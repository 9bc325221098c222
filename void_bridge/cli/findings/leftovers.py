"""Of what a server that was killed has left where clients look for one."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator, List

from void_bridge.cli.finding import Finding
from void_bridge.config import Config
from void_bridge.connection import Connection, read_connection
from void_bridge.errors import NoServer, Refused
from void_bridge.processes import has_ended

_REUSED_S = 60.0


def leftover_findings(config: Config) -> Iterator[Finding]:
    wrong: List[Finding] = []
    paths = sorted(config.runtime_dir.glob("*.json"))
    for path in paths:
        fix = f"rm {shlex.quote(str(path))}"
        try:
            connection = read_connection(path)
        except NoServer:  # it has just gone
            continue
        except Refused as exc:
            wrong.append(Finding("leftovers", "bad", exc.message, fix))
            continue
        if is_gone(connection, path):
            detail = f"{path} is of a server that has ended (process {connection.server_pid})"
            wrong.append(Finding("leftovers", "note", detail, f"{fix}; a new server at that address writes over it"))
    yield from wrong
    if not wrong:
        yield Finding("leftovers", "ok", f"none; {len(paths)} connection files of servers that run")


def is_gone(connection: Connection, path: Path) -> bool:
    """Whether its process has ended, also where another has got its number since."""
    if has_ended(connection.server_pid):
        return True
    if not find_spec("psutil"):
        return False
    import psutil  # type: ignore[import-untyped]

    try:
        started = psutil.Process(connection.server_pid).create_time()
        return bool(started > path.stat().st_mtime + _REUSED_S)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):
        return False
