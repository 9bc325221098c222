"""Engines by name, loaded from their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpu_server.engines import GROUP, engine_names
from gpu_server.engines.base import Engine
from void_bridge.entry_points import find_entry_points
from void_bridge.errors import EngineError, UsageError
from void_bridge.job import Job
from void_bridge.typed import nearest

AUTO_ORDER = ("void", "propagate")


class Engines:
    """The engines of a process: one object of each, so that loaded models stay from job to job.

    Args:
        loaded: engines by name that are there from the start; others are loaded when they are asked for.
    """

    def __init__(self, loaded: Mapping[str, Engine] | None = None) -> None:
        self._loaded = dict(loaded or {})

    def for_job(self, job: Job, models: Path = Path()) -> Engine:
        """Return the job's engine; for `auto` the first of AUTO_ORDER that is ready on this machine.

        Args:
            job: the job.
            models: folder of the weights.

        Raises:
            UsageError: there is no engine of that name.
            EngineError: the engine needs something that is not there.
        """
        if job.engine == "auto":
            known = [self.named(name) for name in AUTO_ORDER if name in engine_names()]
            return next(engine for engine in known if not engine.missing(models))
        engine = self.named(job.engine)
        if missing := engine.missing(models, job):
            raise EngineError(
                f"engine {job.engine} needs {missing}; or choose --engine propagate, which needs no weights"
            )
        return engine

    def named(self, name: str) -> Engine:
        """Return an engine, which is loaded the first time.

        Raises:
            UsageError: there is no engine of that name.
        """
        if name not in self._loaded:
            self._loaded[name] = _load(name)
        return self._loaded[name]


def _load(name: str) -> Engine:
    """Import a registered engine and make an object of it."""
    found = find_entry_points(GROUP)
    if name in found:
        engine: Engine = found[name].load()()
        return engine
    raise UsageError(f"no engine {name!r}{nearest(name, found)} known: {', '.join(found)}")
