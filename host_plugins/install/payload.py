"""What a plug-in's folder holds, and filling it.

void_bridge/
  init.py, menu.py, void_bridge_nuke.py     Nuke's alone
  python/       void_bridge, host_plugins, fileseq, tomli, installation.json
  compiled/     pyzmq and msgpack, one folder for each Python and platform
  LICENSE, manifest.json
"""

from __future__ import annotations

import json
import shutil
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
from void_bridge.installation import FILE_NAME as RECORD_NAME
from void_bridge.installation import Installation
from void_bridge.typed import to_plain

FOLDER = "void_bridge"
# What needs numpy, a terminal or pip; and the scripts, which go elsewhere.
_LEFT_OUT = ("void_bridge/pixels/", "void_bridge/cli/", "host_plugins/install/")
# Of host_plugins/farm a host needs what the artist sees; the rest runs in the server's Python and on the farm.
_ARTISTS = ("__init__", "assets", "host_submission", "options", "settings", "shots", "status_files")
FARM = tuple(f"host_plugins/farm/{name}.py" for name in _ARTISTS)
_SCRIPTS = {"nuke": "plugin", "resolve": "scripts"}


@dataclass(frozen=True)
class Wanted:
    """pythons: such as "3.11"; platforms: keys of wheels.PLATFORMS. installation: to be recorded, if any.
    find_links: the folder of wheels to use; None: pip's index."""

    host: str
    pythons: Tuple[str, ...]
    platforms: Tuple[str, ...]
    installation: Optional[Installation] = None
    find_links: Optional[Path] = None

    def wheel_sets(self) -> List[WheelSet]:
        """Raises UsageError: an unknown Python or platform."""
        pairs = [(python, platform) for python in self.pythons for platform in self.platforms]
        return [pure_wheels(), *(compiled_wheels(python, platform) for python, platform in pairs)]


def fill(
    staged: Path,
    wanted: Wanted,
    folder: Path,
    old: Optional[Manifest] = None,
    *,
    notice: Callable[[str], None],
) -> Manifest:
    """Make the plug-in's folder in `staged`, and its manifest.

    Args:
        folder, old: what lies there already; its wheels are used again where they are the same and whole.
        notice: told in words what is being unpacked.

    Raises:
        InputError: pip finds no wheel. UsageError: no pip, an unknown Python or platform.
    """
    for name, source in own_files(wanted.host).items():
        _copy(source, staged / name)
    if wanted.installation:
        text = json.dumps(to_plain(wanted.installation), indent=1)
        (staged / "python" / RECORD_NAME).write_text(text + "\n", encoding="utf-8")
    sets = wanted.wheel_sets()
    for wheels in sets:
        if not (old and _reused(wheels, staged, folder, old)):
            notice(f"unpacking {wheels}")
            wheels.unpack(staged, wanted.find_links)
    pinned = {wheels.folder: wheels.requirements for wheels in sets}
    return Manifest(wanted.host, void_bridge.__version__, manifests.digests(staged), wheels=pinned)


def own_files(host: str) -> Dict[str, Path]:
    """Where our own files come from, by their path in the plug-in's folder."""
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
    """Where the files lie that the host itself looks for."""
    return Path(str(host_plugins.__file__)).parent / host / _SCRIPTS[host]


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


def _reused(wheels: WheelSet, staged: Path, folder: Path, old: Manifest) -> bool:
    """Take unpacked wheels from the folder that lies there, so that nothing is fetched twice."""
    if old.wheels.get(wheels.folder) != wheels.requirements:
        return False
    own = ("python/void_bridge/", "python/host_plugins/", f"python/{RECORD_NAME}")
    names = [name for name in old.files if name.startswith(f"{wheels.folder}/") and not name.startswith(own)]
    if any(manifests.digest(folder / name) != old.files[name] for name in names):
        return False
    for name in names:
        _copy(folder / name, staged / name)
    return bool(names)
