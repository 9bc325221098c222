"""How a server is, from memory: nothing here waits for a disk. On the control thread."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import psutil

from gpu_server.server.background import Background
from gpu_server.server.counters import Counted
from gpu_server.server.dispatch import Dispatcher
from gpu_server.server.job_store import JobStore
from gpu_server.server.settings import ServerSettings
from gpu_server.server.sockets import RouterLoop
from gpu_server.server.worker_slots import WorkerSlot
from void_bridge.protocol.messages import FINAL_STATES, JobState, ServerStatus, SpoolStatus, WorkerStatus

log = logging.getLogger(__name__)

_LOOK_S = 5.0
_STALE_S = 30.0


@dataclass(frozen=True)
class SocketCounts:
    """Of one socket: errors sent, by code; connections that the server ended; seconds that messages took."""

    refusals: dict[str, int]
    shut: int
    seconds: Counted


@dataclass(frozen=True)
class Snapshot:
    """What metrics are made of, at one moment.

    ended: jobs by final state; job_seconds: of those done, by engine; frames: published. sockets: by name.
    turned_away: handshakes with a key that is not let in.
    """

    status: ServerStatus
    ended: dict[str, int]
    job_seconds: dict[str, Counted]
    frames: int
    sockets: dict[str, SocketCounts]
    turned_away: int


class FreeSpace:
    """Bytes that are free on a disk, looked at now and then in the background: a disk may stall."""

    def __init__(self, folder: Path, background: Background) -> None:
        self._folder, self._background = folder, background
        self._bytes, self._seen = 0, float("-inf")
        self._is_looking, self._next_look = False, 0.0

    def tick(self, now: float) -> None:
        if now >= self._next_look and not self._is_looking:
            self._is_looking, self._next_look = True, now + _LOOK_S
            self._background.do(self._look, self._looked)

    def bytes(self, now: float) -> int | None:
        return self._bytes if now - self._seen <= _STALE_S else None

    def _look(self) -> None:
        try:
            self._bytes = shutil.disk_usage(self._folder).free
        except OSError as exc:
            log.debug("cannot see how much is free: %s", exc)
        else:
            self._seen = time.monotonic()

    def _looked(self, _: object) -> None:
        self._is_looking = False


class StatusCollector:
    """`clients()` tells how many were heard of lately."""

    def __init__(
        self,
        settings: ServerSettings,
        store: JobStore,
        dispatcher: Dispatcher,
        background: Background,
        clients: Callable[[], int],
    ) -> None:
        self._settings, self._store, self._dispatcher, self._clients = settings, store, dispatcher, clients
        self._free_space = FreeSpace(settings.spool, background)
        self._started, self._started_monotonic = time.time(), time.monotonic()
        self._process = psutil.Process()

    def tick(self, now: float) -> None:
        self._free_space.tick(now)

    def snapshot(self, loops: Mapping[str, RouterLoop], turned_away: int) -> Snapshot:
        counters = self._store.counters
        return Snapshot(
            status=self.status(),
            ended={state: counters.ended[state] for state in FINAL_STATES},
            job_seconds={engine: seconds.counted() for engine, seconds in counters.seconds.items()},
            frames=counters.frames,
            sockets={
                name: SocketCounts(dict(loop.refusals), loop.shut, loop.answer_seconds.counted())
                for name, loop in loops.items()
            },
            turned_away=turned_away,
        )

    def status(self) -> ServerStatus:
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
            workers=tuple(_of_worker(slot, now) for slot in self._dispatcher.workers),
            # A clock that was set back makes no job younger than now.
            oldest_queued_s=max(0.0, time.time() - min(record.created for record in queued)) if queued else None,
            clients=self._clients(),
        )


def _of_worker(slot: WorkerSlot, now: float) -> WorkerStatus:
    pid = slot.process.pid if slot.process else 0
    return WorkerStatus(
        index=slot.index,
        state=slot.state,
        pid=pid,
        device=slot.device if slot.ready else "",
        engine=slot.engine,
        jobs=tuple(sorted(slot.assignments, key=lambda job_id: job_id != slot.on_device)),
        silent_s=now - slot.last_word if slot.process else None,
        resident_bytes=_resident_bytes(pid),
        losses=slot.losses,
    )


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid else 0
    except psutil.Error:  # it has ended, or is about to
        return 0
