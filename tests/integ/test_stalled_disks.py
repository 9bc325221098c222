"""Disks that stall: control answers, a cancel counts at once, and everything goes on once the disk does.

What is simulated: a write to the spool or the output, and a look at an input, that do not return until they are let go
(tests/support/full_disk.py and a patched `check_unchanged`, in this process); a worker stopped by SIGSTOP; a pipe
without a writer in the place of a file, whose opening does not return. What is not: a hard-mounted share, whose
callers cannot even be killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from gpu_server.server import dispatch, inputs, service
from tests.support.client_jobs import FRAMES, config_for, expected, make_job
from tests.support.full_disk import StalledDisk, simulated
from tests.support.live_server import Client, eventually, make_plate, make_submit, running, settings
from tests.support.shots import disc, write_matte, write_plate
from tests.support.shots import make_job as make_shot_job
from void_bridge.client import connect
from void_bridge.errors import Cancelled, InputError
from void_bridge.protocol.messages import ListJobs, Ping, Pong

POOL_THREADS = 16


def answers(client: Client, job_id: str) -> None:
    assert client.control.ask(Ping()) == Pong()
    assert client.status(job_id).id == job_id


@pytest.fixture
def gate(tmp_path):
    return tmp_path / "gate"


def test_a_spool_that_stalls_holds_up_no_answer_and_no_cancel(tmp_path, monkeypatch, gate):
    disk = StalledDisk((tmp_path / "spool",))
    with simulated(disk, monkeypatch), running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        plate = make_plate(tmp_path / "plate")
        runs = client.upload(make_submit(plate, gate=str(gate))).status.id
        client.reaches(runs, "running")
        other = make_submit(make_plate(tmp_path / "other", size=5000))
        with disk.stalled():
            waits = client.control.send(other)
            eventually(lambda: disk.waiting)
            for _ in range(20):
                answers(client, runs)
            assert client.cancel(runs).state == "cancelled"
            assert client.status(runs).state == "cancelled"
        assert client.control.answer(waits).message.status.state == "receiving"
        client.upload(other)
        client.reaches(other.id, "done")
        assert client.status(runs).state == "cancelled"
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        assert client.status(runs).state == "cancelled"


def test_a_blob_whose_write_stalls_holds_up_no_answer_and_no_cancel(tmp_path, monkeypatch):
    disk = StalledDisk((tmp_path / "spool/incoming",))
    with simulated(disk, monkeypatch), running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        submit = make_submit(make_plate(tmp_path / "plate"))
        client.submit(submit)
        with disk.stalled(), ThreadPoolExecutor(1) as sender:
            data = Path(submit.inputs[0].path).read_bytes()
            sent = sender.submit(client.put, data)
            eventually(lambda: disk.waiting)
            for _ in range(20):
                answers(client, submit.id)
            assert client.cancel(submit.id).state == "cancelled"
            disk._moves.set()
            assert sent.result().stored
        assert client.status(submit.id).state == "cancelled"


def test_inputs_that_stall_hold_up_no_answer_and_no_cancel(tmp_path, monkeypatch, gate):
    """The share does not answer, and more submissions wait for it than the pool has threads."""
    moves, waiting = threading.Event(), []
    real = inputs.check_unchanged

    def looks(items, files):
        if any("stalled" in item.path for item in items):
            waiting.append(items)
            moves.wait()
        real(items, files)

    for module in (inputs, dispatch):
        monkeypatch.setattr(module, "check_unchanged", looks)
    assert service.resolve_inputs is inputs.resolve_inputs
    stalled = [make_submit(make_plate(tmp_path / f"stalled-{n}"), "path") for n in range(POOL_THREADS + 2)]
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        runs = make_submit(make_plate(tmp_path / "plate"), "path", gate=str(gate), gate_at=1002)
        client.submit(runs)
        client.reaches(runs.id, "running")
        numbers = [client.control.send(submit) for submit in stalled]
        try:
            eventually(lambda: len(waiting) == POOL_THREADS)
            for _ in range(20):
                answers(client, runs.id)
            assert client.cancel(runs.id).state == "cancelled"
            number, given_up = numbers.pop(), stalled.pop()
            assert client.cancel(given_up.id).state == "cancelled", "a submission whose files are not seen yet"
            with pytest.raises(Cancelled):
                client.control.answer(number)
            after = make_submit(make_plate(tmp_path / "inline"))
            client.upload(after)
        finally:
            moves.set()
        client.reaches(after.id, "done")
        assert given_up.id not in {job.id for job in client.control.ask(ListJobs()).jobs}
        for number, submit in zip(numbers, stalled, strict=True):
            assert client.control.answer(number).message.status.id == submit.id
            client.reaches(submit.id, "done")


def test_a_pipe_in_the_place_of_an_input_is_refused_and_not_opened(tmp_path):
    submit = make_submit(make_plate(tmp_path / "plate"), "path")
    Path(submit.inputs[1].path).unlink()
    os.mkfifo(submit.inputs[1].path)
    with (
        running(settings(tmp_path)) as server,
        Client.of(server.settings) as client,
        pytest.raises(InputError, match="is not a file"),
    ):
        client.submit(submit)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to see that the worker waits in open()")
def test_a_worker_that_waits_for_a_disk_is_ended_after_a_cancel_and_replaced(tmp_path):
    """The plate becomes a pipe without a writer, after the server has checked it and before the worker opens it."""
    chosen = settings(
        tmp_path,
        worker_command=(sys.executable, "-m", "gpu_server.worker"),
        engines=("passthrough",),
        cancel_grace_cpu_s=0.3,
    )
    plate = write_plate(tmp_path / "plate", range(1001, 1005), (32, 40))
    roto = write_matte(tmp_path / "plate", range(1001, 1005), disc((32, 40), (16, 20), 6))
    job = make_shot_job(plate, range(1001, 1005), roto).replace(output=str(tmp_path / "out/clean.####.exr"))
    with running(chosen) as server, connect(config_for(tmp_path, transport="path")) as client:
        eventually(lambda: server._dispatcher.slots[0].ready)
        (worker,) = worker_processes()
        worker.send_signal(signal.SIGSTOP)
        id = client.submit(job).id
        eventually(lambda: client.status(id).attempt == 1 and (tmp_path / "spool/jobs" / id / "scratch").exists())
        plate.path(1002).rename(tmp_path / "kept.exr")
        os.mkfifo(plate.path(1002))
        worker.send_signal(signal.SIGCONT)
        eventually(lambda: waits_in_open(worker))
        assert client.ping() < 10
        assert client.status(id).state == "running"
        assert client.cancel(id).state == "cancelled"
        worker.wait(20)
        plate.path(1002).unlink()
        (tmp_path / "kept.exr").rename(plate.path(1002))
        again = client.submit(job, overwrite=True).id
        eventually(lambda: client.status(again).state == "done")


def test_a_worker_that_is_frozen_holds_up_no_answer_and_no_cancel(tmp_path, gate):
    chosen = settings(tmp_path, cancel_grace_cpu_s=0.3)
    with running(chosen) as server, Client.of(server.settings) as client:
        submit = make_submit(make_plate(tmp_path / "plate"), gate=str(gate), gate_at=1002)
        client.upload(submit)
        eventually(lambda: client.status(submit.id).frames_done == 1)
        (worker,) = worker_processes()
        worker.send_signal(signal.SIGSTOP)
        for _ in range(20):
            answers(client, submit.id)
        assert client.cancel(submit.id).state == "cancelled"
        worker.wait(20)
        after = make_submit(submit.job.plate)
        client.upload(after)
        client.reaches(after.id, "done")


def waits_in_open(process: psutil.Process) -> bool:
    """Return whether a thread of a process waits for the other end of a pipe."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/wchan")
    return any(task.read_text() == "wait_for_partner" for task in tasks)


def worker_processes() -> list[psutil.Process]:
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "worker" in " ".join(child.cmdline())]


def test_an_output_that_stalls_holds_up_neither_watch_nor_cancel(tmp_path, monkeypatch, gate):
    disk = StalledDisk((tmp_path / "out",))
    with simulated(disk, monkeypatch), running(settings(tmp_path)), connect(config_for(tmp_path)) as client:
        job = make_job(tmp_path, gate=str(gate), gate_at=1003)
        id = client.submit(job).id
        eventually(lambda: client.status(id).frames_done == 2)
        with ThreadPoolExecutor(1) as writer, disk.stalled():
            fetched = writer.submit(client.fetch, id)
            eventually(lambda: disk.waiting)
            assert client.ping() < 10
            gate.touch()
            assert [event.state for event in client.watch(id)][-1] == "done"
            other = client.submit(make_job(tmp_path, "elsewhere/clean.####.exr", gate=str(tmp_path / "never"))).id
            assert client.cancel(other).state == "cancelled"
            disk._moves.set()
            assert len(fetched.result()) == 2
        assert [path.read_bytes() for path in client.fetch(id)] == [expected(job, frame) for frame in FRAMES]
