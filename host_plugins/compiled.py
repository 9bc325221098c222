"""The packages of a plug-in's folder, which are appended to a host's path so that the host's own packages win.

A plug-in folder holds `python/` for all Pythons, and one folder below `compiled/` for each Python and platform.
"""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec
from pathlib import Path

_SYSTEMS = {"linux": "linux", "win32": "windows", "darwin": "macos"}
_MACHINES = {"amd64": "x86_64"}


def platform_name() -> str:
    """Return this platform as `void-bridge install --platform` names it; macOS has one name for all its machines."""
    system = _SYSTEMS.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    return f"{system}-universal2" if system == "macos" else f"{system}-{_MACHINES.get(machine, machine)}"


def compiled_folder(python: str, platform: str) -> str:
    """Return the folder for a Python and a platform, such as `compiled/cp311-linux_x86_64`.

    Args:
        python: the version, such as "3.11".
        platform: as `platform_name` returns it, such as "linux-x86_64".
    """
    return f"compiled/cp{python.replace('.', '')}-{platform.replace('-', '_')}"


def add_packages(home: str) -> str:
    """Append the packages of the plug-in folder `home` to `sys.path`, unless they are there.

    Returns:
        An error message if there are no packages for this Python, else an empty string.
    """
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    compiled = Path(home, compiled_folder(python, platform_name()))
    for folder in (str(Path(home, "python")), str(compiled)):
        if folder not in sys.path:
            sys.path.append(folder)
    if compiled.is_dir() or find_spec("zmq"):
        return ""
    return f"found no packages for Python {python} on {platform_name()}; run void-bridge install with --python {python}"
