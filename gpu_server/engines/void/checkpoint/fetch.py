"""The published files from the Hugging Face hub, each put in place when it is whole; an interrupted download resumes.

The hub client's own download starts an interrupted file anew in the next run, and files here have 11 GB. So its client
only lists and authorises, and its `http_get` appends to a partial file that is kept.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from huggingface_hub import HfApi, constants, errors, hf_hub_url
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import build_hf_headers, disable_progress_bars

from gpu_server.engines.void.checkpoint.layout import (
    BASE_PARTS,
    BASE_REPOSITORY,
    PASSES_REPOSITORY,
    PUBLISHED,
    resolve,
)
from void_bridge.errors import DiskFull, InputError, NoServer, OutputError, Refused, UsageError, map_write_errors

_TIMEOUT_S = 15.0
_SPARE_BYTES = 1 << 30
_ELSEWHERE = "download on a machine with a network, and copy the folder"
_AGAIN = "the partial download is kept: run void-bridge models fetch again to resume it"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository, as the hub lists it.

    Attributes:
        path: its path in the repository.
        size: bytes.
        etag: changes with the content.
        sha256: hexadecimal; '' for small files.
    """

    path: str
    size: int
    etag: str
    sha256: str


class Hub:
    """A client of the hub.

    Args:
        revision: a branch, tag or commit of every repository; None for main.
    """

    def __init__(self, revision: str | None = None) -> None:
        self._revision = revision
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        if not sys.stderr.isatty():
            disable_progress_bars()

    def files(self, repository: str) -> list[HubFile]:
        """Return every file of a repository.

        Raises:
            NoServer: the hub cannot be reached.
            Refused: the hub refuses the repository.
            UsageError: no such repository or revision.
        """
        with self._mapped_errors(repository, _ELSEWHERE):
            info = HfApi().model_info(repository, revision=self._revision, files_metadata=True, timeout=_TIMEOUT_S)
            return [_hub_file(entry) for entry in info.siblings or ()]

    def append(self, repository: str, path: str, out: BinaryIO, start: int, size: int) -> None:
        """Append the rest of a file to `out`, which holds its beginning.

        A broken connection is taken up again a few times. If the hub sends the file from its beginning, `out` is
        written from its beginning, too.

        Args:
            repository: the hub's name of the repository.
            path: the file in the repository.
            out: the partial file, open for appending.
            start: bytes that `out` holds.
            size: bytes of the whole file.

        Raises:
            NoServer: the hub stopped answering; `out` holds the bytes received until then.
            Refused: the hub refuses the file.
            UsageError: no such repository or revision.
        """
        url = hf_hub_url(repository, path, revision=self._revision)
        headers = build_hf_headers()
        with self._mapped_errors(repository, _AGAIN):
            http_get(url, out, resume_size=start, headers=headers, expected_size=size, displayed_filename=path)

    @contextmanager
    def _mapped_errors(self, repository: str, advice: str) -> Iterator[None]:
        """Raise the hub client's errors as our own."""
        endpoint = constants.ENDPOINT
        try:
            yield
        except errors.RevisionNotFoundError as exc:
            raise UsageError(f"{repository} has no revision {self._revision}; remove --revision to use main") from exc
        except errors.GatedRepoError as exc:
            raise Refused(
                f"{repository} asks for an agreement: accept it on {endpoint}, then run hf auth login"
            ) from exc
        except errors.RepositoryNotFoundError as exc:
            raise UsageError(
                f"{endpoint} has no repository {repository}, or you have no access; run hf auth login"
            ) from exc
        except errors.HfHubHTTPError as exc:
            raise Refused(f"{endpoint} refused {repository}: {_reason(exc)}; try again later") from exc
        except (errors.HTTPError, ConnectionError, errors.HfUriError) as exc:
            raise NoServer(f"cannot reach {endpoint} for {repository} ({_reason(exc)}); {advice}") from exc


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch. Its partial download is next to the target, named after the content.

    Attributes:
        repository: the hub's name of the repository.
        hub_file: the file there.
        target: where the whole file belongs.
    """

    repository: str
    hub_file: HubFile
    target: Path

    @property
    def partial(self) -> Path:
        """The partial download."""
        return self.target.with_name(f"{self.target.name}.{self.hub_file.etag[:12]}.incomplete")

    @property
    def is_there(self) -> bool:
        """Whether the whole file is at its target."""
        return self.target.is_file() and self.target.stat().st_size == self.hub_file.size

    @property
    def missing_bytes(self) -> int:
        """Bytes still to be downloaded."""
        return 0 if self.is_there else max(0, self.hub_file.size - self.partial_bytes)

    @property
    def partial_bytes(self) -> int:
        """Bytes of the partial download."""
        return self.partial.stat().st_size if self.partial.is_file() else 0


def wanted_files(
    hub: Hub,
    folder: Path,
    passes: Sequence[int] = (1, 2),
    with_base_weights: bool = False,
    base_repository: str = BASE_REPOSITORY,
    passes_repository: str = PASSES_REPOSITORY,
) -> list[RemoteFile]:
    """Return the files that a models folder should hold, as the hub lists them now, the smallest first.

    Args:
        hub: the hub.
        folder: the models folder.
        passes: the passes to fetch.
        with_base_weights: fetch the 33-channel transformer too; the published passes do not need it.
        base_repository: the repository of the base.
        passes_repository: the repository of the passes.

    Raises:
        NoServer: the hub cannot be reached.
        Refused: the hub refuses a repository, or the repository lacks a file.
        UsageError: no such repository or revision.
        OutputError: the hub lists a file that could be outside the folder.
    """
    layout = resolve(folder)
    parts = [*BASE_PARTS, *(["base weights"] if with_base_weights else [])]
    files = [
        *_matching_files(hub, base_repository, parts, layout.base),
        *_matching_files(hub, passes_repository, [f"pass {number}" for number in passes], layout.folder),
    ]
    return sorted(files, key=lambda file: (file.hub_file.size, str(file.target)))


def check_disk(files: Sequence[RemoteFile], folder: Path) -> int:
    """Return the bytes still to be downloaded.

    Raises:
        DiskFull: the disk has no room for them and 1 GiB to spare.
    """
    missing = sum(file.missing_bytes for file in files)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if missing and missing + _SPARE_BYTES > free:
        raise DiskFull(
            f"{folder} needs {(missing + _SPARE_BYTES) / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free;"
            " free some space, or name a folder on a larger disk"
        )
    return missing


def fetch(hub: Hub, file: RemoteFile) -> None:
    """Download a file, or the rest of it, and put it in place when it is whole.

    Raises:
        NoServer: the hub stopped answering; the partial file stays, and the next call resumes it.
        Refused: the hub refuses the file.
        InputError: the content differs from the hub's description; it is removed.
        DiskFull: the disk has no room for the named file.
        OutputError: the named file cannot be written.
    """
    if file.is_there:
        return
    with map_write_errors(file.target):
        file.target.parent.mkdir(parents=True, exist_ok=True)
        with file.partial.open("ab") as out:
            hub.append(file.repository, file.hub_file.path, out, out.tell(), file.hub_file.size)
        _check_content(file)
        file.partial.replace(file.target)


def _matching_files(hub: Hub, repository: str, parts: Sequence[str], folder: Path) -> Iterator[RemoteFile]:
    """Yield the files of some parts of a repository, with targets below `folder`."""
    listed = hub.files(repository)
    for part in parts:
        for pattern in PUBLISHED[part].files:
            found = [file for file in listed if fnmatchcase(file.path, pattern)]
            if not found:
                raise Refused(f"{repository} has no {pattern}; check --base-repo, --passes-repo and --revision")
            yield from (RemoteFile(repository, file, _target(folder, file.path)) for file in found)


def _target(folder: Path, path: str) -> Path:
    """Return where a file of a repository belongs below `folder`. Raise OutputError if that could be outside it."""
    parts = PurePosixPath(path).parts
    if ".." in parts or PurePosixPath(path).is_absolute() or "\\" in path or ":" in path:
        raise OutputError(f"the hub lists a file named {path!r}, which could be outside {folder}; it is not downloaded")
    return folder.joinpath(*parts)


def _check_content(file: RemoteFile) -> None:
    """Remove the partial file and raise InputError if its size or checksum differ from the hub's."""
    got = file.partial.stat().st_size
    wrong = f"{got:,} bytes" if got != file.hub_file.size else ""
    if not wrong and file.hub_file.sha256 and _sha256(file.partial) != file.hub_file.sha256:
        wrong = "another checksum"
    if wrong:
        file.partial.unlink()
        raise InputError(
            f"{file.hub_file.path} arrived with {wrong}, unlike the list of the hub; it is removed: fetch it again"
        )


def _sha256(path: Path) -> str:
    """Return the checksum of a file in hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _hub_file(entry: RepoSibling) -> HubFile:
    """Return a file as the hub's answer describes it."""
    sha256 = entry.lfs.sha256 if entry.lfs else ""
    return HubFile(entry.rfilename, entry.size or 0, sha256 or entry.blob_id or "", sha256)


def _reason(exc: Exception) -> str:
    """Return the first line of an error's message, at most 160 characters."""
    return (str(exc) or type(exc).__name__).splitlines()[0].strip()[:160]
