"""The files of a plug-in: its folder, and the scripts that Resolve lists in its menus.

void_bridge/
  init.py, menu.py, void_bridge_nuke.py     Nuke's alone
  python/       void_bridge, host_plugins, fileseq, tomli, installation.json
  compiled/     pyzmq and msgpack, one folder for each Python and platform
  LICENSE, manifest.json
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import host_plugins
import void_bridge
from host_plugins.install import manifest as manifests
from host_plugins.install.hosts import HOSTS
from host_plugins.install.manifest import Manifest
from host_plugins.install.wheels import WheelSet, compiled_wheels, pure_wheels
from void_bridge.client.launch import child_environment
from void_bridge.config import load
from void_bridge.errors import InputError
from void_bridge.installation import FILE_NAME as RECORD_NAME
from void_bridge.installation import Installation
from void_bridge.typed import to_plain

FOLDER = "void_bridge"
# Packages that need numpy, a terminal or pip.
_LEFT_OUT = ("void_bridge/pixels/", "void_bridge/cli/", "host_plugins/install/")
# The modules of host_plugins/farm that a host imports; the others run in the server's Python and on the farm.
_FARM = ("__init__", "assets", "host_submission", "options", "settings", "shots", "status_files")
FARM = tuple(f"host_plugins/farm/{name}.py" for name in _FARM)
_SCRIPTS = {"nuke": "plugin", "resolve": "scripts"}
_PROBE = (
    "import json; from void_bridge import __version__; from void_bridge.connection import installation_id; "
    "print(json.dumps([installation_id(), __version__]))"
)


@dataclass(frozen=True)
class PluginBuild:
    """A plug-in's folder to be made.

    Attributes:
        host: nuke or resolve.
        pythons: the Pythons to have packages for, such as "3.11".
        platforms: the platforms to have packages for, keys of `wheels.PLATFORMS`.
        installation: the installation to record as the one that starts servers, if any.
        find_links: the folder of the wheels; None for pip's index.
    """

    host: str
    pythons: Tuple[str, ...]
    platforms: Tuple[str, ...]
    installation: Optional[Installation] = None
    find_links: Optional[Path] = None

    def wheel_sets(self) -> List[WheelSet]:
        """Return the wheels that the plug-in needs.

        Raises:
            UsageError: a Python or platform is unknown.
        """
        pairs = [(python, platform) for python in self.pythons for platform in self.platforms]
        return [pure_wheels(), *(compiled_wheels(python, platform) for python, platform in pairs)]


def write_plugin(
    staged: Path,
    build: PluginBuild,
    folder: Path,
    old: Optional[Manifest] = None,
    *,
    notice: Callable[[str], None],
) -> Manifest:
    """Write a plug-in's folder and return its manifest.

    Args:
        staged: the folder to write to.
        build: the plug-in to make.
        folder: the folder that is installed now, whose wheels are copied if they are the same and intact.
        old: its manifest, or None if nothing is installed.
        notice: called with a line before wheels are unpacked.

    Raises:
        InputError: pip finds no wheel.
        UsageError: there is no pip, or a Python or platform is unknown.
    """
    for name, source in own_files(build.host).items():
        _copy(source, staged / name)
    if build.installation:
        text = json.dumps(to_plain(build.installation), indent=1)
        (staged / "python" / RECORD_NAME).write_text(text + "\n", encoding="utf-8")
    sets = build.wheel_sets()
    for wheels in sets:
        if not (old and _copy_wheels(wheels, staged, folder, old)):
            notice(f"unpacking {wheels}")
            wheels.unpack(staged, build.find_links)
    pinned = {wheels.folder: wheels.requirements for wheels in sets}
    return Manifest(build.host, void_bridge.__version__, manifests.digests(staged), wheels=pinned)


def own_files(host: str) -> Dict[str, Path]:
    """Return the files of void-bridge for a host by their path in the plug-in's folder."""
    others = tuple(f"host_plugins/{name}/" for name in HOSTS if name != host)
    left_out = (*_LEFT_OUT, *others, f"host_plugins/{host}/{_SCRIPTS[host]}/")
    found = {}
    for package in (void_bridge, host_plugins):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root.parent).as_posix()
            if not name.startswith(left_out) and (name in FARM or not name.startswith("host_plugins/farm/")):
                found[f"python/{name}"] = path
    if host == "nuke":
        found.update({path.name: path for path in scripts_folder(host).glob("*.py")})
    return {**found, **_licence()}


