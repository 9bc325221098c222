"""The engine interface, its registry, and the engines. A package registers its own as entry points in `GROUP`."""

from __future__ import annotations

from void_bridge.entry_points import find_entry_points

GROUP = "void_bridge.engines"


def engine_names() -> tuple[str, ...]:
    """Return the name of every registered engine, without importing any."""
    return tuple(find_entry_points(GROUP))
