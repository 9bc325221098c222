"""The hosts that are installed on a machine, their Pythons, and the folders in which they look for plug-ins.

Folders and Pythons are as the vendors and their users describe them; docs/tds/plugins.md lists what is unverified. A
`Machine` has a root, so that tests can pass a made-up tree.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

HOSTS = ("nuke", "resolve")
NUKE_PYTHONS: Dict[int, str] = {14: "3.9", 15: "3.10", 16: "3.11", 17: "3.11"}
RESOLVE_PYTHONS = ("3.10", "3.11", "3.12", "3.13")  # Resolve runs a Python that the user installed

_NUKE_FOLDERS = {"linux": ("usr/local", "opt"), "macos": ("Applications",), "windows": ("Program Files",)}
_NUKE_NAME = re.compile(r"Nuke(\d+)\.(\d+)v(\d+)")
_RESOLVE = {
    "linux": "opt/resolve",
    "macos": "Applications/DaVinci Resolve",
    "windows": "Program Files/Blackmagic Design/DaVinci Resolve",
}
_VENDOR = "Blackmagic Design/DaVinci Resolve"


@dataclass(frozen=True)
class Machine:
    """A machine and its user.

    Attributes:
        system: linux, macos or windows.
        root: the root of the file system; C: on Windows.
        home: the user's home folder.
        app_data: %APPDATA% on Windows.
        nuke_path: the folders in NUKE_PATH.
    """

    system: str
    root: Path
    home: Path
    app_data: Optional[Path] = None
    nuke_path: Tuple[Path, ...] = ()

    @classmethod
    def current(cls) -> Machine:
        """Return this machine."""
        system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
        root = Path(os.environ.get("SYSTEMDRIVE", "C:") + "\\") if system == "windows" else Path("/")
        app_data = os.environ.get("APPDATA")
        nuke_path = tuple(Path(part) for part in os.environ.get("NUKE_PATH", "").split(os.pathsep) if part)
        return cls(system, root, Path.home(), Path(app_data) if app_data else None, nuke_path)


@dataclass(frozen=True)
class InstalledHost:
    """One installed version of a host.

    Attributes:
        name: the product and its version.
        folder: the folder that it is installed in.
        python: its Python, such as "3.11"; empty if that is not known.
        note: why the version is not supported; empty if it is.
    """

    name: str
    folder: Path
    python: str = ""
    note: str = ""


def find_hosts(host: str, machine: Machine) -> List[InstalledHost]:
    """Return the versions of a host on a machine, oldest first."""
    return _find_nukes(machine) if host == "nuke" else _find_resolve(machine)


def default_pythons(host: str) -> Tuple[str, ...]:
    """Return the Pythons of all supported versions of a host."""
    return tuple(dict.fromkeys(NUKE_PYTHONS.values())) if host == "nuke" else RESOLVE_PYTHONS


def default_folder(host: str, machine: Machine) -> Path:
    """Return the user's folder of a host: ~/.nuke, or the Fusion folder that holds `Scripts`."""
    if host == "nuke":
        return machine.home / ".nuke"
    if machine.system == "windows":
        return (machine.app_data or machine.home / "AppData/Roaming") / _VENDOR / "Support/Fusion"
    if machine.system == "macos":
        return machine.home / "Library/Application Support" / _VENDOR / "Fusion"
    return machine.home / ".local/share/DaVinciResolve/Fusion"


def _find_nukes(machine: Machine) -> List[InstalledHost]:
    roots = [machine.root / folder for folder in _NUKE_FOLDERS[machine.system]]
    if machine.system == "linux":
        roots.append(machine.home)
    found = {}
    for folder in (path for root in roots for path in root.glob("Nuke*")):
        if (match := _NUKE_NAME.fullmatch(folder.name)) and folder.is_dir():
            version = tuple(int(number) for number in match.groups())
            found[version, folder] = _nuke(version[0], folder)
    return [found[key] for key in sorted(found)]


def _nuke(major: int, folder: Path) -> InstalledHost:
    name = folder.name.replace("Nuke", "Nuke ")
    if major in NUKE_PYTHONS:
        return InstalledHost(name, folder, NUKE_PYTHONS[major])
    known = f"{min(NUKE_PYTHONS)} to {max(NUKE_PYTHONS)}"
    problem = "is too old" if major < min(NUKE_PYTHONS) else "is unknown to this version: give its Python with --python"
    return InstalledHost(name, folder, note=f"{problem}; expected Nuke {known}")


def _find_resolve(machine: Machine) -> List[InstalledHost]:
    folder = machine.root / _RESOLVE[machine.system]
    return [InstalledHost("DaVinci Resolve", folder)] if folder.is_dir() else []
