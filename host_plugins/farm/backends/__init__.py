"""Farms by name. Packages register theirs as entry points in the group `void_bridge.farms`, as engines do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, ClassVar, Literal, Protocol, Tuple

from host_plugins.farm.bundle import Bundle
from host_plugins.farm.options import FarmOptions
from void_bridge.entry_points import find_entry_points
from void_bridge.errors import UsageError
from void_bridge.typed import nearest

GROUP = "void_bridge.farms"

Say = Callable[[str], None]
State = Literal["queued", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class FarmReceipt:
    """id: by which the farm knows the job, as other jobs of that farm depend on it. words: what to tell.

    state: queued, or how the job ended where the farm is this machine. files: what was written for a person to submit.
    """

    id: str
    words: str
    state: State = "queued"
    files: Tuple[str, ...] = ()


class Farm(Protocol):
    """One render manager. `loads_once`: whether the model stays loaded between the tasks of a session."""

    name: ClassVar[str]
    summary: ClassVar[str]
    loads_once: ClassVar[bool]

    def submit(self, bundle: Bundle, options: FarmOptions, say: Say) -> FarmReceipt:
        """Hand a bundle over.

        Raises:
            UsageError: an option that this farm cannot honour, or a client of it that is not installed.
            ServerError: the farm refuses or does not answer.
        """
        ...

    def lacks(self) -> str:
        """What this machine needs before it can submit there and has not; empty: nothing. Asks no farm."""
        ...

    def status(self, id: str) -> str:
        """What the farm says about a job, in one line; empty where it cannot be asked. Raises ServerError."""
        ...


def farm_names() -> Tuple[str, ...]:
    """Every registered farm, without importing any."""
    return tuple(find_entry_points(GROUP))


def farm_of(name: str) -> Farm:
    """Raises UsageError: no farm of that name."""
    found = find_entry_points(GROUP)
    if name not in found:
        raise UsageError(f"no farm {name!r}{nearest(name, found)}; known: {', '.join(found)}")
    made: Any = found[name].load()
    farm: Farm = made()
    return farm
