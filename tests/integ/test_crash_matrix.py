"""Kill -9 of each process in each stage of a job. The worker is scripted, so that each stage is held until it is hit.

`make torture` does the same at random moments with the real worker.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.support.live_server import Client, make_plate, make_submit, settings
from tests.support.scripted_worker import result_bytes
from tests.torture.killable_server import JobOnDisk, KillableServer
from tests.torture.kills import Kill, run_with_a_kill
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource

FRAMES = FrameRange.parse("1001-1006")
SIZE = 3_000_000  # bytes a frame, so that sending and fetching take a while


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    return make_plate(tmp_path_factory.mktemp("plate"), str(FRAMES), SIZE)


def job_on_disk(folder: Path, plate: str, **script) -> JobOnDisk:
    colour = Colour("ACEScg", "ocio://studio", exposure=0.0)
    output = str(folder / "out" / "clean.####.exr")
    job = Job(plate, FRAMES, output, colour, remove=MatteSource(plate, "A"), prompt=json.dumps(script))
    made = {n: result_bytes(n, Path(plate.replace("####", str(n))).read_bytes()) for n in FRAMES}
    return JobOnDisk.write(folder, job, {n: hashlib.sha256(data).hexdigest() for n, data in made.items()})


def killed(tmp_path, plate, victim, stage) -> Kill:
    """One job with one kill in a stage that is held open until then."""
    gate, blocker = tmp_path / "gate", tmp_path / "blocker"
    script = {
        "receiving": {},
        "queued": {},
        "fill": {"gate": str(gate), "gate_at": 1004},
        "ending": {"end_gate": str(gate)},
        "fetching": {},
    }[stage]
    on_disk = job_on_disk(tmp_path, plate, **script)
    ours = settings(tmp_path, roots=("/",), hang_s=3.0 if victim == "hung worker" else 600.0)

    def when(now, status):
        if stage == "fill":
            return now == "fill" and status.frames_done == 3
        if stage == "ending":
            return now == "fill" and status.frames_done == len(FRAMES)
        if stage == "fetching":
            return now == "fetching" and len(on_disk.fetched_frames()) >= 1
        return now == stage

    def then():
        gate.touch()
        blocker.touch()

    transport = "inline" if stage in ("receiving", "fetching") else "auto"
    with KillableServer(ours, transport) as killable:
        if stage == "queued":
            block(ours, plate, blocker, killable)
        done = run_with_a_kill(killable, on_disk, victim, when, then)
    assert not killable.processes()
    return done


def block(ours, plate, blocker, killable):
    """Another job holds the worker."""
    with Client.of(ours) as client:
        submit = make_submit(plate, "path", str(FRAMES), gate=str(blocker))
        client.upload(submit)
        client.reaches(submit.id, "running")


CELLS = [
    (victim, stage)
    for victim in ("server", "worker", "client")
    for stage in ("receiving", "queued", "fill", "ending", "fetching")
    if (victim, stage) not in (("worker", "receiving"), ("worker", "queued"), ("worker", "fetching"))
]


@pytest.mark.parametrize(("victim", "stage"), [*CELLS, ("hung worker", "fill"), ("hung worker", "ending")])
def test_a_kill_costs_nothing_that_was_acknowledged(tmp_path, plate, victim, stage):
    done = killed(tmp_path, plate, victim, stage)
    assert done.counted, "the kill hit no running stage"
    assert done.recomputed == 0
    assert done.acknowledged == {"receiving": 0, "queued": 0, "fill": 3, "ending": 6, "fetching": 6}[stage]
    lost_its_worker = victim != "client" and stage in ("fill", "ending")
    assert done.attempts == (2 if lost_its_worker else 1)


def test_a_kill_after_the_end_does_not_count(tmp_path, plate):
    on_disk = job_on_disk(tmp_path, plate)
    with KillableServer(settings(tmp_path)) as killable:
        done = run_with_a_kill(killable, on_disk, "client", lambda stage, status: False, lambda: None)
    assert not done.counted
