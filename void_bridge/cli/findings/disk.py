"""Checks of the spool's disk: whether it takes files, its free space, and the kind of its file system."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator, NamedTuple, Optional, Tuple

from void_bridge.cli.findings import Finding
from void_bridge.cli.findings.folders import FolderTrial, nearest_existing, try_folder
from void_bridge.config import Config
from void_bridge.errors import OutputError

_SHOT_GB = 20.0
_FULL_GB = 1.0
_FEW_FILES = 10_000
_CLOCK_S = 5.0
_COUNT_S = 1.5
_ELSEWHERE = "set VOID_BRIDGE_SPOOL to your own folder on a local disk"
_LARGER = "set VOID_BRIDGE_SPOOL to a folder on a larger disk"
_TABLE = Path("/proc/self/mounts")
_NETWORK = re.compile(
    r"^(nfs\d?|cifs|smb\w*|afpfs|afs|webdav|ncpfs|9p|ceph|glusterfs|lustre|gpfs|beegfs|panfs|wekafs|vastnfs|"
    r"fuse\.(sshfs|s3fs|rclone|glusterfs|ceph|juicefs|gcsfuse|davfs\w*|nfs\w*|smb\w*))$"
)
_IN_MEMORY = ("tmpfs", "ramfs")


def spool_findings(config: Config) -> Iterator[Finding]:
    """Yield findings about the spool and its disk."""
    folder = nearest_existing(config.spool)
    if not folder.is_dir():
        yield Finding("spool", "bad", f"{folder} is not a folder", f"remove it, or {_ELSEWHERE}")
        return
    try:
        trial = try_folder(folder)
    except OutputError as exc:
        yield Finding("spool", "bad", exc.message, _full_disk_fix(folder) or _ELSEWHERE)
    else:
        yield _spool(config.spool, trial)
        yield _clock(folder, trial)
    yield _space(config, folder)
    yield from _inodes(folder)
    yield from _file_system(folder)


def _spool(spool: Path, trial: FolderTrial) -> Finding:
    """Return whether the spool takes files that others cannot read."""
    if not trial.keeps_modes:
        fix = f"{_ELSEWHERE}: this file system stores no permissions"
        return Finding("spool", "note", f"other users of this machine can read the files in {spool}", fix)
    made = "" if spool.exists() else ", created when it is needed"
    return Finding("spool", "ok", f"{spool}{made}: can write, sync, lock, rename and remove files")


def _clock(folder: Path, trial: FolderTrial) -> Finding:
    """Return whether the disk's clock agrees with this machine's."""
    difference_s = abs(trial.ahead_s)
    if difference_s > _CLOCK_S:
        relation = "ahead of" if trial.ahead_s > 0 else "behind"
        detail = f"the disk of {folder} is {difference_s:.0f} s {relation} this machine"
        return Finding("clock", "note", detail, "set both clocks by network time (NTP)")
    return Finding("clock", "ok", "the spool's disk and this machine agree")


def _space(config: Config, folder: Path) -> Finding:
    """Return whether the free space is enough for a shot and for the spool's limit."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    (held_gb, is_all), limit_gb = _spool_size(config.spool), config.spool_limit_gb
    limit = f"limited to {limit_gb:g}" if limit_gb else "not limited"
    detail = f"{free_gb:.1f} GB free; the spool holds {'' if is_all else 'more than '}{held_gb:.1f}, {limit}"
    if free_gb < _FULL_GB:
        return Finding("disk", "bad", detail, f"the disk is full: remove something, or {_LARGER}")
    if free_gb < _SHOT_GB:
        return Finding("disk", "note", detail, f"{_SHOT_GB:.0f} GB hold a UHD shot with its results; {_LARGER}")
    if not limit_gb:
        return Finding("disk", "note", detail, "jobs may fill the disk: set VOID_BRIDGE_SPOOL_LIMIT_GB")
    if is_all and held_gb + free_gb < limit_gb:
        fix = f"the disk is full before the limit is reached: set VOID_BRIDGE_SPOOL_LIMIT_GB to {held_gb + free_gb:.0f}"
        return Finding("disk", "note", detail, f"{fix} or less, or {_LARGER}")
    return Finding("disk", "ok", detail)


