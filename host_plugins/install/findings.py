"""Findings of `void-bridge doctor` about hosts: which are installed, and whether each has this version's plug-in."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from host_plugins.compiled import compiled_folder, platform_name
from host_plugins.install.hosts import HOSTS, InstalledHost, Machine, default_folder, find_hosts
from host_plugins.install.init_file import has_line
from host_plugins.install.manifest import FILE_NAME, Manifest, is_intact, read_manifest
from host_plugins.install.plugin_files import FOLDER
from void_bridge.cli.findings import Finding
from void_bridge.connection import installation_id
from void_bridge.errors import VoidBridgeError
from void_bridge.installation import Installation, read_installation
from void_bridge.version import __version__

Problem = Tuple[str, str]


def host_findings(machine: Optional[Machine] = None) -> Iterator[Finding]:
    """Yield findings about each host: its installed versions, and each plug-in that it loads for this user.

    Args:
        machine: the machine to look at; None for this one.
    """
    machine = machine or Machine.current()
    for host in HOSTS:
        found = find_hosts(host, machine)
        names = (
            ", ".join(f"{one.name}{f' ({one.note})' if one.note else ''}" for one in found) or "none on this machine"
        )
        plugins = _plugins(host, machine)
        for folder in plugins:
            yield _plugin_finding(host, machine, found, names, folder)
        if not plugins:
            yield _without_plugin(host, machine, names, bool(found))


def _plugins(host: str, machine: Machine) -> List[Path]:
    """Return the folders of plug-ins: the user's, and for Nuke those in NUKE_PATH."""
    folders = [default_folder(host, machine) / FOLDER]
    if host == "nuke":
        folders += [path for path in machine.nuke_path if path.name == FOLDER]
    return [path for path in dict.fromkeys(folders) if (path / FILE_NAME).exists()]


def _without_plugin(host: str, machine: Machine, names: str, is_host_here: bool) -> Finding:
    detail = f"{names}; no plug-in in {default_folder(host, machine)}"
    if host == "nuke":
        detail += " or NUKE_PATH"
    fix = "void-bridge install nuke --edit-init" if host == "nuke" else f"void-bridge install {host}"
    return Finding(host, "note", detail, fix) if is_host_here else Finding(host, "ok", detail)


def _plugin_finding(host: str, machine: Machine, found: List[InstalledHost], names: str, folder: Path) -> Finding:
    detail = f"{names}; plug-in in {folder}"
    try:
        problem = _problem(host, machine, found, folder)
    except VoidBridgeError as exc:
        return Finding(host, "bad", f"{detail}: {exc.message}")
    if problem:
        return Finding(host, "note", f"{detail}: {problem[0]}", problem[1])
    return Finding(host, "ok", f"{detail}, of this version")


def _problem(host: str, machine: Machine, found: List[InstalledHost], folder: Path) -> Optional[Problem]:
    """Return the first problem of a plug-in and the command that fixes it, or None."""
    manifest = read_manifest(folder)
    assert manifest
    command = _install_command(host, folder, machine)
    if manifest.version != __version__:
        return f"of version {manifest.version}, this is {__version__}", command
    if not is_intact(folder, manifest):
        return "some of its files are lost or were changed", command
    problem = _server_problem(read_installation(folder / "python"))
    if problem:
        return problem, command
    missing = _hosts_without_packages(found, manifest)
    if missing:
        return f"it has no packages for {' and '.join(missing)}", command
    if host == "nuke" and folder not in machine.nuke_path and not has_line(folder.parent / "init.py"):
        return f"{folder.parent / 'init.py'} does not load it", f"{command} --edit-init, or add it to NUKE_PATH"
    return None


def _server_problem(record: Optional[Installation]) -> str:
    if not record:
        return ""  # a bundle has no record: its users name a server in the settings
    if not Path(record.executable).exists():
        return f"the Python that starts its server no longer exists: {record.executable}"
    if record.installation != installation_id():
        return f"its server is that of {record.executable}, not of this void-bridge"
    return ""


def _hosts_without_packages(found: List[InstalledHost], manifest: Manifest) -> List[str]:
    folders = {one: compiled_folder(one.python, platform_name()) for one in found if one.python}
    return [f"{one.name} (Python {one.python})" for one, folder in folders.items() if folder not in manifest.wheels]


def _install_command(host: str, folder: Path, machine: Machine) -> str:
    """Return the command that installs the plug-in where it is now."""
    is_own = folder.parent == default_folder(host, machine)
    return f"void-bridge install {host}" + ("" if is_own else f" --dest {folder.parent}")
