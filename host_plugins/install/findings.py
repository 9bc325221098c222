"""What `void-bridge doctor` says of the hosts: which are here, and whether each has the plug-in of this void-bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from host_plugins.compiled import compiled_folder, platform_name
from host_plugins.install.hosts import HOSTS, Host, Machine, default_folder, found_hosts
from host_plugins.install.init_file import has_line
from host_plugins.install.manifest import FILE_NAME, Manifest, is_whole, read_manifest
from host_plugins.install.payload import FOLDER
from void_bridge import __version__
from void_bridge.cli.findings import Finding
from void_bridge.connection import installation_id
from void_bridge.errors import VoidBridgeError
from void_bridge.installation import Installation, read_installation

Problem = Tuple[str, str]


def host_findings(machine: Optional[Machine] = None) -> Iterator[Finding]:
    """For each host: its versions here, and each plug-in that lies where this user's host looks.

    Args:
        machine: None is this one.
    """
    machine = machine or Machine.this()
    for host in HOSTS:
        found = found_hosts(host, machine)
        names = (
            ", ".join(f"{one.name}{f' ({one.note})' if one.note else ''}" for one in found) or "none on this machine"
        )
        plugins = _plugins(host, machine)
        for folder in plugins:
            yield _plugin_finding(host, machine, found, names, folder)
        if not plugins:
            yield _without_plugin(host, machine, names, bool(found))


def _plugins(host: str, machine: Machine) -> List[Path]:
    """In the user's own folder, and for Nuke those in NUKE_PATH."""
    places = [default_folder(host, machine) / FOLDER]
    if host == "nuke":
        places += [path for path in machine.nuke_path if path.name == FOLDER]
    return [path for path in dict.fromkeys(places) if (path / FILE_NAME).exists()]


def _without_plugin(host: str, machine: Machine, names: str, is_host_here: bool) -> Finding:
    detail = f"{names}; no plug-in in {default_folder(host, machine)}"
    if host == "nuke":
        detail += " or NUKE_PATH"
    fix = "void-bridge install nuke --edit-init" if host == "nuke" else f"void-bridge install {host}"
    return Finding(host, "note", detail, fix) if is_host_here else Finding(host, "ok", detail)


def _plugin_finding(host: str, machine: Machine, found: List[Host], names: str, folder: Path) -> Finding:
    detail = f"{names}; plug-in in {folder}"
    try:
        problem = _problem(host, machine, found, folder)
    except VoidBridgeError as exc:
        return Finding(host, "bad", f"{detail}: {exc.message}")
    if problem:
        return Finding(host, "note", f"{detail}: {problem[0]}", problem[1])
    return Finding(host, "ok", f"{detail}, of this version")


def _problem(host: str, machine: Machine, found: List[Host], folder: Path) -> Optional[Problem]:
    """The first thing that is not as it should be, and what to do about it."""
    manifest = read_manifest(folder)
    assert manifest
    again = _again(host, folder, machine)
    if manifest.version != __version__:
        return f"of version {manifest.version}, this is {__version__}", again
    if not is_whole(folder, manifest):
        return "some of its files are lost or were changed", again
    wrong = _server_problem(read_installation(folder / "python"))
    if wrong:
        return wrong, again
    if _lacking(found, manifest):
        return f"it has no packages for {' and '.join(_lacking(found, manifest))}", again
    if host == "nuke" and folder not in machine.nuke_path and not has_line(folder.parent / "init.py"):
        return f"{folder.parent / 'init.py'} does not load it", f"{again} --edit-init, or add it to NUKE_PATH"
    return None


def _server_problem(record: Optional[Installation]) -> str:
    if not record:
        return ""  # from a bundle: a server is named in the settings
    if not Path(record.executable).exists():
        return f"the Python that starts its server has gone: {record.executable}"
    if record.installation != installation_id():
        return f"its server is that of {record.executable}, not of this void-bridge"
    return ""


def _lacking(found: List[Host], manifest: Manifest) -> List[str]:
    folders = {one: compiled_folder(one.python, platform_name()) for one in found if one.python}
    return [f"{one.name} (Python {one.python})" for one, folder in folders.items() if folder not in manifest.wheels]


def _again(host: str, folder: Path, machine: Machine) -> str:
    """The command that puts it right, at the place where the plug-in is."""
    is_own = folder.parent == default_folder(host, machine)
    return f"void-bridge install {host}" + ("" if is_own else f" --dest {folder.parent}")
