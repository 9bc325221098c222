"""The choice of files and jobs to remove when the spool is over its limit or too many jobs have ended. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gpu_server.server.jobs import JobRecord

ENDED_MAX = 2000  # jobs that failed, were cancelled or fetched: they hold memory and journal, however small they are


@dataclass(frozen=True)
class Eviction:
    """The blobs and jobs to remove.

    Attributes:
        blobs: digests.
        jobs: ids.
        left_bytes: size of the blobs and frames that the spool holds afterwards.
    """

    blobs: frozenset[str]
    jobs: tuple[str, ...]
    left_bytes: int


def plan_eviction(
    jobs: Iterable[JobRecord],
    blobs: Mapping[str, int],
    limit_bytes: int,
    busy: frozenset[str] = frozenset(),
    ended_max: int = ENDED_MAX,
) -> Eviction:
    """Choose what to remove to come under the limits: inputs that no job needs any more, then ended jobs, oldest first.

    An unfetched result stays, and everything of a job that has not ended; so the limit may not be met.

    Args:
        jobs: all jobs, the oldest first.
        blobs: digest -> size in bytes of all blobs.
        limit_bytes: for blobs and frames together.
        busy: ids of the jobs that a worker still holds.
        ended_max: how many of the jobs that failed, were cancelled or fetched may be kept.
    """
    records = list(jobs)
    needed = {digest for record in records if not record.is_final for digest in record.blob_sizes}
    left = sum(blobs.values()) + sum(_result_bytes(record) for record in records)
    chosen_blobs, chosen_jobs = set(), []
    for digest, size in blobs.items():
        if left > limit_bytes and digest not in needed:
            chosen_blobs.add(digest)
            left -= size
    ended = [record for record in records if _is_removable(record) and record.id not in busy]
    surplus = len(ended) - ended_max
    for rank, record in enumerate(ended):
        if left > limit_bytes or rank < surplus:
            chosen_jobs.append(record.id)
            left -= _result_bytes(record)
    return Eviction(frozenset(chosen_blobs), tuple(chosen_jobs), left)


def _is_removable(record: JobRecord) -> bool:
    """Return whether the result of a job is not needed any more."""
    return record.state in ("failed", "cancelled") or (record.state == "done" and record.fetched)


def _result_bytes(record: JobRecord) -> int:
    return sum(frame.size for frame in record.frames.values())
