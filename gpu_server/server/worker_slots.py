"""What the dispatcher knows of each worker. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gpu_server.server.worker_process import WorkerProcess
from void_bridge.protocol.messages import WorkerState

_JOBS_PER_WORKER = 2


@dataclass
class Assignment:
    """A job that a worker holds. Times are monotonic; kill_at is set once it was told to cancel."""

    attempt: int
    last_word: float
    kill_at: float | None = None


@dataclass
class WorkerSlot:
    """A place for one worker process. end_by: it was told to end, and is killed then. blamed: jobs it was killed for.

    engine: of the latest job of this process. last_word: when it last said anything, monotonic. losses: processes that
    ended here unasked or had to be killed.
    """

    index: int
    process: WorkerProcess | None = None
    ready: bool = False
    device: str = "cpu"
    started: float = 0.0
    on_device: str | None = None
    assignments: dict[str, Assignment] = field(default_factory=dict)
    end_by: float | None = None
    blamed: set[str] = field(default_factory=set)
    engine: str = ""
    last_word: float = 0.0
    losses: int = 0

    @property
    def state(self) -> WorkerState:
        if self.process is None:
            return "stopped"
        if self.end_by is not None or self.blamed:
            return "ending"
        if not self.ready:
            return "starting"
        return "running" if self.assignments else "idle"

    @property
    def takes_jobs(self) -> bool:
        free = self.on_device is None and len(self.assignments) < _JOBS_PER_WORKER
        return self.ready and free and self.end_by is None

    @property
    def is_idle(self) -> bool:
        return self.process is not None and not self.assignments and self.end_by is None


@dataclass
class Freeing:
    """Somebody waits for these processes to go."""

    processes: set[WorkerProcess]
    then: Callable[[], object]
