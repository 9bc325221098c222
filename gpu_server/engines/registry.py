"""Engines by name. Packages register theirs as entry points in the group `void_bridge.engines`."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points

from gpu_server.engines.base import Engine
from void_bridge.errors import EngineError, UsageError
from void_bridge.typed import nearest

GROUP = "void_bridge.engines"
AUTO_ORDER = ("void", "propagate")


def engine_names() -> tuple[str, ...]:
    """Every registered engine, without importing any."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def make_engine(name: str) -> Engine:
    """A new engine; `auto` takes the first of AUTO_ORDER that is ready on this machine.

    Raises:
        UsageError: no engine of that name.
        EngineError: it is there, but what it needs is not.
    """
    if name == "auto":
        return next(engine for engine in map(_load, _known(AUTO_ORDER)) if not _missing(engine))
    engine = _load(name)
    if missing := _missing(engine):
        raise EngineError(f"engine {name} needs {missing}; install it, or use --engine propagate")
    return engine


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in engine_names())


def _load(name: str) -> Engine:
    for point in entry_points(group=GROUP, name=name):
        engine: Engine = point.load()()
        return engine
    raise UsageError(f"no engine {name!r}{nearest(name, engine_names())} known: {', '.join(engine_names())}")


def _missing(engine: Engine) -> str:
    return ", ".join(module for module in engine.needs.modules if importlib.util.find_spec(module) is None)
