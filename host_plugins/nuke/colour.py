"""The script's colour management as a job needs it: a colour space, and the OCIO config that defines it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Optional, Tuple

import nuke

from void_bridge.config import BUILTIN_CONFIG
from void_bridge.errors import ColourError

# With colour management by Nuke itself, `linear` is linear light with the primaries of Rec.709.
LINEAR = "Linear Rec.709 (sRGB)"

_CONFIG_KNOBS = ("OCIO_config", "OCIOConfig")  # its name differs between versions
_ROLES = {"scene_linear", "compositing_linear", "rendering", "default", "reference", "aces_interchange"}
_RAW = {"raw", "data", "utility - raw"}
_WITH_ROLE = re.compile(r"(\w+) \((.+)\)")


def working_space() -> Tuple[str, str]:
    """Return the name of the script's working space, and its config: `ocio://` or a file.

    Raises:
        ColourError: the config is not found on this machine.
    """
    root = nuke.root()
    if not uses_ocio():
        return LINEAR, BUILTIN_CONFIG
    return _bare_name(str(root["workingSpaceLUT"].value())), _config()


def uses_ocio() -> bool:
    """Return whether the script's colour management is OCIO's."""
    return str(nuke.root()["colorManagement"].value()) == "OCIO"


def space_of_read(read: nuke.Node) -> Optional[str]:
    """Return the colour space of a Read's files, as the config names it, or None if only Nuke can convert it."""
    name = str(read["colorspace"].value())
    if name.startswith("default"):
        name = str(nuke.root()["floatLut"].value())  # Nuke's default for EXR
    name = _bare_name(name)
    if read["raw"].value() or name.lower() in _RAW:
        return working_space()[0]
    if uses_ocio():
        return name
    return LINEAR if name == "linear" else None


def _bare_name(name: str) -> str:
    """Return the space in a knob's value that names a role as well, such as `scene_linear (ACEScg)`."""
    found = _WITH_ROLE.fullmatch(name)
    if found and found[1] in _ROLES:
        return found[2]
    return name


def _config() -> str:
    root = nuke.root()
    name = str(next(root[name] for name in _CONFIG_KNOBS if root.knob(name)).value())
    if name == "custom":
        custom: Any = root["customOCIOConfigPath"]
        return str(custom.evaluate() or os.environ.get("OCIO", ""))
    found = next((path for path in _shipped(name) if path.is_file()), None)
    if found is None:
        raise ColourError(f"cannot find Nuke's OCIO config {name}; set 'OCIO config' to its file")
    return found.as_posix()


def _shipped(name: str) -> Tuple[Path, ...]:
    folder = Path(nuke.EXE_PATH).parent / "plugins" / "OCIOConfigs" / "configs"
    return folder / f"{name}.ocio", folder / name / "config.ocio", folder / name / f"{name}.ocio"
