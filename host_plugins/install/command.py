"""The command `void-bridge install nuke|resolve`: installs the plug-in where its host looks, or removes it."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Tuple

from host_plugins.compiled import platform_name
from host_plugins.install.bundle import make_bundle
from host_plugins.install.hosts import HOSTS, InstalledHost, Machine, default_folder, default_pythons, find_hosts
from host_plugins.install.init_file import LINE, add_block, has_line, remove_block
from host_plugins.install.plugin_files import (
    FOLDER,
    PluginBuild,
    command_path,
    current_installation,
    menu_scripts,
    write_plugin,
)
from host_plugins.install.plugin_folder import FolderChange, check_owner, remove_folder, replace_folder, staging
from host_plugins.install.wheels import PLATFORMS
from void_bridge.cli.command import Command, add_json_option
from void_bridge.cli.console import CommandOutcome, say
from void_bridge.errors import UsageError


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", choices=HOSTS, help="host of the plug-in")
    parser.add_argument(
        "--dest", metavar="DIR", help=f"parent of the folder {FOLDER} (default: ~/.nuke, or the user's Fusion folder)"
    )
    parser.add_argument("--uninstall", action="store_true", help="remove the installed plug-in")
    parser.add_argument(
        "--edit-init", action="store_true", help="add the line that loads it to init.py next to that folder"
    )
    parser.add_argument(
        "--bundle", metavar="DIR", help="write a folder for machines without a network, and install nothing"
    )
    parser.add_argument(
        "--platform",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        help=f"platforms to include packages for: {', '.join(PLATFORMS)} (default: this one)",
    )
    parser.add_argument(
        "--python",
        metavar="X.Y",
        nargs="+",
        action="extend",
        default=[],
        help="Python versions to include packages for (default: those of the hosts on this machine, else all)",
    )
    parser.add_argument("--find-links", metavar="DIR", help="take wheels from this folder instead of a package index")
    add_json_option(parser)


def _run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    if arguments.bundle:
        return _bundle(arguments)
    machine = Machine.current()
    root = Path(arguments.dest).expanduser().absolute() if arguments.dest else default_folder(arguments.host, machine)
    if arguments.uninstall:
        return _uninstall(arguments, root)
    return _install(arguments, machine, root)


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError if options exclude each other."""
    given = [name for name in ("bundle", "uninstall", "edit_init") if getattr(arguments, name)]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1].replace('_', '-')} exclude each other; give one")
    if arguments.bundle and arguments.dest:
        raise UsageError("--bundle DIR is already the folder; remove --dest")
    if arguments.edit_init and arguments.host != "nuke":
        raise UsageError("--edit-init is for nuke only; resolve needs no line in init.py")
    if arguments.find_links and not Path(arguments.find_links).is_dir():
        raise UsageError(f"--find-links: got {arguments.find_links!r}, expected a folder of wheels")


def _install(arguments: argparse.Namespace, machine: Machine, root: Path) -> int:
    folder = root / FOLDER
    build = _build(arguments, find_hosts(arguments.host, machine), installation=current_installation())
    scripts = menu_scripts(str(folder), command_path()) if arguments.host == "resolve" else {}
    with staging(folder) as staged:
        old = check_owner(folder, scripts)
        manifest = write_plugin(staged, build, folder, old, notice=say)
        change = replace_folder(staged, folder, manifest.with_outside(scripts), scripts)
    edited = add_block(root / "init.py") if arguments.edit_init else ""
    lines = [_change_line(change, folder, build), *_server_lines(build), *_next_steps(arguments.host, root, edited)]
    if arguments.host == "nuke" and (change.state != "unchanged" or edited in ("made", "added")):
        lines.append("then restart Nuke: VOIDRemove is in the node menu, under VOID")
    _report(arguments.outcome, lines, change, folder, build, line=LINE if arguments.host == "nuke" else "")
    return 0


def _bundle(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.bundle).expanduser().absolute()
    build = _build(arguments, [])
    change = make_bundle(folder, build, say)
    what = "nothing to change in" if change.state == "unchanged" else "made"
    lines = [f"{what} {folder} ({_targets(build)})", f"{folder / 'README.txt'} explains how to install it"]
    _report(arguments.outcome, lines, change, folder, build)
    return 0


