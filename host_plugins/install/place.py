"""Putting a folder in its place, replacing it and taking it away: whole or not at all, and nobody else's files.

    with staging(folder) as staged:
        ...                                     # fill it
        placed = put(staged, folder, manifest)

The new folder is built beside the old one under a temporary name and takes its place by a rename.
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
    is_whole,
    read_manifest,
    write_manifest,
)
from void_bridge.atomic import TEMPORARY_SUFFIX, write_bytes
from void_bridge.errors import DiskFull, OutputError

_OLD_SUFFIX = ".void-old"
_STALE_S = 24 * 3600.0
_NOTHING: Mapping[str, bytes] = {}


@dataclass(frozen=True)
class Placed:
    """changed: files that somebody had changed since; their copies as they were lie in `kept`."""

    state: Literal["installed", "updated", "unchanged"]
    changed: Tuple[str, ...] = ()
    kept: str = ""


@dataclass(frozen=True)
class Removed:
    """count: of files removed. left: those that are not as they were installed, or not ours."""

    count: int = 0
    left: Tuple[Path, ...] = ()


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, gone at the end. Mends what an interrupted run left.

    Raises:
        OutputError, DiskFull: the place cannot be written.
    """
    staged = _beside(folder, TEMPORARY_SUFFIX)
    with place_named(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _mend(folder)
        staged.mkdir()
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def ours(folder: Path, outside: Mapping[str, bytes] = _NOTHING) -> Optional[Manifest]:
    """The manifest of what lies at `folder`; None where nothing does.

    Args:
        outside: what is to be put below the folder's parent, by path there.

    Raises:
        OutputError: somebody else's files are there.
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


def put(staged: Path, folder: Path, manifest: Manifest, outside: Mapping[str, bytes] = _NOTHING) -> Placed:
    """Have what was staged take the place of `folder`, and write what belongs outside of it.

    Args:
        manifest: of what was staged.
        outside: file contents by path below the folder's parent.

    Raises:
        OutputError, DiskFull: somebody else's files are there, or it cannot be written; what was there stays.
    """
    old = ours(folder, outside)
    if old == manifest and is_whole(folder, manifest):
        return Placed("unchanged")
    with place_named(folder):
        write_manifest(staged, manifest)
        changed = _keep_changed(folder, old) if old else []
        with _swapped(staged, folder):
            _write_outside(folder.parent, outside, old.outside if old else {})
    return Placed("updated" if old else "installed", tuple(changed), str(_kept(folder)) if changed else "")


def take_away(folder: Path) -> Removed:
    """Remove what was put there and still is as it was put.

    Raises:
        OutputError: the folder has no manifest, or cannot be written.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        if folder.exists():
            raise OutputError(f"{folder} has no {FILE_NAME}: void-bridge did not put it there, and leaves it")
        return Removed()
    with place_named(folder):
        count = _remove_whole(folder, manifest.files) + _remove_whole(folder.parent, manifest.outside)
        (folder / FILE_NAME).unlink()
        _remove_empty(folder)
    left = [folder / name for name in file_names(folder)]
    left += [folder.parent / name for name in manifest.outside if (folder.parent / name).exists()]
    return Removed(count, tuple(left))


@contextmanager
def place_named(place: Path) -> Iterator[None]:
    """Turn the system's errors of writing into ours. Raises DiskFull, OutputError."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left for {place}; what was there stays; free some space and try again") from exc
        why = exc.strerror or str(exc)
        raise OutputError(f"cannot write {place}: {why}; quit the host, or choose another place with --dest") from exc


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}{suffix}")


def _mend(folder: Path) -> None:
    """After a kill in the middle: the old folder goes back, and what is left over goes away."""
    for aside in folder.parent.glob(f".{folder.name}.*{_OLD_SUFFIX}"):
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(folder)
    for stale in folder.parent.glob(f".{folder.name}.*{TEMPORARY_SUFFIX}"):
        if time.time() - stale.stat().st_mtime > _STALE_S:  # a newer one may be somebody's at work
            shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def _swapped(staged: Path, folder: Path) -> Iterator[None]:
    """`staged` as `folder`; back again if the block fails."""
    aside = _beside(folder, _OLD_SUFFIX)
    try:
        if folder.exists():
            folder.rename(aside)
        staged.rename(folder)
        yield
    except BaseException:
        if folder.exists() and not staged.exists():
            folder.rename(staged)
        if aside.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)  # a network disk may keep what a host has open


def _write_outside(root: Path, outside: Mapping[str, bytes], old: Mapping[str, str]) -> None:
    names = {*outside, *old}
    before = {name: (root / name).read_bytes() for name in names if (root / name).is_file()}
    try:
        for name, data in outside.items():
            write_bytes(root / name, data)
        _remove_whole(root, {name: value for name, value in old.items() if name not in outside})
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
    """Copy what somebody changed by hand to a folder beside, before it is replaced."""
    inside = {folder / name: name for name in changed_files(folder, manifest.files)}
    outside = {folder.parent / name: name for name in changed_files(folder.parent, manifest.outside)}
    for path, name in {**inside, **outside}.items():
        (_kept(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, _kept(folder) / name)
    return [*inside.values(), *outside.values()]


def _remove_whole(root: Path, files: Mapping[str, str]) -> int:
    whole = [root / name for name, value in files.items() if digest(root / name) == value]
    for path in whole:
        path.unlink()
    return len(whole)


def _remove_empty(folder: Path) -> None:
    """Folders that hold nothing but Python's byte code go; others stay."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        if path.name == BYTE_CODE:
            shutil.rmtree(path)
        elif path.is_dir() and not path.is_symlink():
            with suppress(OSError):
                path.rmdir()