def scripts_folder(host: str) -> Path:
    """Return the folder of the files that the host itself loads."""
    return Path(str(host_plugins.__file__)).parent / host / _SCRIPTS[host]


def menu_scripts(home: str, command: str) -> Dict[str, bytes]:
    """Return Resolve's scripts by their path in the Fusion folder: `Scripts/Comp/...`, `Scripts/Edit/...`.

    A script in a subfolder belongs to the page that the subfolder is named for. Of the others, those with "timeline" in
    their name belong to the Edit page, and the rest to compositions.

    Args:
        home: the plug-in's folder, to be written into the scripts; empty to leave their line as it is.
        command: the absolute path of `void-bridge`, likewise.
    """
    root = scripts_folder("resolve")
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".lua"))
    return {f"Scripts/{_page(path, root)}/{path.name}": _filled_in(path, home, command) for path in paths}


def _page(path: Path, root: Path) -> str:
    if path.parent != root:
        return path.relative_to(root).parent.as_posix()
    return "Edit" if "timeline" in path.name.lower() else "Comp"


def _filled_in(path: Path, home: str, command: str) -> bytes:
    """Return a script with the plug-in's folder and the command written into it."""
    text = path.read_text(encoding="utf-8")
    for name, value in (("VOID_BRIDGE_HOME", home), ("VOID_BRIDGE", command)):
        line = json.dumps(value, ensure_ascii=False).replace("\\", "\\\\")  # quoted as Python and Lua read it
        text = re.sub(rf'^((?:local )?{name} = )""', rf"\g<1>{line}", text, flags=re.MULTILINE)
    return text.encode("utf-8")


def current_installation() -> Installation:
    """Return this Python, and the installation id that a child process of it has, as the plug-in will start one.

    Raises:
        InputError: the child process does not find void-bridge.
    """
    executable = Path(sys.executable).absolute()  # not resolved: a link is what makes a virtual environment
    command = [str(executable), "-c", _PROBE]
    environment = child_environment(load().config)
    done = subprocess.run(command, capture_output=True, env=environment, cwd=executable.parent, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise InputError(f"{executable} does not find void-bridge by itself: {last}; install it there with pip")
    name, version = json.loads(done.stdout)
    return Installation(str(executable), name, version)


def command_path() -> str:
    """Return the absolute path of this installation's `void-bridge`.

    Raises:
        InputError: there is none.
    """
    path = Path(sysconfig.get_path("scripts"), "void-bridge.exe" if os.name == "nt" else "void-bridge").absolute()
    if not path.is_file():
        raise InputError(f"there is no {path}; install void-bridge with pip in {sys.prefix}")
    return str(path)


def _licence() -> Dict[str, Path]:
    try:
        files = distribution("void-bridge").files or []
    except PackageNotFoundError:
        return {}
    paths = [Path(str(file.locate())) for file in files if file.name == "LICENSE"]
    return {"LICENSE": paths[0]} if paths and paths[0].is_file() else {}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _copy_wheels(wheels: WheelSet, staged: Path, folder: Path, old: Manifest) -> bool:
    """Copy unpacked wheels from the installed folder if they are the same and intact; return whether they were."""
    if old.wheels.get(wheels.folder) != wheels.requirements:
        return False
    own = ("python/void_bridge/", "python/host_plugins/", f"python/{RECORD_NAME}")
    names = [name for name in old.files if name.startswith(f"{wheels.folder}/") and not name.startswith(own)]
    if any(manifests.digest(folder / name) != old.files[name] for name in names):
        return False
    for name in names:
        _copy(folder / name, staged / name)
    return bool(names)
