"""Which file system a folder lies on."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

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
