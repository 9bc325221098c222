"""What a folder of ours holds: `manifest.json`, with every file's digest.

It tells our files from others', and files as they were installed from changed ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Dict, List, Mapping, Optional, Tuple

from void_bridge.errors import OutputError
from void_bridge.typed import from_plain, to_plain

FILE_NAME = "manifest.json"
BYTE_CODE = "__pycache__"


@dataclass(frozen=True)
class Manifest:
    """host: whose plug-in. version: of void-bridge. files: SHA-256 by path below the folder, with `/`.
    outside: the same by path below the folder's parent. wheels: pinned requirements by folder."""

    host: str
    version: str
    files: Dict[str, str]
    outside: Dict[str, str] = field(default_factory=dict)
    wheels: Dict[str, Tuple[str, ...]] = field(default_factory=dict)

    def with_outside(self, contents: Mapping[str, bytes]) -> Manifest:
        """The same with these files outside."""
        outside = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        return dataclasses.replace(self, outside=outside)


def read_manifest(folder: Path) -> Optional[Manifest]:
    """The manifest of a folder; None where it has none.

    Raises:
        OutputError: it cannot be read, or names files elsewhere.
    """
    path = folder / FILE_NAME
    try:
        data = json.loads(path.read_bytes().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as exc:
        raise OutputError(f"cannot read {path}: {exc}; remove {folder} and install again") from exc
    manifest = from_plain(Manifest, data, where=str(path), error=OutputError)
    for name in (*manifest.files, *manifest.outside):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or ":" in name:
            raise OutputError(f"{path} names {name!r}, which lies elsewhere; remove {folder} and install again")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    text = json.dumps(to_plain(manifest), indent=1, sort_keys=True)
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def digests(folder: Path) -> Dict[str, str]:
    """Of every file below a folder, by its path there; of all but the manifest itself and Python's byte code."""
    return {name: digest(folder / name) for name in file_names(folder) if name != FILE_NAME}


def file_names(folder: Path) -> List[str]:
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return [path.as_posix() for path in paths if BYTE_CODE not in path.parts]


def digest(path: Path) -> str:
    """SHA-256 of a file; of nothing where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def changed_files(folder: Path, expected: Dict[str, str]) -> List[str]:
    """Names of the files that are there, but not as expected."""
    return [name for name, value in expected.items() if (folder / name).exists() and digest(folder / name) != value]


def is_whole(folder: Path, manifest: Manifest) -> bool:
    """Whether every file is there as it was installed."""
    inside = all(digest(folder / name) == value for name, value in manifest.files.items())
    return inside and all(digest(folder.parent / name) == value for name, value in manifest.outside.items())