def _spool_size(spool: Path) -> Tuple[float, bool]:
    """Return the size of the spool in GB, and whether all files were counted before the time limit."""
    total, deadline = 0, time.monotonic() + _COUNT_S
    for folder, _, names in os.walk(spool):
        if time.monotonic() > deadline:
            return total / 1e9, False
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118  faster than a Path
            except OSError:  # removed in the meantime
                continue
    return total / 1e9, True


def _free_inodes(folder: Path) -> Optional[int]:
    """Return the number of further files that the disk takes, or None if its file system has no limit."""
    if not hasattr(os, "statvfs"):
        return None
    facts = os.statvfs(folder)
    return facts.f_favail if facts.f_files else None


def _inodes(folder: Path) -> Iterator[Finding]:
    """Yield a finding if the disk takes few further files."""
    left = _free_inodes(folder)
    if left is not None and left < _FEW_FILES:
        detail = f"the disk of {folder} has room for only {left:,} more files (inodes)"
        yield Finding("files", "bad" if left < 100 else "note", detail, f"remove small files there, or {_LARGER}")


def _full_disk_fix(folder: Path) -> str:
    """Return the fix for a full disk, or an empty string if it is not full."""
    if _free_inodes(folder) == 0:
        return f"the disk has no room for more files (inodes): remove small files, or {_LARGER}"
    return f"the disk is full: remove something, or {_LARGER}" if shutil.disk_usage(folder).free == 0 else ""


def _file_system(folder: Path) -> Iterator[Finding]:
    """Yield the kind of the file system, which should be neither on the network nor in memory."""
    found = file_system_of(folder)
    if found is None:
        return
    if found.is_network:
        detail = f"the spool is on a network disk: {found.kind} at {found.at}"
        fix = f"locks and syncs are slower and less reliable there; {_ELSEWHERE}"
        yield Finding("file system", "note", detail, fix)
    elif found.is_memory:
        detail = f"the spool is in memory: {found.kind} at {found.at}"
        yield Finding("file system", "note", detail, f"a restart of this machine loses all jobs; {_ELSEWHERE}")
    else:
        yield Finding("file system", "ok", f"{found.kind} at {found.at}")


class FileSystem(NamedTuple):
    """A mounted file system.

    Attributes:
        kind: the system's name of its type.
        at: the folder at which it is mounted.
        options: mount options, separated by commas.
    """

    kind: str
    at: str
    options: str = ""

    @property
    def is_network(self) -> bool:
        """Whether its files are on another machine."""
        return bool(_NETWORK.match(self.kind)) or "remote" in self.options.split(",")

    @property
    def is_memory(self) -> bool:
        """Whether its files are in memory."""
        return self.kind in _IN_MEMORY


def file_system_of(path: Path) -> Optional[FileSystem]:
    """Return the file system of an existing path, or None if the system does not say. Only follows links."""
    real = path.resolve()
    above = {str(folder) for folder in (real, *real.parents)}
    found: Optional[FileSystem] = None
    for mount in _mounts():
        if mount.at in above and (found is None or len(mount.at) >= len(found.at)):  # a later mount hides an earlier
            found = mount
    return found


def _mounts() -> Iterator[FileSystem]:
    """Yield all mounted file systems."""
    if sys.platform == "linux":
        for line in _TABLE.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            fields = line.split()
            if len(fields) >= 4:
                yield FileSystem(fields[2], _unescape(fields[1]), fields[3])
    elif find_spec("psutil"):
        import psutil  # type: ignore[import-untyped]

        for part in psutil.disk_partitions(all=True):
            yield FileSystem(part.fstype.lower(), part.mountpoint, part.opts)


def _unescape(text: str) -> str:
    r"""Return a path of the table of mounts, in which a space is written as `\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
