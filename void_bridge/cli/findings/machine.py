"""Checks of the machine: cores, memory, colour, and the Python that is set to start servers."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Iterator

from void_bridge.cli.findings import Finding
from void_bridge.config import Config
from void_bridge.errors import VoidBridgeError
from void_bridge.processes import available_cores

_MEMORY_GB = 4.0


def machine_findings(config: Config) -> Iterator[Finding]:
    """Yield cores, memory and the configured Python."""
    yield Finding("cores", "ok", f"{available_cores()}")
    yield _memory()
    if config.executable:
        yield _executable(config.executable)


def _executable(path: str) -> Finding:
    """Return whether the configured Python is a program."""
    if shutil.which(path):
        return Finding("executable", "ok", path)
    fix = "set VOID_BRIDGE_EXECUTABLE to the Python of the server's environment, or leave it empty"
    return Finding("executable", "bad", f"{path}, set to start local servers, is not a program", fix)


def _memory() -> Finding:
    """Return whether the free memory is enough for UHD."""
    if not find_spec("psutil"):
        return Finding("memory", "note", "unknown without psutil", "install void-bridge[server]")
    import psutil  # type: ignore[import-untyped]

    memory = psutil.virtual_memory()
    detail = f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} free"
    if memory.available < _MEMORY_GB * 1e9:
        fix = f"{_MEMORY_GB:.0f} GB free are enough for UHD; close other programs, or the machine may swap"
        return Finding("memory", "note", detail, fix)
    return Finding("memory", "ok", detail)


def colour_findings(config: Config) -> Iterator[Finding]:
    """Yield the OCIO config and working space, or the reason that there is none."""
    if not find_spec("PyOpenColorIO"):
        yield Finding("colour", "note", "OpenColorIO is not installed", "install void-bridge[server]")
        return
    from void_bridge.pixels.colour import explain_colour

    try:
        yield Finding("colour", "ok", explain_colour(None, config.ocio or None)[1])
    except VoidBridgeError as exc:
        yield Finding("colour", "bad", exc.message, "correct $OCIO, or name a config in VOID_BRIDGE_OCIO")
