"""Which job comes next: priority, then fairness between users, then age. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class Candidate(Protocol):
    id: str
    user: str
    priority: int
    created: float


def next_job(
    queued: Iterable[Candidate], running_by_user: Mapping[str, int], last_served: Mapping[str, float]
) -> str | None:
    """The id of the job to start, or None.

    running_by_user: jobs that each user has running. last_served: when a job of each user was last
    started, in any unit that grows; among users with as many running, who waited longest is next.
    """

    def rank(job: Candidate) -> tuple[int, int, float, float, str]:
        served = last_served.get(job.user, float("-inf"))
        return (-job.priority, running_by_user.get(job.user, 0), served, job.created, job.id)

    best = min(queued, key=rank, default=None)
    return best.id if best else None
