"""Where a plug-in's packages lie inside its folder, and how they get onto a host's path: behind the host's own.

A plug-in folder holds `python/` for everything, and `compiled/` with one folder for each Python and platform.
"""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec
from pathlib import Path

_SYSTEMS = {"linux": "linux", "win32": "windows", "darwin": "macos"}
_MACHINES = {"amd64": "x86_64"}


def platform_name() -> str:
    """This platform as `void-bridge install --platform` names it; macOS has one folder for all its machines."""
    system = _SYSTEMS.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    return f"{system}-universal2" if system == "macos" else f"{system}-{_MACHINES.get(machine, machine)}"


def compiled_folder(python: str, platform: str) -> str:
    """The folder of packages for a Python ("3.11") on a platform ("linux-x86_64"): compiled/cp311-linux_x86_64."""
    return f"compiled/cp{python.replace('.', '')}-{platform.replace('-', '_')}"


def add_packages(home: str) -> str:
    """Put the packages of the plug-in folder `home` at the end of `sys.path`, once.

    Returns:
        What is missing for this Python and what to do about it, in words; else nothing.
    """
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    compiled = Path(home, compiled_folder(python, platform_name()))
    for folder in (str(Path(home, "python")), str(compiled)):
        if folder not in sys.path:
            sys.path.append(folder)
    if compiled.is_dir() or find_spec("zmq"):
        return ""
    return f"no packages for Python {python} on {platform_name()}; run void-bridge install with --python {python}"
