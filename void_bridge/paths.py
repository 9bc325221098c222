"""Where a user's and a site's files lie on each platform: XDG folders, and their like elsewhere."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

_NAME = "void-bridge"


def config_dir() -> Path:
    """Settings and keys of this user."""
    return _folder("XDG_CONFIG_HOME", ".config", "APPDATA")


def data_dir() -> Path:
    """Model weights of this user."""
    return _folder("XDG_DATA_HOME", ".local/share", "LOCALAPPDATA")


def state_dir() -> Path:
    """Spool and logs of this user on this machine."""
    return _folder("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA")


def runtime_dir() -> Path:
    """Connection files: of this machine alone, as home folders are often shared between machines."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(base) / _NAME if base and sys.platform != "win32" else state_dir() / "run" / socket.gethostname()


def site_config_dir() -> Path:
    """Settings of the whole site."""
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / _NAME
    return Path("/Library/Application Support" if sys.platform == "darwin" else "/etc") / _NAME


def _folder(variable: str, below_home: str, windows_variable: str) -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get(windows_variable) or Path.home() / "AppData" / "Local") / _NAME
    base = os.environ.get(variable, "")
    if base:
        return Path(base) / _NAME
    return Path.home() / ("Library/Application Support" if sys.platform == "darwin" else below_home) / _NAME
