"""The published files from the hub, each in its place when it is whole, going on where a download stopped."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from gpu_server.engines.void.checkpoint.layout import BASE_PARTS, resolve
from gpu_server.engines.void.checkpoint.sources import BASE_REPOSITORY, PASSES_REPOSITORY, SOURCES
from void_bridge.errors import DiskFull, InputError, OutputError, Refused, map_write_errors

if TYPE_CHECKING:
    from gpu_server.engines.void.checkpoint.hub import Hub, HubFile

_SPARE_BYTES = 1 << 30


@dataclass(frozen=True)
class RemoteFile:
    """target: where the file belongs. What came of it so far lies beside that, named after its content."""

    repository: str
    listed: HubFile
    target: Path

    @property
    def partial(self) -> Path:
        return self.target.with_name(f"{self.target.name}.{self.listed.etag[:12]}.incomplete")

    @property
    def is_there(self) -> bool:
        return self.target.is_file() and self.target.stat().st_size == self.listed.size

    @property
    def missing_bytes(self) -> int:
        return 0 if self.is_there else max(0, self.listed.size - self.partial_bytes)

    @property
    def partial_bytes(self) -> int:
        return self.partial.stat().st_size if self.partial.is_file() else 0


def wanted_files(
    hub: Hub,
    folder: Path,
    passes: Sequence[int] = (1, 2),
    with_base_weights: bool = False,
    base_repository: str = BASE_REPOSITORY,
    passes_repository: str = PASSES_REPOSITORY,
) -> list[RemoteFile]:
    """The files that the folder should hold, as the hub lists them now, the smallest first.

    Args:
        with_base_weights: the 33-channel transformer too; the published passes do not need it.

    Raises:
        NoServer: the hub cannot be reached.
        Refused: it does not give a repository out, or the repository lacks a file.
        UsageError: no such repository or revision.
    """
    layout = resolve(folder)
    parts = [*BASE_PARTS, *(["base weights"] if with_base_weights else [])]
    files = [
        *_matching(hub, base_repository, parts, layout.base),
        *_matching(hub, passes_repository, [f"pass {number}" for number in passes], layout.folder),
    ]
    return sorted(files, key=lambda file: (file.listed.size, str(file.target)))


def check_disk(files: Sequence[RemoteFile], folder: Path) -> int:
    """The bytes that are still to come.

    Raises:
        DiskFull: the disk has no room for them and 1 GiB to spare.
    """
    missing = sum(file.missing_bytes for file in files)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if missing and missing + _SPARE_BYTES > free:
        raise DiskFull(
            f"{folder} needs {(missing + _SPARE_BYTES) / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free;"
            " free some, or name a folder on a larger disk"
        )
    return missing


def fetch(hub: Hub, file: RemoteFile) -> None:
    """Bring one file, or the rest of it, and put it in its place when it is whole.

    Raises:
        NoServer, Refused: the hub stopped answering; what came stays, and the next call goes on there.
        InputError: what came is not what the hub describes; it is dropped.
        DiskFull, OutputError: naming the file.
    """
    if file.is_there:
        return
    with map_write_errors(file.target):
        file.target.parent.mkdir(parents=True, exist_ok=True)
        with file.partial.open("ab") as out:
            hub.append(file.repository, file.listed.path, out, out.tell(), file.listed.size)
        _check_content(file)
        file.partial.replace(file.target)


def _matching(hub: Hub, repository: str, parts: Sequence[str], below: Path) -> Iterator[RemoteFile]:
    listed = hub.files(repository)
    for part in parts:
        for pattern in SOURCES[part].files:
            found = [file for file in listed if fnmatchcase(file.path, pattern)]
            if not found:
                raise Refused(f"{repository} has no {pattern}; check --base-repo, --passes-repo and --revision")
            yield from (RemoteFile(repository, file, _target(below, file.path)) for file in found)


def _target(below: Path, path: str) -> Path:
    parts = PurePosixPath(path).parts
    if ".." in parts or PurePosixPath(path).is_absolute() or "\\" in path or ":" in path:
        raise OutputError(f"the hub lists a file named {path!r}, which could lie outside {below}; it is not fetched")
    return below.joinpath(*parts)


def _check_content(file: RemoteFile) -> None:
    got = file.partial.stat().st_size
    wrong = f"{got:,} bytes" if got != file.listed.size else ""
    if not wrong and file.listed.sha256 and _sha256(file.partial) != file.listed.sha256:
        wrong = "another checksum"
    if wrong:
        file.partial.unlink()
        raise InputError(
            f"{file.listed.path} came with {wrong}, not as the hub lists it; it is dropped: fetch it again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
