"""Reaching Resolve Studio from a Python of one's own, through the module that its README describes."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from void_bridge.errors import InputError

# Developer/Scripting and the library, by platform: Resolve's Developer/Scripting/README.txt, "Using a script".
_PLACES: Dict[str, Tuple[str, str]] = {
    "linux": ("/opt/resolve/Developer/Scripting", "/opt/resolve/libs/Fusion/fusionscript.so"),
    "darwin": (
        "/Library/Application Support/Blackmagic Design/DaVinci Resolve/Developer/Scripting",
        "/Applications/DaVinci Resolve/DaVinci Resolve.app/Contents/Libraries/Fusion/fusionscript.so",
    ),
    "win32": (
        "%PROGRAMDATA%/Blackmagic Design/DaVinci Resolve/Support/Developer/Scripting",
        "C:/Program Files/Blackmagic Design/DaVinci Resolve/fusionscript.dll",
    ),
}
API, LIB = "RESOLVE_SCRIPT_API", "RESOLVE_SCRIPT_LIB"


def scripting_paths(environment: Mapping[str, str], platform: str) -> Tuple[str, str]:
    """The folder of the scripting modules and the library, as the environment or the platform says."""
    api, lib = _PLACES.get(platform, _PLACES["linux"])
    api = api.replace("%PROGRAMDATA%", environment.get("PROGRAMDATA", "C:/ProgramData"))
    return environment.get(API) or api, environment.get(LIB) or lib


def external_globals() -> Dict[str, Any]:
    """What a script finds as its globals inside Resolve.

    Raises:
        InputError: the module is not there, or no Resolve Studio answers.
    """
    api, lib = scripting_paths(os.environ, sys.platform)
    modules = Path(api) / "Modules"
    if not modules.is_dir():
        raise InputError(f"found no {modules}; install Resolve Studio, or say where it is with {API}")
    os.environ.setdefault(API, api)
    os.environ.setdefault(LIB, lib)
    if str(modules) not in sys.path:
        sys.path.append(str(modules))
    try:
        bmd = importlib.import_module("DaVinciResolveScript")
    except ImportError as exc:
        raise InputError(f"cannot load Resolve's module: {exc}; is {lib} for this Python?") from exc
    resolve = bmd.scriptapp("Resolve")
    if resolve is None:
        raise InputError(
            "Resolve does not answer; start Resolve Studio, and allow external scripting in its system preferences"
        )
    return {"resolve": resolve, "fusion": resolve.Fusion(), "bmd": bmd}
