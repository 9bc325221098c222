"""`void-bridge doctor`: what this machine has, what is missing, and how to put it right."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator
from urllib.parse import urlsplit

from void_bridge import __version__
from void_bridge.cli.command import Command
from void_bridge.cli.connecting import add_server_options, connected, loaded_config
from void_bridge.cli.console import Outcome
from void_bridge.cli.finding import Finding, registered_findings
from void_bridge.client.endpoint import CLIENT_CERTIFICATE, SERVER_CERTIFICATE
from void_bridge.config import Config
from void_bridge.cores import available_cores
from void_bridge.errors import NoServer, VoidBridgeError
from void_bridge.typed import to_plain

_BASE = (("zmq", "pyzmq"), ("msgpack", "msgpack"), ("fileseq", "Fileseq"), ("rich", "rich"))
_SERVER = (
    ("numpy", "numpy"),
    ("OpenEXR", "OpenEXR"),
    ("PyOpenColorIO", "opencolorio"),
    ("cv2", "opencv-python-headless"),
    ("av", "av"),
    ("psutil", "psutil"),
)
_MEMORY_GB = 4.0
_DISK_GB = 20.0


def run(arguments: argparse.Namespace) -> int:
    arguments.autostart = False
    outcome: Outcome = arguments.outcome
    findings = [Finding("void-bridge", "ok", f"{__version__} in {Path(__file__).parents[2]}"), _python(), *_packages()]
    try:
        config = loaded_config(arguments)
    except VoidBridgeError as exc:
        findings.append(Finding("config", "bad", exc.message, "correct that value; void-bridge config show"))
    else:
        findings += [_cores(), _memory(), _spool(config), _colour(config), _port(config), _keys(config)]
        findings.append(_server(config))
    findings += registered_findings()
    outcome.set_other(findings=to_plain(findings))
    outcome.summary("\n".join(line for finding in findings for line in _lines(finding)))
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.state:<5} {finding.name:<12} {finding.detail}"
    if finding.fix:
        yield f"{'':<18} -> {finding.fix}"


def _python() -> Finding:
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info < (3, 11):
        return Finding("python", "note", found, "a server needs Python 3.11 or later; clients run on this one")
    return Finding("python", "ok", found)


def _packages() -> Iterator[Finding]:
    for name, packages, extra in (("packages", _BASE, ""), ("server", _SERVER, "[server]")):
        missing = [package for module, package in packages if not find_spec(module)]
        if missing:
            fix = f"pip install 'void-bridge{extra}'"
            yield Finding(name, "note" if extra else "bad", f"missing {', '.join(missing)}", fix)
        else:
            yield Finding(name, "ok", ", ".join(f"{package} {metadata.version(package)}" for _, package in packages))


def _cores() -> Finding:
    allowed = available_cores()
    return Finding("cores", "ok", f"{allowed}")


def _memory() -> Finding:
    if not find_spec("psutil"):
        return Finding("memory", "note", "unknown without psutil")
    import psutil  # type: ignore[import-untyped]

    memory = psutil.virtual_memory()
    detail = f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} free"
    if memory.available < _MEMORY_GB * 1e9:
        return Finding(
            "memory",
            "note",
            detail,
            f"{_MEMORY_GB:.0f} GB free are enough for UHD; close something, or expect swapping",
        )
    return Finding("memory", "ok", detail)


def _spool(config: Config) -> Finding:
    there = next(path for path in (config.spool, *config.spool.parents) if path.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    detail = f"{config.spool}, {free_gb:.1f} GB free"
    if not os.access(there, os.W_OK):
        return Finding("spool", "bad", f"{there} cannot be written", "set VOID_BRIDGE_SPOOL to a folder of your own")
    if free_gb < _DISK_GB:
        fix = f"{_DISK_GB:.0f} GB hold a UHD shot with its results; set VOID_BRIDGE_SPOOL to a larger disk"
        return Finding("spool", "note", detail, fix)
    return Finding("spool", "ok", detail)


def _colour(config: Config) -> Finding:
    if not find_spec("PyOpenColorIO"):
        return Finding("colour", "note", "no OpenColorIO here", "pip install 'void-bridge[server]'")
    from void_bridge.pixels.colour import explain_colour

    try:
        return Finding("colour", "ok", explain_colour(None, config.ocio or None)[1])
    except VoidBridgeError as exc:
        return Finding("colour", "bad", exc.message, "correct $OCIO, or name a config in VOID_BRIDGE_OCIO")


def _port(config: Config) -> Finding:
    try:
        parts = urlsplit(config.bind)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # port * is whichever is free
        return Finding("port", "ok", f"{config.bind}: any free one")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("" if host == "*" else host, port or 0))
        except OSError as exc:
            return Finding(
                "port", "note", f"{config.bind}: {exc.strerror}", "a server runs there, or set VOID_BRIDGE_BIND"
            )
    return Finding("port", "ok", f"{config.bind} is free")


def _keys(config: Config) -> Finding:
    names = (CLIENT_CERTIFICATE, SERVER_CERTIFICATE)
    missing = [name for name in names if not (config.keys / name).exists()]
    if not missing:
        return Finding("keys", "ok", f"{config.keys}")
    if config.connect:
        fix = "void-bridge keys new; server.key comes from whoever runs the server"
        return Finding("keys", "note", f"{config.keys} lacks {' and '.join(missing)}", fix)
    return Finding("keys", "ok", "none, and none needed on this machine")


def _server(config: Config) -> Finding:
    try:
        with connected(config) as client:
            seconds, server = client.ping(), client.server
    except NoServer as exc:
        if config.connect:
            return Finding("answer", "bad", exc.message, "start it there, or correct the address")
        return Finding("answer", "ok", "no local server runs; one is started when it is needed")
    except VoidBridgeError as exc:
        return Finding("answer", "bad", exc.message, "see docs/protocol.md and void-bridge keys new")
    engines = ", ".join(server.engines)
    return Finding("answer", "ok", f"{server.server} on {server.host} in {seconds * 1000:.1f} ms, engines {engines}")


DOCTOR = Command("doctor", "check this machine and say what to put right", add_server_options, run)
