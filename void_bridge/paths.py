"""Folders of a user's and a site's files on each platform: XDG folders and their counterparts."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

_NAME = "void-bridge"


def config_dir() -> Path:
    """Return the folder of this user's settings and keys."""
    return _folder("XDG_CONFIG_HOME", ".config", "APPDATA")


def data_dir() -> Path:
    """Return the folder of this user's model weights."""
    return _folder("XDG_DATA_HOME", ".local/share", "LOCALAPPDATA")


def state_dir() -> Path:
    """Return the folder of this user's spool and logs on this machine."""
    return _folder("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA")


def runtime_dir() -> Path:
    """Return the folder of connection files, one per machine since home folders are often shared between machines."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(base) / _NAME if base and sys.platform != "win32" else state_dir() / "run" / socket.gethostname()


def site_config_dir() -> Path:
    """Return the folder of the whole site's settings."""
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / _NAME
    return Path("/Library/Application Support" if sys.platform == "darwin" else "/etc") / _NAME


def _folder(variable: str, below_home: str, windows_variable: str) -> Path:
    """Return the folder below an XDG variable, its default below the home folder, or a Windows variable."""
    if sys.platform == "win32":
        return Path(os.environ.get(windows_variable) or Path.home() / "AppData" / "Local") / _NAME
    base = os.environ.get(variable, "")
    if base:
        return Path(base) / _NAME
    return Path.home() / ("Library/Application Support" if sys.platform == "darwin" else below_home) / _NAME
