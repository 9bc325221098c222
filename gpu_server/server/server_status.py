"""The status of a server, from memory: nothing here waits for a disk. On the control thread."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import psutil

from gpu_server.server.dispatch import Dispatcher
from gpu_server.server.job_store import JobStore
from gpu_server.server.mailbox import Background
from gpu_server.server.settings import ServerSettings
from gpu_server.server.worker_slots import WorkerSlot
from void_bridge.protocol.messages import JobState, ServerStatus, SpoolStatus, WorkerStatus

log = logging.getLogger(__name__)

_CHECK_S = 5.0
_STALE_S = 30.0


class FreeSpace:
    """The free bytes of a disk, looked up now and then in the background: a disk may stall."""

    def __init__(self, folder: Path, background: Background) -> None:
        self._folder, self._background = folder, background
        self._bytes, self._seen = 0, float("-inf")
        self._is_checking, self._next_check = False, 0.0

    def tick(self, now: float) -> None:
        """Begin to look at the disk, if that is due at monotonic time `now`."""
        if now >= self._next_check and not self._is_checking:
            self._is_checking, self._next_check = True, now + _CHECK_S
            self._background.do(self._check, self._checked)

    def bytes(self, now: float) -> int | None:
        """Return the free bytes; None if the disk has not answered lately."""
        return self._bytes if now - self._seen <= _STALE_S else None

    def _check(self) -> None:
        try:
            self._bytes = shutil.disk_usage(self._folder).free
        except OSError as exc:
            log.debug("cannot read the free disk space: %s", exc)
        else:
            self._seen = time.monotonic()

    def _checked(self, _: object) -> None:
        self._is_checking = False


class StatusCollector:
    """The status of a server.

    Args:
        count_clients: returns how many clients were heard lately.
    """

    def __init__(
        self,
        settings: ServerSettings,
        store: JobStore,
        dispatcher: Dispatcher,
        background: Background,
        count_clients: Callable[[], int],
    ) -> None:
        self._settings, self._store, self._dispatcher = settings, store, dispatcher
        self._count_clients = count_clients
        self._free_space = FreeSpace(settings.spool, background)
        self._started, self._started_monotonic = time.time(), time.monotonic()
        self._process = psutil.Process()

    def tick(self, now: float) -> None:
        """Run the tasks due at monotonic time `now`."""
        self._free_space.tick(now)

    def collect(self) -> ServerStatus:
        """Return the status as it is now."""
        now = time.monotonic()
        counts = Counter(record.state for record in self._store.table)
        queued = self._store.table.in_state("queued")
        return ServerStatus(
            started=self._started,
            seconds=now - self._started_monotonic,
            pid=os.getpid(),
            resident_bytes=int(self._process.memory_info().rss),
            spool=SpoolStatus(
                used_bytes=self._store.blob_index.bytes,
                limit_bytes=self._settings.spool_limit_bytes,
                free_bytes=self._free_space.bytes(now),
            ),
            jobs={state: counts[state] for state in get_args(JobState)},
            workers=tuple(_worker_status(slot, now) for slot in self._dispatcher.slots),
            # A clock that was set back makes no job younger than now.
            oldest_queued_s=max(0.0, time.time() - min(record.created for record in queued)) if queued else None,
            clients=self._count_clients(),
        )


def _worker_status(slot: WorkerSlot, now: float) -> WorkerStatus:
    pid = slot.process.pid if slot.process else 0
    return WorkerStatus(
        index=slot.index,
        state=slot.state,
        pid=pid,
        device=slot.device if slot.ready else "",
        engine=slot.engine,
        jobs=tuple(sorted(slot.assignments, key=lambda job_id: job_id != slot.on_device)),
        silent_s=now - slot.last_message if slot.process else None,
        resident_bytes=_resident_bytes(pid),
        losses=slot.losses,
    )


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid else 0
    except psutil.Error:  # it has ended, or is about to
        return 0
