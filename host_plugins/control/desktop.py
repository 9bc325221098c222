"""The system's file manager, for the "Open folder" button of every host."""

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
    """Show a folder in the system's file manager.

    Raises:
        InputError: the folder does not exist, or no file manager can be started.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist yet")
    if sys.platform == "win32":
        os.startfile(folder)
        return
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    try:
        process = subprocess.Popen([opener, str(folder)], env=child_environment(Config()), stderr=subprocess.DEVNULL)
    except OSError as exc:
        raise InputError(f"cannot show {folder}: {exc.strerror or exc}; open it in a file browser") from exc
    threading.Thread(target=process.wait, name="void-bridge-folder", daemon=True).start()  # else it stays a zombie
