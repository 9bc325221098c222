"""The choice of the next job: priority, then fairness between users, then age. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class Candidate(Protocol):
    """A queued job."""

    id: str
    user: str
    priority: int
    created: float


def next_job(
    queued: Iterable[Candidate], running_by_user: Mapping[str, int], last_served: Mapping[str, float]
) -> str | None:
    """Return the id of the job to start, or None if no job is queued.

    Args:
        queued: the jobs to choose from.
        running_by_user: number of jobs that each user has running.
        last_served: when a job of each user was last started, in any unit that grows. Among users with as many jobs
            running, the one who has waited longest is next.
    """

    def rank(job: Candidate) -> tuple[int, int, float, float, str]:
        served = last_served.get(job.user, float("-inf"))
        return (-job.priority, running_by_user.get(job.user, 0), served, job.created, job.id)

    best = min(queued, key=rank, default=None)
    return best.id if best else None
