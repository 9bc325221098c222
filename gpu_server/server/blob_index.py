"""The blobs and frames that the data socket takes and gives: written by the control thread, read by the data thread."""

from __future__ import annotations

import threading

from void_bridge.errors import MissingFrames, Refused
from void_bridge.protocol.messages import ResultFrame


class BlobIndex:
    """The blobs held and wanted (digest -> size in bytes), and the published frames of jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        self._frames: dict[str, dict[int, ResultFrame]] = {}
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """The size of all blobs held and frames published, as `plan_eviction` counts it."""
        return self._bytes

    def held(self) -> dict[str, int]:
        """Return digest -> size of the blobs held."""
        with self._lock:
            return dict(self._held)

    def lacks(self, digest: str) -> bool:
        """Return whether a blob is not held."""
        return digest not in self._held

    def want(self, sizes: dict[str, int]) -> None:
        """Accept these blobs (digest -> size) from now on."""
        with self._lock:
            self._wanted.update({digest: size for digest, size in sizes.items() if digest not in self._held})

    def unwant(self, digests: set[str]) -> None:
        """Accept these blobs no longer."""
        with self._lock:
            for digest in digests:
                self._wanted.pop(digest, None)

    def add(self, digest: str, size: int) -> None:
        """Add a blob."""
        with self._lock:
            self._wanted.pop(digest, None)
            self._bytes += size - self._held.get(digest, 0)
            self._held[digest] = size

    def remove(self, digests: set[str]) -> None:
        """Remove blobs."""
        with self._lock:
            for digest in digests:
                self._bytes -= self._held.pop(digest, 0)

    def wanted_size(self, digest: str) -> int | None:
        """Return the size of a blob to be put; None if it is held already.

        Raises:
            Refused: no submitted job lacks it.
        """
        with self._lock:
            if digest in self._held:
                return None
            if digest not in self._wanted:
                raise Refused(f"no submitted job lacks blob {digest[:16]!r}; submit the job first")
            return self._wanted[digest]

    def publish(self, job_id: str, frame: ResultFrame) -> None:
        """Give this frame to clients from now on."""
        with self._lock:
            frames = self._frames.setdefault(job_id, {})
            before = frames.get(frame.frame)
            self._bytes += frame.size - (before.size if before else 0)
            frames[frame.frame] = frame

    def withdraw(self, job_id: str) -> None:
        """Give the frames of a job no longer."""
        with self._lock:
            self._bytes -= sum(frame.size for frame in self._frames.pop(job_id, {}).values())

    def frame(self, job_id: str, frame: int) -> ResultFrame:
        """Return a published frame.

        Raises:
            MissingFrames: the job has not published it.
        """
        with self._lock:
            found = self._frames.get(job_id, {}).get(frame)
        if found is None:
            raise MissingFrames(f"job {job_id[:64]!r} has not published frame {frame}; ask get_result for those it has")
        return found
