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
    """A farm's answer to a submission.

    Attributes:
        id: the id by which the farm knows the job, and other jobs of that farm depend on it.
        words: one line for a person.
        state: queued, or how the job ended where the farm is this machine.
        files: files that were written for a person to submit.
    """

    id: str
    words: str
    state: State = "queued"
    files: Tuple[str, ...] = ()


class Farm(Protocol):
    """The interface of one render manager.

    Attributes:
        name: the name behind `--to`.
        summary: one line for lists.
        loads_once: whether the model stays loaded between the tasks of a session.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    loads_once: ClassVar[bool]

    def submit(self, bundle: Bundle, options: FarmOptions, say: Say) -> FarmReceipt:
        """Send a bundle to the farm.

        Raises:
            UsageError: an option that this farm cannot honour, or a client of it that is not installed.
            ServerError: the farm refuses or does not answer.
        """
        ...

    def missing_requirements(self) -> str:
        """Return what this machine needs before it can submit there; empty if nothing. Contacts no farm."""
        ...

    def status(self, id: str) -> str:
        """Return the farm's status of a job in one line; empty where the farm cannot be asked.

        Raises:
            ServerError: the farm refuses or does not answer.
        """
        ...


def farm_names() -> Tuple[str, ...]:
    """Return the name of every registered farm, without importing any."""
    return tuple(find_entry_points(GROUP))


def farm_of(name: str) -> Farm:
    """Return the back end of a name.

    Raises:
        UsageError: no farm has that name.
    """
    found = find_entry_points(GROUP)
    if name not in found:
        raise UsageError(f"no farm {name!r}{nearest(name, found)}; known: {', '.join(found)}")
    back_end: Any = found[name].load()
    farm: Farm = back_end()
    return farm
