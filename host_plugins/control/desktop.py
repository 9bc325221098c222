"""The system's file manager, for every host's "Open folder"."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from void_bridge.client.launch import child_environment
from void_bridge.config import Config
from void_bridge.errors import InputError


def show_folder(folder: Path) -> None:
    """Raises InputError: it is not there, or there is no file manager."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not there (yet)")
    if sys.platform == "win32":
        os.startfile(folder)
        return
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    try:
        process = subprocess.Popen([opener, str(folder)], env=child_environment(Config()), stderr=subprocess.DEVNULL)
    except OSError as exc:
        raise InputError(f"cannot show {folder}: {exc.strerror or exc}; open it by hand") from exc
    threading.Thread(target=process.wait, name="void-bridge-folder", daemon=True).start()  # else it stays a zombie
