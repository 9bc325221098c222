"""Events for the clients that watch jobs: the latest state, a few times a second. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from void_bridge.protocol.framing import PART_BYTES

EVENT_S = 0.2


@dataclass(frozen=True)
class WatchEvent:
    """An event that is due for a client.

    Attributes:
        preview: number of the frame and PNG of a new preview, or None.
        has_status: whether the job's status is due.
    """

    job_id: str
    client: bytes
    preview: tuple[int, bytes] | None
    has_status: bool


@dataclass
class _Watcher:
    previews: bool
    next_at: float  # earliest monotonic time of the next event
    status_due: bool = False
    preview_due: bool = False


class Watchers:
    """The events that wait until they are due; a newer one takes the place of an older."""

    def __init__(self) -> None:
        self._watchers: dict[str, dict[bytes, _Watcher]] = {}
        self._previews: dict[str, tuple[int, bytes]] = {}

    def add(self, job_id: str, client: bytes, previews: bool, now: float) -> None:
        """Add a client that watches a job, or replace what it asked before."""
        self._watchers.setdefault(job_id, {})[client] = _Watcher(previews, now + EVENT_S, preview_due=previews)

    def changed(self, job_id: str) -> None:
        """Note that a job has a new status."""
        for watcher in self._watchers.get(job_id, {}).values():
            watcher.status_due = True

    def previewed(self, job_id: str, frame: int, png: bytes) -> None:
        """Keep the latest preview of a job, unless it is too large for a message."""
        if len(png) > PART_BYTES:
            return
        self._previews[job_id] = (frame, png)
        for watcher in self._watchers.get(job_id, {}).values():
            watcher.preview_due = watcher.previews

    def forget_preview(self, job_id: str) -> None:
        """Forget the preview of a job that has ended."""
        self._previews.pop(job_id, None)

    def due(self, now: float, is_present: Callable[[bytes], bool]) -> list[WatchEvent]:
        """Return the events to be sent now, and drop the clients that have gone."""
        events: list[WatchEvent] = []
        for job_id, clients in list(self._watchers.items()):
            for client, watcher in list(clients.items()):
                if not is_present(client):
                    self.drop(job_id, client)
                elif now >= watcher.next_at and (watcher.status_due or watcher.preview_due):
                    preview = self._previews.get(job_id) if watcher.preview_due else None
                    events.append(WatchEvent(job_id, client, preview, watcher.status_due))
                    watcher.status_due = watcher.preview_due = False
                    watcher.next_at = now + EVENT_S
        return events

    def drop(self, job_id: str, client: bytes) -> None:
        """Drop a client from the watchers of a job."""
        clients = self._watchers.get(job_id, {})
        clients.pop(client, None)
        if not clients:
            self._watchers.pop(job_id, None)
