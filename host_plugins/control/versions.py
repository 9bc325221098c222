"""Where results go: a new numbered folder for every submission, claimed by making it.

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
    """folder: of this version, which exists and is empty when it was just made."""

    folder: Path
    name: str

    @property
    def pattern(self) -> str:
        """Of the frames, with forward slashes on every platform, as hosts want it."""
        return (self.folder / f"{self.name}.####.exr").as_posix()

    def abandon(self) -> None:
        """Give the number back, unless something has been written."""
        with suppress(OSError):
            self.folder.rmdir()


def safe_name(text: str) -> str:
    """`text` as a part of file names: letters of any script, digits, `_`, `-` and `.`; never empty."""
    return _UNSAFE.sub("_", text).strip("._") or "shot"


def new_version(folder: Path, name: str) -> Version:
    """Make the folder behind the highest version of `name` there. Two that ask at once get two numbers.

    Raises:
        OutputError, DiskFull: it cannot be made.
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
