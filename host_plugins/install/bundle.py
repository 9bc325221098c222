"""`void-bridge install ... --bundle DIR`: everything a plug-in needs, in one folder for machines without a network.

    DIR/
      README.txt     how to place it
      void_bridge/   the plug-in's folder, ready to be copied
      Scripts/       Resolve's alone: the scripts that its menus list
      wheelhouse/    the wheels that it was made from, for `void-bridge install --find-links`

The plug-in's folder is made from the wheelhouse alone, by a pip that asks no index: what is missing shows here.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable

from host_plugins.install import manifest as manifests
from host_plugins.install.init_file import LINE
from host_plugins.install.manifest import Manifest, write_manifest
from host_plugins.install.payload import FOLDER, Wanted, fill
from host_plugins.install.place import Placed, ours, put, staging
from host_plugins.install.scripts import menu_scripts

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


def make_bundle(folder: Path, wanted: Wanted, notice: Callable[[str], None]) -> Placed:
    """Make the bundle, or replace one that is there.

    Args:
        notice: told in words what is being fetched.

    Raises:
        OutputError, DiskFull: the folder holds something else, or cannot be written.
        InputError, UsageError: pip finds no wheel; an unknown Python or platform.
    """
    with staging(folder) as staged:
        ours(folder)
        wheelhouse = staged / "wheelhouse"
        for wheels in wanted.wheel_sets():
            notice(f"fetching {wheels}")
            wheels.download(wheelhouse, wanted.find_links)
        home = staged / FOLDER
        offline = dataclasses.replace(wanted, find_links=wheelhouse, installation=None)
        manifest = fill(home, offline, home, notice=notice)
        write_manifest(home, manifest)
        if wanted.host == "resolve":
            for name, data in menu_scripts("", "").items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                (staged / name).write_bytes(data)
        (staged / "README.txt").write_text(_readme(wanted, manifest.version), encoding="utf-8")
        whole = Manifest(wanted.host, manifest.version, manifests.digests(staged))
        return put(staged, folder, whole)


def _readme(wanted: Wanted, version: str) -> str:
    title = {"nuke": "Nuke", "resolve": "Resolve and Fusion"}[wanted.host]
    return _README.format(
        title=title,
        host=wanted.host,
        version=version,
        pythons=", ".join(wanted.pythons),
        platforms=", ".join(wanted.platforms),
        versions=" ".join(wanted.pythons),
        place=_PLACE[wanted.host],
    )
