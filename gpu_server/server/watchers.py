"""Who is told what and how often: the latest state of a job, a few times a second. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

EVENT_S = 0.2


@dataclass
class Watcher:
    """next_at: earliest monotonic time of the next event."""

    previews: bool
    next_at: float
    status_due: bool = False
    preview_due: bool = False


class Watchers:
    """Events wait here until they are due; a newer one takes the place of an older."""

    def __init__(self) -> None:
        self._watchers: dict[str, dict[bytes, Watcher]] = {}

    def add(self, job_id: str, client: bytes, previews: bool, now: float) -> None:
        """A client that asks again replaces what it asked before."""
        self._watchers.setdefault(job_id, {})[client] = Watcher(previews, now + EVENT_S, preview_due=previews)

    def changed(self, job_id: str) -> None:
        for watcher in self._watchers.get(job_id, {}).values():
            watcher.status_due = True

    def previewed(self, job_id: str) -> None:
        for watcher in self._watchers.get(job_id, {}).values():
            watcher.preview_due = watcher.previews

    def due(self, now: float, is_present: Callable[[bytes], bool]) -> list[tuple[str, bytes, bool, bool]]:
        """(job id, client, status due, preview due) of everyone to be told now; drops clients that have gone."""
        told: list[tuple[str, bytes, bool, bool]] = []
        for job_id, clients in list(self._watchers.items()):
            for client, watcher in list(clients.items()):
                if not is_present(client):
                    self.drop(job_id, client)
                elif now >= watcher.next_at and (watcher.status_due or watcher.preview_due):
                    told.append((job_id, client, watcher.status_due, watcher.preview_due))
                    watcher.status_due = watcher.preview_due = False
                    watcher.next_at = now + EVENT_S
        return told

    def drop(self, job_id: str, client: bytes) -> None:
        clients = self._watchers.get(job_id, {})
        clients.pop(client, None)
        if not clients:
            self._watchers.pop(job_id, None)
