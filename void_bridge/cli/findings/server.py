"""Checks of the server that a client here would use, and of connection files that killed servers have left."""

from __future__ import annotations

import shlex
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator, List, Optional
from urllib.parse import urlsplit

from void_bridge.cli.findings import Finding
from void_bridge.cli.server_options import open_client
from void_bridge.config import Config
from void_bridge.connection import Connection, connection_path, read_connection
from void_bridge.errors import NoServer, Refused, VoidBridgeError
from void_bridge.processes import has_ended

_REACH_S = 3.0
_REUSED_S = 60.0


def server_findings(config: Config) -> Iterator[Finding]:
    """Yield whether the server answers."""
    yield _unreachable(config.connect) or _answer(config)


def _unreachable(url: str) -> Optional[Finding]:
    """Return a finding if no TCP connection can be made. ZeroMQ would retry without saying why."""
    try:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 0)
    except ValueError:
        return None  # reported when the client connects
    if parts.scheme != "tcp" or not all(address):
        return None
    try:
        socket.create_connection(address, _REACH_S).close()
    except socket.gaierror as exc:
        return Finding("answer", "bad", f"{url}: {exc.strerror}", "correct the name of the machine, or the DNS")
    except OSError as exc:
        fix = "start void-bridge serve there, open the port in the firewall, or correct the address"
        return Finding("answer", "bad", f"{url}: {exc.strerror or 'no answer'}", fix)
    return None


def _answer(config: Config) -> Finding:
    """Return whether the server answers a client."""
    try:
        with open_client(config) as client:
            seconds, server = client.ping(), client.server
        pid = "" if config.connect else f", process {read_connection(connection_path(config.runtime_dir)).server_pid}"
    except NoServer as exc:
        if config.connect:
            return Finding("answer", "bad", exc.message, "start it there, or correct the address")
        return _no_local_server(config, exc)
    except VoidBridgeError as exc:
        return Finding("answer", "bad", exc.message, "see docs/reference/protocol.md and void-bridge keys new")
    about = f"{server.server} on {server.host}{pid}, in {seconds * 1000:.1f} ms, engines {', '.join(server.engines)}"
    return Finding("answer", "ok", about)


def _no_local_server(config: Config, error: NoServer) -> Finding:
    """Return whether the local server does not run, which is fine, or runs and does not answer."""
    path = connection_path(config.runtime_dir)
    try:
        found = read_connection(path)
    except VoidBridgeError:
        found = None
    if found is None or is_stale(found, path):
        return Finding("answer", "ok", "no local server runs; one is started when it is needed")
    fix = f"it does not respond: end process {found.server_pid}; finished frames are kept"
    return Finding("answer", "bad", error.message, fix)


def leftover_findings(config: Config) -> Iterator[Finding]:
    """Yield connection files that cannot be read or whose server has ended."""
    problems: List[Finding] = []
    paths = sorted(config.runtime_dir.glob("*.json"))
    for path in paths:
        fix = f"rm {shlex.quote(str(path))}"
        try:
            connection = read_connection(path)
        except NoServer:  # removed in the meantime
            continue
        except Refused as exc:
            problems.append(Finding("leftovers", "bad", exc.message, fix))
            continue
        if is_stale(connection, path):
            detail = f"{path} belongs to a server that has ended (process {connection.server_pid})"
            problems.append(
                Finding("leftovers", "note", detail, f"{fix}; or start a server at that address, which replaces it")
            )
    yield from problems or [Finding("leftovers", "ok", f"none; {len(paths)} connection files of running servers")]


def is_stale(connection: Connection, path: Path) -> bool:
    """Return whether the server of a connection file has ended, even if another process has its id now."""
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
