"""The manifest of an installed folder: the digest of each of its files.

It tells void-bridge's files from others, and unchanged files from changed ones.
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
    """The content of a manifest.

    Attributes:
        host: the host of the plug-in.
        version: the version of void-bridge.
        files: SHA-256 of each file by its path below the folder, with `/`.
        outside: SHA-256 of each file that belongs to the plug-in by its path below the folder's parent.
        wheels: the pinned requirements by the folder that they are unpacked in.
    """

    host: str
    version: str
    files: Dict[str, str]
    outside: Dict[str, str] = field(default_factory=dict)
    wheels: Dict[str, Tuple[str, ...]] = field(default_factory=dict)

    def with_outside(self, contents: Mapping[str, bytes]) -> Manifest:
        """Return the manifest with these files outside the folder."""
        outside = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        return dataclasses.replace(self, outside=outside)


def read_manifest(folder: Path) -> Optional[Manifest]:
    """Return the manifest of a folder, or None if it has none.

    Raises:
        OutputError: the manifest cannot be read, or names files elsewhere.
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
            raise OutputError(f"{path} names {name!r}, which is outside that folder; remove {folder} and install again")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder."""
    text = json.dumps(to_plain(manifest), indent=1, sort_keys=True)
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def digests(folder: Path) -> Dict[str, str]:
    """Return the digest of every file below a folder by its path, without the manifest and Python's byte code."""
    return {name: digest(folder / name) for name in file_names(folder) if name != FILE_NAME}


def file_names(folder: Path) -> List[str]:
    """Return the paths of all files and links below a folder, sorted, without Python's byte code."""
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return [path.as_posix() for path in paths if BYTE_CODE not in path.parts]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or an empty string if there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def changed_files(folder: Path, expected: Dict[str, str]) -> List[str]:
    """Return the names of the files that exist with another digest than the expected one."""
    return [name for name, value in expected.items() if (folder / name).exists() and digest(folder / name) != value]


def is_intact(folder: Path, manifest: Manifest) -> bool:
    """Return whether every file exists as it was installed."""
    inside = all(digest(folder / name) == value for name, value in manifest.files.items())
    return inside and all(digest(folder.parent / name) == value for name, value in manifest.outside.items())
