"""Result folders: a new numbered folder for every submission, reserved by creating it.

<folder>/<name>_v003/<name>_v003.####.exr
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from void_bridge.errors import OutputError, map_write_errors

_DIGITS = 3
_TRIES = 1000
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Version:
    """A version of a node's result.

    Attributes:
        folder: its folder, which exists, and is empty after `new_version`.
        name: the folder's name, such as `sh010_VOIDRemove1_v003`.
    """

    folder: Path
    name: str

    @property
    def pattern(self) -> str:
        """The pattern of the frames, with forward slashes on every platform, as hosts expect it."""
        return (self.folder / f"{self.name}.####.exr").as_posix()

    def abandon(self) -> None:
        """Remove the folder, unless something has been written into it."""
        with suppress(OSError):
            self.folder.rmdir()


def safe_name(text: str) -> str:
    """Return `text` as a part of file names: letters of any script, digits, `_`, `-` and `.`; never empty."""
    return _UNSAFE.sub("_", text).strip("._") or "shot"


def new_version(folder: Path, name: str) -> Version:
    """Create the folder of the next version of `name`. Two calls at the same time get two numbers.

    Args:
        folder: the folder of all versions; created if it does not exist.
        name: the name without the number; characters that are unsafe in file names are replaced.

    Raises:
        OutputError: it cannot be created.
        DiskFull: there is no space for it.
    """
    name = safe_name(name)
    with map_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        number = _highest(folder, name)
        for _ in range(_TRIES):
            number += 1
            versioned = f"{name}_v{number:0{_DIGITS}d}"
            try:
                (folder / versioned).mkdir()
            except FileExistsError:
                continue
            return Version(folder / versioned, versioned)
    raise OutputError(f"found no free version of {name} in {folder}; choose another output folder")


def _highest(folder: Path, name: str) -> int:
    version = re.compile(re.escape(name) + r"_v(\d+)")
    found = (version.fullmatch(entry) for entry in os.listdir(folder))  # noqa: PTH208  names alone, no stat
    return max((int(match[1]) for match in found if match), default=0)
