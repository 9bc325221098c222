"""Of the server that a client here would use: whether it answers."""

from __future__ import annotations

import socket
from typing import Iterator, Optional
from urllib.parse import urlsplit

from void_bridge.cli.connecting import connected
from void_bridge.cli.finding import Finding
from void_bridge.cli.findings.leftovers import is_gone
from void_bridge.config import Config
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import NoServer, VoidBridgeError

_REACH_S = 3.0


def server_findings(config: Config) -> Iterator[Finding]:
    problem = _unreachable(config.connect)
    yield problem or _answer(config)


def _unreachable(url: str) -> Optional[Finding]:
    """Asked before ZeroMQ, which tries again and again and does not say why."""
    try:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 0)
    except ValueError:
        return None  # told by what connects
    if parts.scheme != "tcp" or not all(address):
        return None
    try:
        socket.create_connection(address, _REACH_S).close()
    except socket.gaierror as exc:
        return Finding("answer", "bad", f"{url}: {exc.strerror}", "correct the name of the machine, or the DNS")
    except OSError as exc:
        fix = "start void-bridge serve there, open the port in its firewall, or correct the address"
        return Finding("answer", "bad", f"{url}: {exc.strerror or 'no answer'}", fix)
    return None


def _answer(config: Config) -> Finding:
    try:
        with connected(config) as client:
            seconds, server = client.ping(), client.server
    except NoServer as exc:
        if config.connect:
            return Finding("answer", "bad", exc.message, "start it there, or correct the address")
        return _no_local(config, exc)
    except VoidBridgeError as exc:
        return Finding("answer", "bad", exc.message, "see docs/protocol.md and void-bridge keys new")
    engines = ", ".join(server.engines)
    return Finding("answer", "ok", f"{server.server} on {server.host} in {seconds * 1000:.1f} ms, engines {engines}")


def _no_local(config: Config, error: NoServer) -> Finding:
    """None runs, or one does that does not answer."""
    path = connection_path(config.runtime_dir)
    try:
        found = read_connection(path)
    except VoidBridgeError:
        found = None
    if found is None or is_gone(found, path):
        return Finding("answer", "ok", "no local server runs; one is started when it is needed")
    fix = f"it hangs or is stopped: end process {found.server_pid}; what was finished is kept"
    return Finding("answer", "bad", error.message, fix)
