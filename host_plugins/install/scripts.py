"""The scripts that Resolve and Fusion list in their menus: small, and told where everything else lies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Dict

from host_plugins.install.payload import scripts_folder

_KINDS = (".py", ".lua")


def menu_scripts(home: str, command: str) -> Dict[str, bytes]:
    """Resolve's scripts by their path in the Fusion folder: `Scripts/Comp/...`, `Scripts/Edit/...`.

    A script in a subfolder of ours goes where that is called; of the others, one with "timeline" in its name is for
    the edit page and the rest are for compositions.

    Args:
        home: of the plug-in's folder. command: the absolute `void-bridge`. Both empty: the lines stay as they are.
    """
    root = scripts_folder("resolve")
    paths = sorted(path for path in root.rglob("*") if path.suffix in _KINDS)
    return {f"Scripts/{_page(path, root)}/{path.name}": _told(path, home, command) for path in paths}


def _page(path: Path, root: Path) -> str:
    if path.parent != root:
        return path.relative_to(root).parent.as_posix()
    return "Edit" if "timeline" in path.name.lower() else "Comp"


def _told(path: Path, home: str, command: str) -> bytes:
    text = path.read_text(encoding="utf-8")
    for name, value in (("VOID_BRIDGE_HOME", home), ("VOID_BRIDGE", command)):
        line = json.dumps(value, ensure_ascii=False).replace("\\", "\\\\")  # quoted as Python and Lua read it
        text = re.sub(rf'^((?:local )?{name} = )""', rf"\g<1>{line}", text, flags=re.MULTILINE)
    return text.encode("utf-8")
