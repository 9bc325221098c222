"""What the data socket may take and give: written by the control thread, read by the data thread."""

from __future__ import annotations

import threading

from void_bridge.errors import MissingFrames, Refused
from void_bridge.protocol.messages import ResultFrame


class BlobIndex:
    """Blobs held and wanted (digest -> size in bytes), and published frames of jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        self._frames: dict[str, dict[int, ResultFrame]] = {}
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Of all blobs held and frames published, as plan_eviction counts them."""
        return self._bytes

    def held(self) -> dict[str, int]:
        with self._lock:
            return dict(self._held)

    def lacks(self, digest: str) -> bool:
        return digest not in self._held

    def want(self, sizes: dict[str, int]) -> None:
        with self._lock:
            self._wanted.update({d: s for d, s in sizes.items() if d not in self._held})

    def unwant(self, digests: set[str]) -> None:
        with self._lock:
            for digest in digests:
                self._wanted.pop(digest, None)

    def hold(self, digest: str, size: int) -> None:
        with self._lock:
            self._wanted.pop(digest, None)
            self._bytes += size - self._held.get(digest, 0)
            self._held[digest] = size

    def drop(self, digests: set[str]) -> None:
        with self._lock:
            for digest in digests:
                self._bytes -= self._held.pop(digest, 0)

    def wanted_size(self, digest: str) -> int | None:
        """Size of a blob to be put; None if it is held already.

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
        with self._lock:
            frames = self._frames.setdefault(job_id, {})
            before = frames.get(frame.frame)
            self._bytes += frame.size - (before.size if before else 0)
            frames[frame.frame] = frame

    def withdraw(self, job_id: str) -> None:
        with self._lock:
            self._bytes -= sum(frame.size for frame in self._frames.pop(job_id, {}).values())

    def frame(self, job_id: str, frame: int) -> ResultFrame:
        """Raises MissingFrames."""
        with self._lock:
            found = self._frames.get(job_id, {}).get(frame)
        if found is None:
            raise MissingFrames(f"job {job_id[:64]!r} has not published frame {frame}; ask get_result for those it has")
        return found
