"""Engines by name. Packages register theirs as entry points in the group `void_bridge.engines`."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from gpu_server.engines.base import Engine
from void_bridge.errors import EngineError, UsageError
from void_bridge.job import Job
from void_bridge.typed import nearest

GROUP = "void_bridge.engines"
AUTO_ORDER = ("void", "propagate")


def engine_names() -> tuple[str, ...]:
    """Every registered engine, without importing any."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


class Engines:
    """The engines of one process, each made once, so that what it loaded stays warm from job to job."""

    def __init__(self) -> None:
        self._made: dict[str, Engine] = {}

    def for_job(self, job: Job, models: Path = Path()) -> Engine:
        """The job's engine; `auto` takes the first of AUTO_ORDER that is ready on this machine.

        models: where weights lie.

        Raises:
            UsageError: no engine of that name.
            EngineError: it is there, but what it needs is not.
        """
        if job.engine == "auto":
            known = [self.named(name) for name in AUTO_ORDER if name in engine_names()]
            return next(engine for engine in known if not engine.missing(models))
        engine = self.named(job.engine)
        if missing := engine.missing(models, job):
            raise EngineError(f"engine {job.engine} needs {missing}; or use --engine propagate, which needs no weights")
        return engine

    def named(self, name: str) -> Engine:
        """Raises UsageError: no engine of that name."""
        if name not in self._made:
            self._made[name] = _load(name)
        return self._made[name]


def _load(name: str) -> Engine:
    for point in entry_points(group=GROUP, name=name):
        engine: Engine = point.load()()
        return engine
    raise UsageError(f"no engine {name!r}{nearest(name, engine_names())} known: {', '.join(engine_names())}")
