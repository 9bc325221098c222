"""Entry points, by which installed packages register commands, checks and farms."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Dict


def find_entry_points(group: str) -> Dict[str, EntryPoint]:
    """Return the entry points of a group by name, sorted by name."""
    everything: Any = entry_points()  # Python 3.9 has no select
    found = everything.select(group=group) if hasattr(everything, "select") else everything.get(group, ())
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}
