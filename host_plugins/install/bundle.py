"""Bundles: one folder with a plug-in and its wheels, for machines without a network.

    DIR/
      README.txt     how to place it
      void_bridge/   the plug-in's folder, ready to be copied
      Scripts/       Resolve's alone: the scripts of its menus
      wheelhouse/    the wheels that it was made from, for `void-bridge install --find-links`

The plug-in's folder is made from the wheelhouse without pip's index, which shows that no wheel is missing.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable

from host_plugins.install import manifest as manifests
from host_plugins.install.init_file import LINE
from host_plugins.install.manifest import Manifest, write_manifest
from host_plugins.install.plugin_files import FOLDER, PluginBuild, menu_scripts, write_plugin
from host_plugins.install.plugin_folder import FolderChange, check_owner, replace_folder, staging

_README = """VOID Bridge for {title}, void-bridge {version}
Python {pythons} on {platforms}

{place}
The plug-in in this folder starts no server of its own: it does not know which Python to start one with. Name a server
in each user's or the site's settings (VOID_BRIDGE_CONNECT=tcp://gpu1:5570), with keys from void-bridge keys new. Where
void-bridge itself is installed on a machine, install the plug-in with it instead, and it starts a local server:

    void-bridge install {host} --find-links wheelhouse --python {versions}
"""
_PLACE = {
    "nuke": f"""1. Copy the folder void_bridge to where Nuke looks: ~/.nuke for one user, or any shared disk.
2. For one user, add this line to ~/.nuke/init.py:
       {LINE}
   For a studio, add the copied folder to NUKE_PATH instead.
""",
    "resolve": """1. Copy the folder void_bridge to a place of its own, not below Scripts: Resolve lists all there.
2. In each file below Scripts, write that place into the line that starts with VOID_BRIDGE_HOME, as in
       VOID_BRIDGE_HOME = "/studio/void_bridge"
   (the Lua script, which the free edition runs, needs the void-bridge command itself, in the line VOID_BRIDGE).
3. Copy the files below Scripts into the folders of the same names in Resolve's Fusion/Scripts folder.
""",
}


def make_bundle(folder: Path, build: PluginBuild, notice: Callable[[str], None]) -> FolderChange:
    """Make a bundle, or replace an older one.

    Args:
        folder: the folder of the bundle.
        build: the plug-in to make.
        notice: called with a line before wheels are downloaded or unpacked.

    Raises:
        OutputError: the folder holds other files, or cannot be written.
        DiskFull: the disk is full.
        InputError: pip finds no wheel.
        UsageError: a Python or platform is unknown.
    """
    with staging(folder) as staged:
        check_owner(folder)
        wheelhouse = staged / "wheelhouse"
        for wheels in build.wheel_sets():
            notice(f"fetching {wheels}")
            wheels.download(wheelhouse, build.find_links)
        home = staged / FOLDER
        offline = dataclasses.replace(build, find_links=wheelhouse, installation=None)
        manifest = write_plugin(home, offline, home, notice=notice)
        write_manifest(home, manifest)
        if build.host == "resolve":
            for name, data in menu_scripts("", "").items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                (staged / name).write_bytes(data)
        (staged / "README.txt").write_text(_readme(build, manifest.version), encoding="utf-8")
        whole = Manifest(build.host, manifest.version, manifests.digests(staged))
        return replace_folder(staged, folder, whole)


def _readme(build: PluginBuild, version: str) -> str:
    title = {"nuke": "Nuke", "resolve": "Resolve and Fusion"}[build.host]
    return _README.format(
        title=title,
        host=build.host,
        version=version,
        pythons=", ".join(build.pythons),
        platforms=", ".join(build.platforms),
        versions=" ".join(build.pythons),
        place=_PLACE[build.host],
    )
