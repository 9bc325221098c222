"""Jobs for scripted workers, and a client's configuration for the servers of live_server.py."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.live_server import make_plate
from tests.support.scripted_worker import result_bytes
from void_bridge.client import Client
from void_bridge.config import Config
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.protocol.messages import JobStatus

FRAMES = FrameRange.parse("1001-1004")


def config_for(tmp_path, **changes) -> Config:
    """Return a client's configuration for a server in a folder."""
    return Config(runtime_dir=tmp_path / "run", spool=tmp_path / "spool", autostart=False, **changes)


def make_job(tmp_path, output="out/clean.####.exr", size=3000, **script) -> Job:
    """Return a job whose prompt is the script of a scripted worker."""
    plate = make_plate(tmp_path / "plate", size=size)
    return Job(
        plate=plate,
        frames=FRAMES,
        output=str(tmp_path / output),
        colour=Colour("ACEScg", "ocio://studio", exposure=0.0),
        remove=MatteSource(plate, "A"),
        prompt=json.dumps(script) if script else "",
    )


def finish(client: Client, id: str) -> JobStatus:
    """Watch a job until it ends and return its last status."""
    *_, last = client.watch(id)
    return last


def expected(job: Job, frame: int) -> bytes:
    """Return the bytes that a scripted worker writes for a frame."""
    return result_bytes(frame, Path(job.plate.replace("####", str(frame))).read_bytes())
