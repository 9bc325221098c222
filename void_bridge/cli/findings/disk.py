"""Of the disk that the spool lies on: whether it takes files, how many more, and of what kind it is."""

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
_ELSEWHERE = "set VOID_BRIDGE_SPOOL to a folder of your own on a local disk"
_LARGER = "set VOID_BRIDGE_SPOOL to a larger disk"


def spool_findings(config: Config) -> Iterator[Finding]:
    there = nearest_existing(config.spool)
    if not there.is_dir():
        yield Finding("spool", "bad", f"{there} is no folder", f"remove it, or {_ELSEWHERE}")
        return
    try:
        trial = try_folder(there)
    except OutputError as exc:
        yield Finding("spool", "bad", exc.message, _room_problem(there) or _ELSEWHERE)
    else:
        yield _spool(config.spool, trial)
        yield _clock(there, trial)
    yield _room(config, there)
    yield from _files(there)
    yield from _kind(there)


def _spool(spool: Path, trial: FolderTrial) -> Finding:
    if not trial.keeps_modes:
        fix = f"{_ELSEWHERE}: this one keeps no modes"
        return Finding("spool", "note", f"others on this machine can read what lies in {spool}", fix)
    made = "" if spool.exists() else ", made when it is needed"
    return Finding("spool", "ok", f"{spool}{made}: takes, syncs, locks, renames and removes files")


def _clock(there: Path, trial: FolderTrial) -> Finding:
    off = abs(trial.ahead_s)
    if off > _CLOCK_S:
        way = "ahead of" if trial.ahead_s > 0 else "behind"
        detail = f"the disk of {there} is {off:.0f} s {way} this machine"
        return Finding("clock", "note", detail, "have both set their clocks by the network (NTP)")
    return Finding("clock", "ok", "the spool's disk and this machine agree")


def _room(config: Config, there: Path) -> Finding:
    free_gb = shutil.disk_usage(there).free / 1e9
    (held_gb, is_all), limit_gb = _held(config.spool), config.spool_limit_gb
    limit = f"limited to {limit_gb:g}" if limit_gb else "not limited"
    detail = f"{free_gb:.1f} GB free; the spool holds {'' if is_all else 'more than '}{held_gb:.1f}, {limit}"
    if free_gb < _FULL_GB:
        return Finding("disk", "bad", detail, f"the disk is full: remove something, or {_LARGER}")
    if free_gb < _SHOT_GB:
        return Finding("disk", "note", detail, f"{_SHOT_GB:.0f} GB hold a UHD shot with its results; {_LARGER}")
    if not limit_gb:
        return Finding("disk", "note", detail, "it may fill the disk: set VOID_BRIDGE_SPOOL_LIMIT_GB")
    if is_all and held_gb + free_gb < limit_gb:
        fix = f"the disk is full before the limit is reached: set VOID_BRIDGE_SPOOL_LIMIT_GB to {held_gb + free_gb:.0f}"
        return Finding("disk", "note", detail, f"{fix} or less, or {_LARGER}")
    return Finding("disk", "ok", detail)


def _held(spool: Path) -> Tuple[float, bool]:
    """GB, and whether that is all: a slow disk with many files is not counted to its end."""
    total, until = 0, time.monotonic() + _COUNT_S
    for folder, _, names in os.walk(spool):
        if time.monotonic() > until:
            return total / 1e9, False
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118  as fast as can be
            except OSError:  # removed in the meantime
                continue
    return total / 1e9, True


def _files_left(there: Path) -> Optional[int]:
    """How many more files the disk takes; None where it does not count them."""
    if not hasattr(os, "statvfs"):
        return None
    facts = os.statvfs(there)
    return facts.f_favail if facts.f_files else None


def _files(there: Path) -> Iterator[Finding]:
    left = _files_left(there)
    if left is not None and left < _FEW_FILES:
        detail = f"the disk of {there} takes {left:,} more files (inodes), whatever their size"
        yield Finding("files", "bad" if left < 100 else "note", detail, f"remove small files there, or {_LARGER}")


def _room_problem(there: Path) -> str:
    left = _files_left(there)
    if left == 0:
        return f"the disk takes no more files (inodes): remove small ones, or {_LARGER}"
    return f"the disk is full: remove something, or {_LARGER}" if shutil.disk_usage(there).free == 0 else ""


def _kind(there: Path) -> Iterator[Finding]:
    found = file_system_of(there)
    if found is None:
        return
    if found.is_network:
        detail = f"the spool lies on the network: {found.kind} at {found.at}"
        fix = f"locks and syncs there are slower and less sure; {_ELSEWHERE}"
        yield Finding("file system", "note", detail, fix)
    elif found.is_memory:
        detail = f"the spool lies in memory: {found.kind} at {found.at}"
        yield Finding("file system", "note", detail, f"jobs are lost with a restart of this machine; {_ELSEWHERE}")
    else:
        yield Finding("file system", "ok", f"{found.kind} at {found.at}")


_TABLE = Path("/proc/self/mounts")
_NETWORK = re.compile(
    r"^(nfs\d?|cifs|smb\w*|afpfs|afs|webdav|ncpfs|9p|ceph|glusterfs|lustre|gpfs|beegfs|panfs|wekafs|vastnfs|"
    r"fuse\.(sshfs|s3fs|rclone|glusterfs|ceph|juicefs|gcsfuse|davfs\w*|nfs\w*|smb\w*))$"
)
_IN_MEMORY = ("tmpfs", "ramfs")


class FileSystem(NamedTuple):
    """kind: as the system calls it. at: where it is mounted."""

    kind: str
    at: str
    options: str = ""

    @property
    def is_network(self) -> bool:
        return bool(_NETWORK.match(self.kind)) or "remote" in self.options.split(",")

    @property
    def is_memory(self) -> bool:
        return self.kind in _IN_MEMORY


def file_system_of(path: Path) -> Optional[FileSystem]:
    """Of an existing path; None where the system does not say. Looks at no disk but to follow links."""
    real = path.resolve()
    above = {str(folder) for folder in (real, *real.parents)}
    found: Optional[FileSystem] = None
    for mount in _mounts():
        if mount.at in above and (found is None or len(mount.at) >= len(found.at)):  # a later mount hides an earlier
            found = mount
    return found


def _mounts() -> Iterator[FileSystem]:
    if sys.platform == "linux":
        for line in _TABLE.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            fields = line.split()
            if len(fields) >= 4:
                yield FileSystem(fields[2], _plain(fields[1]), fields[3])
    elif find_spec("psutil"):
        import psutil  # type: ignore[import-untyped]

        for part in psutil.disk_partitions(all=True):
            yield FileSystem(part.fstype.lower(), part.mountpoint, part.opts)


def _plain(text: str) -> str:
    """A space is written as \\040 there."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
