"""Whole jobs of the VOID engine, EXR to EXR, through a server: cold, warm, and a queue of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_server.engines.void.stages import VoidStage
from gpu_server.private_server import PrivateServer
from void_bridge.client import Client, connect
from void_bridge.client.frame_writer import FrameWriter
from void_bridge.errors import EngineError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.protocol.messages import JobStatus
from void_bridge.sequence import Sequence as Plate

ON_DEVICE = frozenset(
    {
        VoidStage.PROMPT,
        VoidStage.MASK,
        VoidStage.ENCODE,
        VoidStage.RECONSTRUCTION,
        VoidStage.PASS_1,
        VoidStage.DECODE_1,
        VoidStage.PASS_2,
        VoidStage.DECODE_2,
    }
)
"""Stages of the engine in which the model computes. The others are the machine's own work."""


@dataclass(frozen=True)
class JobTime:
    """seconds: that the server had it running, its last frames' encoding included. stages: seconds by name."""

    seconds: float
    stages: dict[str, float]
    plan: str

    @property
    def device_s(self) -> float:
        return sum(seconds for stage, seconds in self.stages.items() if stage in ON_DEVICE)


@dataclass(frozen=True)
class QueueTime:
    """wall_s: from the first submission until the last frame lay in its output folder."""

    wall_s: float
    jobs: tuple[JobTime, ...]

    @property
    def busy_share(self) -> float:
        """The share of the wall time in which the model computed."""
        return sum(job.device_s for job in self.jobs) / self.wall_s

    @property
    def overlap_s(self) -> float:
        """Seconds in which one job was still being encoded and the next one ran; at least that many."""
        return max(0.0, sum(job.seconds for job in self.jobs) - self.wall_s)


def removal_job(plate: Plate, frames: int, output: Path, canvas: tuple[int, int], steps: int, seed: int) -> Job:
    """Pass 1 on a shot of `bench.shots`, whose alpha is its matte."""
    return Job(
        plate=str(plate),
        frames=FrameRange(range(1, frames + 1)),
        output=str(output / "clean.####.exr"),
        colour=Colour("ACEScg", "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4", exposure=0.0),
        remove=MatteSource(str(plate), "A"),
        engine="void",
        prompt="an empty room",
        passes="1",
        canvas=f"{canvas[0]}x{canvas[1]}",
        steps=steps,
        seed=seed,
    )


def run_queue(server: PrivateServer, jobs: Sequence[Job]) -> QueueTime:
    """Submit all, then bring each home, as `void-bridge submit` and `watch` do.

    Raises:
        EngineError: one of them did not end well.
    """
    began = time.perf_counter()
    with connect(server.config) as client:
        ids = [client.submit(job, overwrite=True).id for job in jobs]
        for id in ids:
            _bring_home(client, id)
        wall_s = time.perf_counter() - began
        return QueueTime(wall_s, tuple(_job_time(client, id) for id in ids))


def _bring_home(client: Client, id: str) -> None:
    writer = FrameWriter(client, id, None, overwrite=True)
    for event in client.watch(id):
        if isinstance(event, JobStatus):
            writer.fetch_published(event.frames_done)
    writer.finish()


def _job_time(client: Client, id: str) -> JobTime:
    result = client.result(id)
    if result.status.state != "done":
        raise EngineError(f"the bench's job {id} is {result.status.state}: {result.status.error}")
    stages = result.report["seconds_by_stage"]
    assert isinstance(stages, dict)
    return JobTime(result.status.seconds, stages, str(result.report["plan"]))