def _uninstall(arguments: argparse.Namespace, root: Path) -> int:
    folder = root / FOLDER
    removed = remove_folder(folder)
    is_line_out = arguments.host == "nuke" and remove_block(root / "init.py")
    state = "removed" if removed.count or is_line_out else "unchanged"
    lines = [f"removed {removed.count} files from {folder}" if removed.count else f"nothing is installed at {folder}"]
    lines += [f"left, because it was changed or void-bridge did not put it there: {path}" for path in removed.left]
    if is_line_out:
        lines.append(f"removed the line from {root / 'init.py'}")
    elif arguments.host == "nuke" and has_line(root / "init.py"):
        lines.append(f"{root / 'init.py'} still loads it, in a line that void-bridge did not write; remove that line")
    left = [str(path) for path in removed.left]
    outcome: CommandOutcome = arguments.outcome
    outcome.set_without_job(host=arguments.host, state=state, folder=str(folder), files=removed.count, left=left)
    outcome.summary("\n".join(lines))
    return 0


def _build(arguments: argparse.Namespace, found: List[InstalledHost], **more: Any) -> PluginBuild:
    """Return the plug-in to make: for the given Pythons, those of the hosts found here, or all supported ones."""
    for host in found:
        say(f"found {host.name} in {host.folder}{f': {host.note}' if host.note else ''}")
    pythons = tuple(dict.fromkeys(arguments.python or [host.python for host in found if host.python]))
    if not pythons:
        pythons = default_pythons(arguments.host)
        why = "any version" if arguments.bundle or found else f"no {arguments.host.title()} found on this machine"
        say(f"{why}: packages for Python {', '.join(pythons)}")
    platforms = tuple(dict.fromkeys(arguments.platform)) or (platform_name(),)
    find_links = Path(arguments.find_links).absolute() if arguments.find_links else None
    return PluginBuild(arguments.host, pythons, platforms, find_links=find_links, **more)


def _change_line(change: FolderChange, folder: Path, build: PluginBuild) -> str:
    what = {"installed": "installed", "updated": "updated", "unchanged": "nothing to change in"}[change.state]
    return f"{what} {folder} ({_targets(build)})"


def _targets(build: PluginBuild) -> str:
    return f"Python {', '.join(build.pythons)} on {', '.join(build.platforms)}"


def _server_lines(build: PluginBuild) -> List[str]:
    assert build.installation
    lines = [f"it starts its server with {build.installation.executable}"]
    if sys.version_info < (3, 11) or not find_spec("OpenEXR"):
        lines.append("which cannot run a server: that needs Python 3.11 or later and void-bridge[server]")
    return lines


def _next_steps(host: str, root: Path, edited: str) -> List[str]:
    if host == "resolve":
        return ["restart Resolve: the scripts are in the menu Workspace > Scripts"]
    init = root / "init.py"
    if edited or has_line(init):
        how = {"made": " (made)", "added": " (line added)"}.get(edited, "")
        return [f"{init} loads it{how}"]
    return [
        f"add this line to {init}, or run this command with --edit-init:",
        f"    {LINE}",
        f"for a studio, add this folder to NUKE_PATH instead: {root / FOLDER}",
    ]


def _report(
    outcome: CommandOutcome, lines: List[str], change: FolderChange, folder: Path, build: PluginBuild, **more: object
) -> None:
    if change.changed:
        lines.append(
            f"replaced files that were changed by hand: {', '.join(change.changed)}; the old files are in {change.kept}"
        )
    executable = build.installation.executable if build.installation else ""
    facts: Dict[str, object] = {"host": build.host, "state": change.state, "folder": str(folder)}
    targets: Dict[str, Tuple[str, ...]] = {"pythons": build.pythons, "platforms": build.platforms}
    outcome.set_without_job(**facts, **targets, executable=executable, changed=change.changed, **more)
    outcome.summary("\n".join(lines))


COMMAND = Command(
    "install",
    "install or uninstall the plug-in for Nuke or Resolve",
    _configure,
    _run,
    examples="void-bridge install nuke --edit-init\nvoid-bridge install nuke --uninstall",
)
