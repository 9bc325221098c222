"""Findings about the addresses that a server would listen on: whether they are free, and which clients may connect."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from gpu_server.server.security import read_clients
from gpu_server.server.settings import is_loopback, split_bind
from void_bridge.cli.findings import Finding
from void_bridge.cli.findings.server import is_stale
from void_bridge.config import Config, load
from void_bridge.connection import read_connection
from void_bridge.errors import Refused, UsageError, VoidBridgeError


def port_findings(config: Config | None = None) -> Iterator[Finding]:
    """Yield the findings about the ports and the allow-list.

    Args:
        config: names the addresses; None: this user's configuration.
    """
    config = config or load().config
    ours = _listening(config.runtime_dir)
    try:
        host, port = split_bind(config.bind)
    except UsageError as exc:
        yield Finding("port", "bad", exc.message, "correct bind; void-bridge config show prints it")
    else:
        yield _bind_finding(config, host, port, ours)
        if not is_loopback(config.bind):
            yield _allow_list(config)
    metrics = getattr(config, "metrics_port", 0)
    if metrics:
        yield _port_finding("metrics port", "127.0.0.1", int(metrics), "VOID_BRIDGE_METRICS_PORT", ours)


def _bind_finding(config: Config, host: str, port: int | None, ours: dict[int, int]) -> Finding:
    if port is None:
        return _port_finding("port", host, 0, "VOID_BRIDGE_BIND", ours)
    wanted = (_port_finding("port", host, each, "VOID_BRIDGE_BIND", ours) for each in (port, port + 1))
    found = list(wanted)  # the second is for frames
    return next((one for one in found if one.state != "ok"), found[0])


def _port_finding(name: str, host: str, port: int, variable: str, ours: dict[int, int]) -> Finding:
    if port in ours:
        return Finding(name, "ok", f"{host}:{port}: our own server listens on it, process {ours[port]}")
    shown = f"{host}:{port or '*'}"
    try:
        _bind(host, port)
    except socket.gaierror as exc:
        return Finding(name, "bad", f"{shown}: {exc.strerror}", f"set {variable} to an address of this machine")
    except OSError as exc:
        return Finding(name, "bad", f"{shown}: {exc.strerror}{_listeners(port)}", _fix(exc, variable))
    return Finding(name, "ok", f"{shown} is free")


def _bind(host: str, port: int) -> None:
    """Bind with ZeroMQ's options, with which connections that have just ended do not keep a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if socket.has_ipv6 and psutil.POSIX:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("" if host == "*" else host, port))


def _fix(exc: OSError, variable: str) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"end the program that listens on it, or set {variable} to another port"
    if exc.errno == errno.EACCES:
        return f"set {variable} to a port of 1024 or higher: the system reserves lower ones"
    return f"set {variable} to an address of this machine, or tcp://127.0.0.1:*"


def _listeners(port: int) -> str:
    """Return the processes that listen at a port, as far as this user may know."""
    try:
        found = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        pids = {one.pid for one in found if one.laddr and one.laddr.port == port and one.pid}
        names = [f"{psutil.Process(pid).name()}, process {pid}" for pid in sorted(pids)]
    except (psutil.Error, OSError):
        names = []
    return f" ({'; '.join(names)})" if names else ""


def _listening(runtime_dir: Path) -> dict[int, int]:
    """Return port -> process of the servers whose connection files are in a folder."""
    found: dict[int, int] = {}
    for path in runtime_dir.glob("*.json"):
        try:
            connection = read_connection(path)
            if not is_stale(connection, path):
                listening = psutil.Process(connection.server_pid).net_connections("tcp")
                found |= {one.laddr.port: connection.server_pid for one in listening if one.status == "LISTEN"}
        except (VoidBridgeError, psutil.Error, OSError):
            continue
    return found


def _allow_list(config: Config) -> Finding:
    """Return the finding about the keys that a server needs for an address that others can reach."""
    if not (config.keys / "server.key_secret").exists():
        detail = f"{config.bind} is open to other machines, and {config.keys} holds no server.key_secret"
        return Finding("allow-list", "bad", detail, "void-bridge keys new --server, or bind to tcp://127.0.0.1:*")
    clients = config.keys / "clients"
    try:
        names = read_clients(clients) if clients.exists() else {}
    except Refused as exc:
        return Finding("allow-list", "bad", exc.message, "void-bridge keys list shows which keys cannot be used")
    if not names:
        detail = f"{config.bind} is open to other machines, but the allow-list is empty: the server cannot start"
        return Finding("allow-list", "bad", detail, "run void-bridge keys allow NAME FILE with a user's client.key")
    return Finding("allow-list", "ok", f"{len(names)} may connect: {', '.join(sorted(names.values()))}")
