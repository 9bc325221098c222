"""The lines of Nuke's `init.py` that name the plug-in's folder: written on request, and taken out again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from host_plugins.install.payload import FOLDER
from host_plugins.install.place import place_named
from void_bridge.atomic import write_bytes

LINE = f'nuke.pluginAddPath("./{FOLDER}")'
_FIRST = b"# >>> VOID Bridge: taken out by void-bridge install nuke --uninstall >>>"
_LAST = b"# <<< VOID Bridge <<<"
_BLOCK = re.compile(re.escape(_FIRST) + rb".*?" + re.escape(_LAST) + rb"[^\n]*\n?", re.DOTALL)
_BY_HAND = re.compile(rb"^[ \t]*[^#\n]*plugin(?:Add|Append)Path\([^#\n]*\b" + FOLDER.encode() + rb"\b", re.MULTILINE)


def has_line(path: Path) -> bool:
    """Whether an `init.py` names the folder already, by our hand or another's."""
    return bool(_BY_HAND.search(_content(path)))


def add_block(path: Path) -> Literal["made", "added", "there"]:
    """Have `init.py` name the folder, at its end; one that does stays as it is.

    Raises:
        OutputError, DiskFull: it cannot be written.
    """
    if has_line(path):
        return "there"
    content = _content(path)
    end = b"\r\n" if b"\r\n" in content else b"\n"
    block = end.join((_FIRST, b"import nuke", LINE.encode(), _LAST, b""))
    start = content if not content or content.endswith(b"\n") else content + end
    _write(path, start + block)
    return "added" if content else "made"


def remove_block(path: Path) -> bool:
    """Take our lines out, and the file if it then is empty. Returns whether they were there.

    Raises:
        OutputError, DiskFull: it cannot be written.
    """
    content = _content(path)
    rest = _BLOCK.sub(b"", content)
    if rest == content:
        return False
    if rest or path.is_symlink():
        _write(path, rest)
    else:
        with place_named(path):
            path.unlink()
    return True


def _content(path: Path) -> bytes:
    with place_named(path):
        return path.read_bytes() if path.exists() else b""


def _write(path: Path, content: bytes) -> None:
    """A link stays a link, for settings are often kept elsewhere; and who may read it stays as it is."""
    target = path.resolve()
    mode = target.stat().st_mode if target.exists() else None
    write_bytes(target, content)
    if mode is not None:
        target.chmod(mode)
