"""The recorded installation: the Python with which a plug-in inside a host starts its server.

A host runs plug-ins under its own Python, so that `sys.executable` is the host. `void-bridge install` therefore writes
`installation.json` into the folder that holds the plug-in's copy of this package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from void_bridge.errors import ConfigError
from void_bridge.typed import from_plain

FILE_NAME = "installation.json"


@dataclass(frozen=True)
class Installation:
    """A recorded installation.

    Attributes:
        executable: absolute path of its Python.
        installation: its `connection.installation_id()`.
        version: its version of void-bridge.
    """

    executable: str
    installation: str
    version: str


def recorded_installation() -> Optional[Installation]:
    """Return the record beside this copy of the package, or None without one, as in a virtual environment.

    Raises:
        ConfigError: there is a record that cannot be read.
    """
    return read_installation(Path(__file__).resolve().parents[1])


def read_installation(folder: Path) -> Optional[Installation]:
    """Return the record in a folder, or None without one. Raises ConfigError if it cannot be read."""
    path = folder / FILE_NAME
    try:
        data = json.loads(path.read_bytes().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):  # the latter: inside a zip
        return None
    except (OSError, ValueError) as exc:
        raise ConfigError(f"cannot read {path}: {exc}; run void-bridge install nuke (or resolve) again") from exc
    return from_plain(Installation, data, where=str(path), error=ConfigError)
