"""Wall clocks that jump by days while jobs wait and run: no job ends early, overtakes another or is forgotten.

Simulated: `time.time` of this process gives another answer, for the server and the client in it. Deadlines go by
`time.monotonic`, which a jump of the wall clock leaves alone; the tests would see one that does not.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gpu_server.server.eviction import plan_eviction
from gpu_server.server.journal import Journal
from tests.support.client_jobs import config_for, make_job
from tests.support.live_server import Client, eventually, make_plate, make_submit, running, settings
from void_bridge import atomic
from void_bridge.atomic import TEMPORARY_SUFFIX, remove_abandoned
from void_bridge.client import connect
from void_bridge.protocol.framing import PART_BYTES
from void_bridge.protocol.messages import Fetched, ListJobs, Put

DAY_S = 86_400.0


class WallClock:
    """A clock in place of `time.time`, some days off."""

    def __init__(self) -> None:
        self._real, self._offset_s = time.time, 0.0

    def jump(self, days: float) -> None:
        self._offset_s += days * DAY_S

    def __call__(self) -> float:
        return self._real() + self._offset_s


@pytest.fixture
def clock(monkeypatch):
    clock = WallClock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture
def gates(tmp_path):
    return [tmp_path / f"gate-{n}" for n in range(3)]


JUMPS = pytest.mark.parametrize("days", [400.0, -400.0])


@JUMPS
def test_a_job_that_runs_while_the_clock_jumps_is_neither_hung_nor_gone(tmp_path, clock, gates, days):
    """Hang detection, the grace of a cancel, an upload's patience and a silent client's deadline are all far away."""
    chosen = settings(tmp_path, autostarted=True, idle_free_s=60.0, idle_exit_s=60.0)
    with running(chosen) as server, Client.of(server.settings) as client:
        submit = make_submit(make_plate(tmp_path / "plate"), gate=str(gates[0]), gate_at=1003)
        half_sent = make_submit(make_plate(tmp_path / "other", "1001", PART_BYTES + 9), frames="1001")
        client.submit(half_sent)
        data, digest = Path(half_sent.inputs[0].path).read_bytes(), half_sent.inputs[0].digest
        client.data.ask(Put(digest, len(data), 0), data[:PART_BYTES])
        client.upload(submit)
        eventually(lambda: client.status(submit.id).frames_done == 2)
        clock.jump(days)
        ticks_pass(server)
        assert (client.status(submit.id).state, client.status(submit.id).attempt) == ("running", 1)
        gates[0].touch()
        done = client.reaches(submit.id, "done")
        assert done.attempt == 1
        assert 0 <= done.seconds < 60
        stored = client.data.ask(Put(digest, len(data), PART_BYTES), data[PART_BYTES:])
        assert stored.stored, "an upload that goes on is not given up"
        client.reaches(half_sent.id, "done")
        clock.jump(-2 * days)
        ticks_pass(server)
        assert server._stop_reasons.empty(), "an idle server does not leave early"
        assert server._dispatcher.slots[0].process, "nor does its worker"


def ticks_pass(server, count=3):
    """Wait until both threads have checked every deadline so many times."""
    for loop in (server._control, server._data):
        seen: list[float] = []
        real = loop.tick
        loop.tick = lambda now, real=real, seen=seen: (real(now), seen.append(now))
        eventually(lambda seen=seen: len(seen) >= count)
        loop.tick = real


@JUMPS
def test_a_cancel_is_still_kept_after_a_jump(tmp_path, clock, gates, days):
    chosen = settings(tmp_path, cancel_grace_cpu_s=0.2)
    with running(chosen) as server, Client.of(server.settings) as client:
        submit = make_submit(make_plate(tmp_path / "plate"), gate=str(gates[0]), gate_at=1002, stubborn=True)
        client.upload(submit)
        eventually(lambda: client.status(submit.id).frames_done == 1)
        process = server._dispatcher.slots[0].process
        assert client.cancel(submit.id).state == "cancelled"
        clock.jump(days)
        assert process.join(20), "the worker that would not stop is ended"


def test_a_worker_that_hangs_is_still_noticed_after_the_clock_was_set_back(tmp_path, clock, gates):
    with running(settings(tmp_path, hang_s=0.5)) as server, Client.of(server.settings) as client:
        submit = make_submit(make_plate(tmp_path / "plate"), gate=str(gates[0]), stubborn=True)
        client.upload(submit)
        eventually(lambda: client.status(submit.id).attempt == 1)
        clock.jump(-400)
        eventually(lambda: client.status(submit.id).attempt >= 2)
        gates[0].touch()
        client.reaches(submit.id, "done")


@JUMPS
def test_jobs_run_and_are_listed_in_the_order_in_which_they_came(tmp_path, clock, gates, days):
    """A restart keeps the order too: the job that came first is the oldest, also with a later `created`."""
    plate = make_plate(tmp_path / "plate")
    first = make_submit(plate, gate=str(gates[0]))
    later = [make_submit(plate) for _ in range(4)]
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        client.upload(first)
        client.reaches(first.id, "running")
        for submit in later:
            clock.jump(days / 4)
            client.upload(submit)
        listed = [job.id for job in client.control.ask(ListJobs()).jobs]
        assert listed == [submit.id for submit in reversed([first, *later])]
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        assert [job.id for job in client.control.ask(ListJobs()).jobs] == listed
        gates[0].touch()
        began = begun(server, client, [first, *later])
    assert began == [submit.id for submit in [first, *later]]


def begun(server, client, submits):
    """Return ids of jobs in the order in which their attempts ended: one worker takes them one by one."""
    for submit in submits:
        client.reaches(submit.id, "done")
    ended = [(tuple(path.parent.stat().st_mtime_ns for path in frames_of(server, s)), s.id) for s in submits]
    return [job_id for _, job_id in sorted(ended)]


def frames_of(server, submit):
    folder = server.settings.spool / "jobs" / submit.id
    return sorted(folder.glob("attempt-*/1004.exr"))


def test_created_never_goes_back(tmp_path, clock):
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        plate = make_plate(tmp_path / "plate")
        created = []
        for days in (0, -10, 30, -60):
            clock.jump(days)
            submit = make_submit(plate)
            created.append(client.upload(submit).status.created)
    assert created == sorted(set(created))


def test_a_journal_of_jobs_from_the_future_is_served_as_it_is(tmp_path, clock):
    """The machine's battery was empty: the jobs of yesterday are from 2030, by today's clock."""
    clock.jump(1500)
    plate = make_plate(tmp_path / "plate")
    future = [make_submit(plate) for _ in range(2)]
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        for submit in future:
            client.upload(submit)
            client.reaches(submit.id, "done")
    clock.jump(-1500)
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        assert [client.status(submit.id).state for submit in future] == ["done", "done"]
        today = make_submit(plate)
        client.upload(today)
        client.reaches(today.id, "done")
        assert [job.id for job in client.control.ask(ListJobs()).jobs] == [s.id for s in reversed([*future, today])]


def test_the_oldest_result_goes_first_after_a_clock_change(tmp_path, clock):
    plate = make_plate(tmp_path / "plate")
    submits = [make_submit(plate) for _ in range(3)]
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        for submit in submits:
            clock.jump(-20)
            client.upload(submit)
            client.reaches(submit.id, "done")
            client.control.ask(Fetched(submit.id))
    journal = Journal(tmp_path / "spool/journal.sqlite")
    try:
        records, blobs = journal.jobs(), journal.blobs()
    finally:
        journal.close()
    assert [record.id for record in records] == [submit.id for submit in submits]
    assert records[0].created > records[2].created, "by the clock the first is the youngest"
    held = sum(frame.size for record in records for frame in record.frames.values())
    plan = plan_eviction(records, {}, held - 1)
    assert (plan.jobs, bool(blobs)) == ((submits[0].id,), True)


@JUMPS
def test_a_client_watches_and_fetches_through_a_jump(tmp_path, clock, gates, days):
    with running(settings(tmp_path)), connect(config_for(tmp_path), patience_s=5) as client:
        job = make_job(tmp_path, gate=str(gates[0]), gate_at=1003)
        id = client.submit(job).id
        seen = []
        for event in client.watch(id):
            seen.append(event.state)
            if event.frames_done == 2 and not gates[0].exists():
                clock.jump(days)
                client.fetch(id)
                gates[0].touch()
        assert seen[-1] == "done"
        assert len(client.fetch(id)) == 4


def test_a_wrong_clock_keeps_files_that_another_machine_still_writes(tmp_path, clock):
    """The age of another machine's file is taken against the disk's own time."""
    at_work = tmp_path / f".frame.exr.0000beef-1-00000000{TEMPORARY_SUFFIX}"
    at_work.write_bytes(b"half")
    clock.jump(30)
    remove_abandoned(tmp_path)
    assert at_work.exists()
    os.utime(at_work, (atomic.time.time() - 40 * DAY_S,) * 2)
    remove_abandoned(tmp_path)
    assert [path.name for path in Path(tmp_path).iterdir()] == []
