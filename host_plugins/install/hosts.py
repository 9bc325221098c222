"""Which hosts are on a machine, which Python each runs, and where each looks for plug-ins.

The folders and Pythons are the vendors' and their users' word (docs/install.md names what is unverified). A
`Machine` has a root, so that a made-up tree can stand for one.
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
# Resolve runs a Python that the user installed.
RESOLVE_PYTHONS = ("3.10", "3.11", "3.12", "3.13")

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
    """system: linux, macos or windows. root: of its file system (C: on Windows). home: of its user.
    app_data: %APPDATA% on Windows. nuke_path: the folders in NUKE_PATH."""

    system: str
    root: Path
    home: Path
    app_data: Optional[Path] = None
    nuke_path: Tuple[Path, ...] = ()

    @classmethod
    def this(cls) -> Machine:
        system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
        root = Path(os.environ.get("SYSTEMDRIVE", "C:") + "\\") if system == "windows" else Path("/")
        app_data = os.environ.get("APPDATA")
        nuke_path = tuple(Path(part) for part in os.environ.get("NUKE_PATH", "").split(os.pathsep) if part)
        return cls(system, root, Path.home(), Path(app_data) if app_data else None, nuke_path)


@dataclass(frozen=True)
class Host:
    """python: "3.11", or nothing where it isn't known. note: what is wrong with this version, if anything."""

    name: str
    folder: Path
    python: str = ""
    note: str = ""


def found_hosts(host: str, machine: Machine) -> List[Host]:
    """The versions of `host` on the machine, oldest first."""
    return _nukes(machine) if host == "nuke" else _resolves(machine)


def default_pythons(host: str) -> Tuple[str, ...]:
    """Where no version is found: all that the host's supported versions run."""
    return tuple(dict.fromkeys(NUKE_PYTHONS.values())) if host == "nuke" else RESOLVE_PYTHONS


def default_folder(host: str, machine: Machine) -> Path:
    """Where the host looks for its user's own: ~/.nuke, or the Fusion folder that holds `Scripts`."""
    if host == "nuke":
        return machine.home / ".nuke"
    if machine.system == "windows":
        return (machine.app_data or machine.home / "AppData/Roaming") / _VENDOR / "Support/Fusion"
    if machine.system == "macos":
        return machine.home / "Library/Application Support" / _VENDOR / "Fusion"
    return machine.home / ".local/share/DaVinciResolve/Fusion"


def _nukes(machine: Machine) -> List[Host]:
    places = [machine.root / folder for folder in _NUKE_FOLDERS[machine.system]]
    if machine.system == "linux":
        places.append(machine.home)
    found = {}
    for folder in (path for place in places for path in place.glob("Nuke*")):
        if (match := _NUKE_NAME.fullmatch(folder.name)) and folder.is_dir():
            version = tuple(int(number) for number in match.groups())
            found[version, folder] = _nuke(version[0], folder)
    return [found[key] for key in sorted(found)]


def _nuke(major: int, folder: Path) -> Host:
    if major in NUKE_PYTHONS:
        return Host(folder.name.replace("Nuke", "Nuke "), folder, NUKE_PYTHONS[major])
    known = f"{min(NUKE_PYTHONS)} to {max(NUKE_PYTHONS)}"
    too_old = "is too old" if major < min(NUKE_PYTHONS) else "is unknown here: name its Python with --python"
    return Host(folder.name.replace("Nuke", "Nuke "), folder, note=f"{too_old}; expected Nuke {known}")


def _resolves(machine: Machine) -> List[Host]:
    folder = machine.root / _RESOLVE[machine.system]
    return [Host("DaVinci Resolve", folder)] if folder.is_dir() else []
