"""The lines in Nuke's `init.py` that load the plug-in's folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from host_plugins.install.plugin_files import FOLDER
from host_plugins.install.plugin_folder import map_write_errors
from void_bridge.atomic import write_bytes

LINE = f'nuke.pluginAddPath("./{FOLDER}")'
_FIRST = b"# >>> VOID Bridge: taken out by void-bridge install nuke --uninstall >>>"
_LAST = b"# <<< VOID Bridge <<<"
_BLOCK = re.compile(re.escape(_FIRST) + rb".*?" + re.escape(_LAST) + rb"[^\n]*\n?", re.DOTALL)
_BY_HAND = re.compile(rb"^[ \t]*[^#\n]*plugin(?:Add|Append)Path\([^#\n]*\b" + FOLDER.encode() + rb"\b", re.MULTILINE)


def has_line(path: Path) -> bool:
    """Return whether an `init.py` loads the folder, in a line of void-bridge or of another author."""
    return bool(_BY_HAND.search(_read(path)))


def add_block(path: Path) -> Literal["made", "added", "there"]:
    """Append lines that load the folder, unless `init.py` already has one.

    Returns:
        "made" if there was no file, "added" if there was, "there" if it already loads the folder.

    Raises:
        OutputError: the file cannot be written.
        DiskFull: the disk is full.
    """
    if has_line(path):
        return "there"
    content = _read(path)
    end = b"\r\n" if b"\r\n" in content else b"\n"
    block = end.join((_FIRST, b"import nuke", LINE.encode(), _LAST, b""))
    start = content if not content or content.endswith(b"\n") else content + end
    _write(path, start + block)
    return "added" if content else "made"


def remove_block(path: Path) -> bool:
    """Remove the lines of `add_block`, and the file if nothing else is in it, and return whether they were there.

    Raises:
        OutputError: the file cannot be written.
        DiskFull: the disk is full.
    """
    content = _read(path)
    rest = _BLOCK.sub(b"", content)
    if rest == content:
        return False
    if rest or path.is_symlink():
        _write(path, rest)
    else:
        with map_write_errors(path):
            path.unlink()
    return True


def _read(path: Path) -> bytes:
    with map_write_errors(path):
        return path.read_bytes() if path.exists() else b""


def _write(path: Path, content: bytes) -> None:
    """Write a file; a link to it stays a link, because settings are often kept elsewhere, and its mode stays."""
    target = path.resolve()
    mode = target.stat().st_mode if target.exists() else None
    write_bytes(target, content)
    if mode is not None:
        target.chmod(mode)
