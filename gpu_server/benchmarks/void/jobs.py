"""Whole jobs of the VOID engine, EXR to EXR, through a server: cold, warm, and a queue of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gpu_server.benchmarks.exr_loop import check_done, fetch_frames
from gpu_server.engines.void.stages import VoidStage
from gpu_server.private_server import PrivateServer
from void_bridge.client import connect
from void_bridge.job import Job

ON_DEVICE = frozenset(
    {
        VoidStage.PROMPT.value,
        VoidStage.MASK.value,
        VoidStage.ENCODE.value,
        VoidStage.RECONSTRUCTION.value,
        VoidStage.PASS_1.value,
        VoidStage.DECODE_1.value,
        VoidStage.PASS_2.value,
        VoidStage.DECODE_2.value,
    }
)
"""Names of the stages in which the model computes. In the others the CPU works."""


@dataclass(frozen=True)
class JobTime:
    """Times of one job.

    Attributes:
        seconds: seconds that the server had it running, with the encoding of its last frames.
        stages: seconds of each stage by name.
        plan: the name of its memory plan.
    """

    seconds: float
    stages: dict[str, float]
    plan: str

    @property
    def device_s(self) -> float:
        """Seconds in which the model computed."""
        return sum(seconds for stage, seconds in self.stages.items() if stage in ON_DEVICE)


@dataclass(frozen=True)
class QueueTime:
    """Times of a queue of jobs.

    Attributes:
        wall_s: seconds from the first submission until the last frame lay in its output folder.
        jobs: the times of each job.
    """

    wall_s: float
    jobs: tuple[JobTime, ...]

    @property
    def busy_share(self) -> float:
        """The share of the wall time in which the model computed."""
        return sum(job.device_s for job in self.jobs) / self.wall_s

    @property
    def overlap_s(self) -> float:
        """Seconds, at least, in which one job was still being encoded while the next one ran."""
        return max(0.0, sum(job.seconds for job in self.jobs) - self.wall_s)


def run_queue(server: PrivateServer, jobs: Sequence[Job]) -> QueueTime:
    """Submit all jobs, then fetch the results of each, as `void-bridge submit` and `watch` do.

    Raises:
        EngineError: a job failed.
    """
    began = time.perf_counter()
    with connect(server.config) as client:
        ids = [client.submit(job, overwrite=True).id for job in jobs]
        for id in ids:
            fetch_frames(client, id)
        wall_s = time.perf_counter() - began
        results = [client.result(id) for id in ids]
    for result in results:
        check_done(result.status)
    return QueueTime(
        wall_s,
        tuple(
            JobTime(result.status.seconds, dict(result.report["seconds_by_stage"]), str(result.report["plan"]))
            for result in results
        ),
    )
