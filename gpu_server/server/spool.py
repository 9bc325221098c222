"""The files of a server: blobs by digest, result frames by attempt, unfinished uploads.

<spool>/lock, journal.sqlite, logs/
<spool>/incoming/*                         uploads until they are whole
<spool>/blobs/<2>/<digest>                 inputs, named by blake2b-256 of their bytes
<spool>/jobs/<id>/attempt-<n>/, scratch/   what workers write
<spool>/cache/                             files that engines find again by content; the workers keep it small
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import sys
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from void_bridge.atomic import sync_folder
from void_bridge.errors import Refused, map_write_errors
from void_bridge.protocol.messages import ResultFrame

log = logging.getLogger(__name__)


class Spool:
    """One folder, which one server at a time uses. It is made if need be.

    Attributes:
        root: the folder.
        journal_path: the journal in it.
        logs: folder of the server's logs.
        cache: folder that all jobs share.

    Raises:
        Refused: another server uses it, or another user has put something into it.
        OutputError: it cannot be made.
        DiskFull: there is no room for it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal_path = root / "journal.sqlite"
        self.logs, self.cache = root / "logs", root / "cache"
        self._incoming, self._blobs, self._jobs = root / "incoming", root / "blobs", root / "jobs"
        with map_write_errors(root):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(root / "lock")
            try:
                self._make()
            except BaseException:
                self.close()
                raise

    def _make(self) -> None:
        for folder in (self._incoming, self._blobs, self._jobs, self.logs, self.cache):
            folder.mkdir(exist_ok=True, mode=0o700)
            _keep_private(folder, self.root, 0o700)
        self.journal_path.touch(0o600)
        for file in (self.journal_path, self.root / "lock"):  # who can read a file can hold its lock
            _keep_private(file, self.root, 0o600)

    def close(self) -> None:
        """Release the folder for another server."""
        self._lock.close()

    def blob_path(self, digest: str) -> Path:
        """Return where a blob lies."""
        return self._blobs / digest[:2] / digest

    def frames_dir(self, job_id: str, attempt: int) -> Path:
        """Return the folder of an attempt's result frames."""
        return self._jobs / job_id / f"attempt-{attempt}"

    def scratch_dir(self, job_id: str) -> Path:
        """Return the folder for the files that an engine finds again in the next attempt at a job."""
        return self._jobs / job_id / "scratch"

    def new_upload(self) -> Path:
        """Return a new path for an upload."""
        return self._incoming / uuid.uuid4().hex

    def adopt(self, upload: Path, digest: str) -> None:
        """Make a whole, synced upload a blob, durably."""
        target = self.blob_path(digest)
        with map_write_errors(target):
            if not target.parent.exists():
                target.parent.mkdir(parents=True, mode=0o700)
                sync_folder(self._blobs)
            os.replace(upload, target)
            sync_folder(target.parent)

    def prepare_attempt(self, job_id: str, attempt: int) -> None:
        """Make the empty folders that a worker writes to."""
        with map_write_errors(self._jobs / job_id):
            shutil.rmtree(self.frames_dir(job_id, attempt), ignore_errors=True)
            self.frames_dir(job_id, attempt).mkdir(parents=True)
            self.scratch_dir(job_id).mkdir(exist_ok=True)

    def holds(self, frame: ResultFrame) -> bool:
        """Return whether a published frame is still there, whole."""
        path = Path(frame.path)
        return path.is_file() and path.stat().st_size == frame.size

    def remove_blobs(self, digests: Iterable[str]) -> None:
        """Remove blobs, as far as they are there."""
        for digest in digests:
            with suppress(OSError):
                self.blob_path(digest).unlink()

    def remove_job(self, job_id: str) -> None:
        """Remove all files of a job but its inputs."""
        shutil.rmtree(self._jobs / job_id, ignore_errors=True)

    def remove_scratch(self, job_id: str) -> None:
        """Remove the files that engines kept for a next attempt at a job."""
        shutil.rmtree(self.scratch_dir(job_id), ignore_errors=True)

    def sweep(self, blobs: Mapping[str, int], jobs: Iterable[str]) -> set[str]:
        """Remove files that the journal does not know.

        Args:
            blobs: digest -> size in bytes of the blobs that it knows.
            jobs: ids of the jobs that it knows.

        Returns:
            The digests of blobs that it knows, but that are not whole here.
        """
        for upload in self._incoming.iterdir():
            upload.unlink()
        known = set(jobs)
        for folder in self._jobs.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        present = {path.name: path for path in self._blobs.glob("*/*")}
        for name, path in present.items():
            if name not in blobs:
                path.unlink()
        return {digest for digest, size in blobs.items() if _size(present.get(digest)) != size}


def _keep_private(path: Path, root: Path, mode: int) -> None:
    """Keep plates and results from other users of this machine, also where the spool lies in a folder open to all.

    Raises:
        Refused: the file or folder belongs to another user.
    """
    if os.name == "nt":
        return
    ours = {os.getuid(), root.stat().st_uid}
    if not {path.lstat().st_uid, path.stat().st_uid} <= ours:
        raise Refused(f"{path} belongs to another user; remove it, or give another --spool")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        with suppress(OSError):  # some file systems have no modes
            path.chmod(mode)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            log.warning(
                "others can open %s, because its file system stores no permissions; give a --spool on another disk",
                path,
            )


def _size(path: Path | None) -> int:
    return path.stat().st_size if path else -1


def _lock(path: Path) -> BinaryIO:
    handle = open(path, "a+b")  # noqa: SIM115  held until the server ends
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        handle.close()
        raise Refused(f"another server uses the spool {path.parent}; stop it or give another --spool") from exc
    return handle
