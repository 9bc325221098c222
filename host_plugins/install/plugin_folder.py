"""Installation, replacement and removal of a folder: all of it or nothing, and no file of another owner is touched.

    with staging(folder) as staged:
        ...                                     # write the new files
        change = replace_folder(staged, folder, manifest)

The new folder is written beside the old one under a temporary name and takes its place by a rename.
"""

from __future__ import annotations

import errno
import shutil
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Literal, Mapping, Optional, Tuple

from host_plugins.install.manifest import (
    BYTE_CODE,
    FILE_NAME,
    Manifest,
    changed_files,
    digest,
    file_names,
    is_intact,
    read_manifest,
    write_manifest,
)
from void_bridge.atomic import TEMPORARY_SUFFIX, write_bytes
from void_bridge.errors import DiskFull, OutputError

_OLD_SUFFIX = ".void-old"
_STALE_S = 24 * 3600.0
_NO_FILES: Mapping[str, bytes] = {}


@dataclass(frozen=True)
class FolderChange:
    """The result of an installation.

    Attributes:
        state: what has happened to the folder.
        changed: the files that had been changed by hand since the last installation.
        kept: the folder with copies of the changed files; empty if there are none.
    """

    state: Literal["installed", "updated", "unchanged"]
    changed: Tuple[str, ...] = ()
    kept: str = ""


@dataclass(frozen=True)
class FolderRemoval:
    """The result of a removal.

    Attributes:
        count: how many files were removed.
        left: the files that were left, because they have another owner or were changed.
    """

    count: int = 0
    left: Tuple[Path, ...] = ()


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Make an empty folder beside `folder`, which is deleted at the end, and repair what an interrupted run left.

    Yields:
        The empty folder.

    Raises:
        OutputError: the parent folder cannot be written.
        DiskFull: the disk is full.
    """
    staged = _hidden_name(folder, TEMPORARY_SUFFIX)
    with map_write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _repair(folder)
        staged.mkdir()
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def check_owner(folder: Path, outside: Mapping[str, bytes] = _NO_FILES) -> Optional[Manifest]:
    """Check that a folder holds only files of void-bridge, and return its manifest, or None if nothing is there.

    Args:
        folder: the folder to install into.
        outside: the files to be written outside of it, by their path below its parent.

    Raises:
        OutputError: files of another owner are there.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder} is a link or a file, expected a folder; remove it or choose another with --dest")
    manifest = read_manifest(folder)
    known = {FILE_NAME, *manifest.files} if manifest else set()
    foreign = [folder / name for name in file_names(folder) if name not in known]
    known_outside = manifest.outside if manifest else {}
    for name, data in outside.items():
        path = folder.parent / name
        if name not in known_outside and path.exists() and path.read_bytes() != data:
            foreign.append(path)
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise OutputError(f"void-bridge did not put {foreign[0]}{more} there; move that away or choose another --dest")
    return manifest


def replace_folder(
    staged: Path, folder: Path, manifest: Manifest, outside: Mapping[str, bytes] = _NO_FILES
) -> FolderChange:
    """Replace `folder` with the staged one, and write the files outside of it.

    Args:
        staged: the new folder.
        folder: the folder to replace.
        manifest: the manifest of the new folder.
        outside: the contents of the files outside of it, by their path below its parent.

    Raises:
        OutputError: files of another owner are there, or it cannot be written; the old folder stays.
        DiskFull: the disk is full; the old folder stays.
    """
    old = check_owner(folder, outside)
    if old == manifest and is_intact(folder, manifest):
        return FolderChange("unchanged")
    with map_write_errors(folder):
        write_manifest(staged, manifest)
        changed = _keep_changed(folder, old) if old else []
        with _swapped(staged, folder):
            _write_outside(folder.parent, outside, old.outside if old else {})
    return FolderChange("updated" if old else "installed", tuple(changed), str(_kept(folder)) if changed else "")


def remove_folder(folder: Path) -> FolderRemoval:
    """Remove the files that are as they were installed.

    Raises:
        OutputError: the folder has no manifest, or cannot be written.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        if folder.exists():
            raise OutputError(f"{folder} has no {FILE_NAME}: void-bridge did not put it there, and leaves it")
        return FolderRemoval()
    with map_write_errors(folder):
        count = _remove_intact(folder, manifest.files) + _remove_intact(folder.parent, manifest.outside)
        (folder / FILE_NAME).unlink()
        _remove_empty(folder)
    left = [folder / name for name in file_names(folder)]
    left += [folder.parent / name for name in manifest.outside if (folder.parent / name).exists()]
    return FolderRemoval(count, tuple(left))


@contextmanager
def map_write_errors(path: Path) -> Iterator[None]:
    """Raise DiskFull or OutputError, which name `path`, instead of the system's errors."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left for {path}; nothing was changed; free some space and try again") from exc
        why = exc.strerror or str(exc)
        raise OutputError(f"cannot write {path}: {why}; quit the host, or choose another place with --dest") from exc


def _hidden_name(folder: Path, suffix: str) -> Path:
    return folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}{suffix}")


def _repair(folder: Path) -> None:
    """Restore the old folder after a run that was killed between the renames, and delete its temporary folders."""
    for old in folder.parent.glob(f".{folder.name}.*{_OLD_SUFFIX}"):
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)
    for stale in folder.parent.glob(f".{folder.name}.*{TEMPORARY_SUFFIX}"):
        if time.time() - stale.stat().st_mtime > _STALE_S:  # a newer one may belong to a run at the same time
            shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def _swapped(staged: Path, folder: Path) -> Iterator[None]:
    """Rename `staged` to `folder`, and undo that if the block raises."""
    old = _hidden_name(folder, _OLD_SUFFIX)
    try:
        if folder.exists():
            folder.rename(old)
        staged.rename(folder)
        yield
    except BaseException:
        if folder.exists() and not staged.exists():
            folder.rename(staged)
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)  # files that a host has open may stay on a network disk


def _write_outside(root: Path, outside: Mapping[str, bytes], old: Mapping[str, str]) -> None:
    """Write the files outside the folder and remove old ones; restore all of them if that fails."""
    names = {*outside, *old}
    before = {name: (root / name).read_bytes() for name in names if (root / name).is_file()}
    try:
        for name, data in outside.items():
            write_bytes(root / name, data)
        _remove_intact(root, {name: value for name, value in old.items() if name not in outside})
    except BaseException:
        for name, data in before.items():
            write_bytes(root / name, data)
        for name in names - set(before):
            with suppress(OSError):
                (root / name).unlink()
        raise


def _kept(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.changed")


def _keep_changed(folder: Path, manifest: Manifest) -> List[str]:
    """Copy the files that were changed by hand to a folder beside this one, and return their names."""
    inside = {folder / name: name for name in changed_files(folder, manifest.files)}
    outside = {folder.parent / name: name for name in changed_files(folder.parent, manifest.outside)}
    for path, name in {**inside, **outside}.items():
        (_kept(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, _kept(folder) / name)
    return [*inside.values(), *outside.values()]


def _remove_intact(root: Path, files: Mapping[str, str]) -> int:
    """Delete the files that have the given digests, and return their number."""
    intact = [root / name for name, value in files.items() if digest(root / name) == value]
    for path in intact:
        path.unlink()
    return len(intact)


def _remove_empty(folder: Path) -> None:
    """Delete the folders that hold nothing but Python's byte code."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        if path.name == BYTE_CODE:
            shutil.rmtree(path)
        elif path.is_dir() and not path.is_symlink():
            with suppress(OSError):
                path.rmdir()
