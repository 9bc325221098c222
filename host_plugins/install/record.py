"""Which Python a plug-in starts as its server: the one that installs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from void_bridge.client.launch import child_environment
from void_bridge.config import load
from void_bridge.errors import InputError
from void_bridge.installation import Installation

_PROBE = (
    "import json; from void_bridge import __version__; from void_bridge.connection import installation_id; "
    "print(json.dumps([installation_id(), __version__]))"
)


def this_installation() -> Installation:
    """This Python, and the name that a server which a plug-in starts with it will have: asked of such a child.

    Raises:
        InputError: it cannot be started as a plug-in starts it.
    """
    executable = Path(sys.executable).absolute()  # a link stays one: it is what makes an environment
    command = [str(executable), "-c", _PROBE]
    environment = child_environment(load().config)
    done = subprocess.run(command, capture_output=True, env=environment, cwd=executable.parent, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"{executable} does not find void-bridge by itself: {last}; install it there with pip")
    name, version = json.loads(done.stdout)
    return Installation(str(executable), name, version)


def command_path() -> str:
    """The absolute path of this installation's `void-bridge`. Raises InputError: it has none."""
    path = Path(sysconfig.get_path("scripts"), "void-bridge.exe" if os.name == "nt" else "void-bridge").absolute()
    if not path.is_file():
        raise InputError(f"there is no {path}; install void-bridge with pip in {sys.prefix}")
    return str(path)
