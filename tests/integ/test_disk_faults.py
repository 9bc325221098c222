"""Disks that are full, read-only, on another device or gone: what ends, with which words, and what goes on.

The simulated disk (tests/support/full_disk.py) fails the first write of a job, then the second, and so on until a whole
job passes: so every write that Python or SQLite makes is failed once. The small disks are real file systems.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from gpu_server.engines.registry import Engines
from gpu_server.server.blob_index import BlobIndex
from gpu_server.server.counters import Counters
from gpu_server.server.job_store import JobStore
from gpu_server.server.jobs import JobRecord, JobTable
from gpu_server.server.journal import Journal, JournalThread
from gpu_server.server.mailbox import Mailbox
from gpu_server.worker.messages import FrameWritten
from tests.support.client_jobs import config_for
from tests.support.full_disk import NEVER, FullDisk, simulated, small_disk, take_room
from tests.support.live_server import ServerProcess, digest_of, eventually, running, settings
from tests.support.scripted_worker import result_bytes
from tests.support.shots import disc, files_of, run_job, write_matte, write_plate
from tests.support.shots import make_job as make_shot_job
from void_bridge.atomic import TEMPORARY_SUFFIX
from void_bridge.client import Client, connect
from void_bridge.errors import DiskFull, OutputError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.protocol.messages import FINAL_STATES

LONG = bool(os.environ.get("VOID_BRIDGE_LONG_TESTS"))
FRAMES = FrameRange.parse("1001-1002")
REAL_WORKER = {"worker_command": (sys.executable, "-m", "gpu_server.worker"), "engines": ("passthrough", "propagate")}


def scripted_job(tmp_path: Path, number: int, **script: object) -> Job:
    """Return a job over a new plate."""
    plate = tmp_path / f"plate-{number}"
    plate.mkdir()
    for frame in FRAMES:
        (plate / f"p.{frame}.exr").write_bytes(f"{number}-{frame} ".encode() * 300)
    pattern, out = str(plate / "p.####.exr"), str(tmp_path / f"out-{number}/clean.####.exr")
    colour = Colour("ACEScg", "ocio://studio", exposure=0.0)
    prompt = json.dumps(script) if script else ""
    return Job(pattern, FRAMES, out, colour, remove=MatteSource(pattern, "A"), prompt=prompt)


def outcome(client: Client, job: Job, transport: str = "inline") -> VoidBridgeError | str:
    """Return the state or error of a whole job: submitted inline, awaited, fetched."""
    try:
        id = client.submit(job, transport=transport).id
        status = eventually(lambda: (latest := client.status(id)).state in FINAL_STATES and latest)
        if status.error:
            raise status.error.to_error()
        client.fetch(id)
        return status.state
    except VoidBridgeError as exc:
        return exc


def check_blobs(spool: Path) -> int:
    """Check that every blob has the digest of its name, and return their number."""
    blobs = [path for path in (spool / "blobs").glob("*/*") if path.is_file()]
    assert all(digest_of(path.read_bytes()) == path.name for path in blobs)
    return len(blobs)


def check_frames(client: Client, job_id: str) -> None:
    """Check that every published frame is there, whole."""
    for frame in client.result(job_id).frames:
        assert digest_of(Path(frame.path).read_bytes()) == frame.digest


def check_journal(spool: Path, shown: dict[str, tuple[str, int, int]]) -> None:
    """Check that the journal of an ended server has the state, attempt and frames that clients saw."""
    with closing(sqlite3.connect(spool / "journal.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        known = {digest for (digest,) in db.execute("SELECT digest FROM blobs")}
        count = "(SELECT count(*) FROM frames WHERE job = id)"
        found = {id: tuple(rest) for id, *rest in db.execute(f"SELECT id, state, attempt, {count} FROM jobs")}
    assert found == shown
    assert {path.name for path in (spool / "blobs").glob("*/*")} == known


def temporaries(folder: Path) -> list[Path]:
    return list(folder.rglob(f"*{TEMPORARY_SUFFIX}"))


# --- every write, simulated -----------------------------------------------------------------------


@pytest.mark.parametrize("for_writes", [1, NEVER])
def test_the_server_lives_through_a_full_disk_at_every_write_of_a_job(tmp_path, monkeypatch, for_writes):
    disk, failed, ends = FullDisk((tmp_path / "spool",)), 0, Counter[str]()
    with simulated(disk, monkeypatch), running(settings(tmp_path, roots=())), connect(config_for(tmp_path)) as client:
        for number in itertools.count(1, 1 if LONG or for_writes == 1 else 4):
            disk.fill(number, for_writes)
            ended = outcome(client, scripted_job(tmp_path, number))
            assert client.ping() < 10
            disk.make_room()
            assert isinstance(ended, DiskFull) or ended == "done", (number, ended, disk.refused)
            if not disk.failed:
                break
            failed, ends = failed + 1, ends + Counter([str(getattr(ended, "code", ended))])
            assert outcome(client, scripted_job(tmp_path, 1000 + number)) == "done", (number, disk.refused)
        eventually(lambda: not list((tmp_path / "spool/incoming").iterdir()))
        told_jobs = {job.id: (job.state, job.attempt, job.frames_done) for job in client.jobs(1000)}
        for job_id in told_jobs:
            check_frames(client, job_id)
    check_blobs(tmp_path / "spool")
    check_journal(tmp_path / "spool", told_jobs)
    assert failed > (25 if for_writes == 1 else 6)
    assert ends["disk_full"] > failed // 2


def test_an_attempt_whose_number_cannot_be_kept_does_not_run(tmp_path, monkeypatch):
    """Otherwise the next attempt after a restart would have the same number, and empty this one's folder."""
    disk, mailbox, steps = FullDisk((tmp_path,)), Mailbox(), []
    with simulated(disk, monkeypatch):
        writer = JournalThread(Journal(tmp_path / "journal.sqlite"))
        store = JobStore(JobTable(), BlobIndex(), writer, mailbox, lambda job_id: None, Counters())
        record = JobRecord("job", scripted_job(tmp_path, 1), (), "path")
        writer.do(lambda journal: journal.add_job(record))
        writer.start()
        store.barrier(lambda: steps.append("queued"))
        eventually(lambda: (mailbox.run(), steps)[1])
        store.admit(record)
        disk.fill(1, 1)
        store.begin(record, lambda: steps.append("begun"))
        eventually(lambda: (mailbox.run(), len(steps) > 1)[1])
        writer.stop()
        writer.join()
    mailbox.close()
    assert (record.state, record.error.code) == ("failed", "disk_full")
    assert str(tmp_path / "journal.sqlite") in record.error.message
    journal = Journal(tmp_path / "journal.sqlite")
    assert [(job.state, job.attempt) for job in journal.jobs()] == [("failed", 1)], "paid once there was room"
    journal.close()


def test_a_server_does_not_start_on_a_full_disk_and_starts_once_there_is_room(tmp_path, monkeypatch):
    disk, failed = FullDisk((tmp_path / "spool", tmp_path / "run")), 0
    for number in itertools.count(1, 1 if LONG else 2):
        for folder in ("spool", "run"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        disk.fill(number)
        with simulated(disk, monkeypatch):
            try:
                with running(settings(tmp_path)):
                    pass
            except VoidBridgeError as exc:
                assert isinstance(exc, DiskFull), (number, exc, disk.refused)
                assert str(tmp_path) in str(exc)
        if not disk.failed:
            break
        failed += 1
        assert not temporaries(tmp_path)
        assert not list((tmp_path / "run").glob("*.json")), "a connection file of no server"
        with running(settings(tmp_path)), connect(config_for(tmp_path)) as client:
            assert client.jobs() == ()
    assert failed > (12 if LONG else 6)


@pytest.mark.parametrize("transport", ["inline", "path"])
def test_a_client_lives_through_a_full_disk_at_every_write_of_its_output(tmp_path, monkeypatch, transport):
    """Written frames stay, no file is half-written, and the same command goes on once there is room."""
    disk, failed = FullDisk((tmp_path / "out-",)), 0
    config = config_for(tmp_path, transport=transport)
    with simulated(disk, monkeypatch), running(settings(tmp_path)), connect(config) as client:
        for number in itertools.count(1):
            job = scripted_job(tmp_path, number)
            disk.fill(number)
            ended = outcome(client, job, transport)
            disk.make_room()
            assert isinstance(ended, DiskFull) or ended == "done", (number, ended, disk.refused)
            folder = Path(job.output).parent
            check_output(job, whole=ended == "done")
            if not disk.failed:
                break
            failed += 1
            assert not isinstance(ended, DiskFull) or f"out-{number}" in str(ended)
            assert outcome(client, job, transport) == "done", (number, disk.refused)
            check_output(job, whole=True)
            assert len(list(folder.iterdir())) == len(FRAMES) + 2
    assert failed > 10


def check_output(job: Job, whole: bool) -> None:
    """Check that every file with its final name is whole."""
    folder = Path(job.output).parent
    assert not temporaries(folder)
    for frame in FRAMES:
        path, plate = folder / f"clean.{frame}.exr", Path(job.plate.replace("####", str(frame)))
        assert (path.exists() or not whole) and (not path.exists() or path.read_bytes() == expected(frame, plate))
    for name in ("job.json", "report.json"):
        assert (folder / name).exists() or not whole
        assert not (folder / name).exists() or json.loads((folder / name).read_text())


def expected(frame: int, plate: Path) -> bytes:
    return result_bytes(frame, plate.read_bytes())


@pytest.mark.parametrize("engine", ["passthrough", "propagate"])
def test_a_worker_lives_through_a_full_disk_at_every_write_of_an_attempt(tmp_path, monkeypatch, engine):
    plate = write_plate(tmp_path / "in", FRAMES, (32, 40))
    roto = write_matte(tmp_path / "in", FRAMES, disc((32, 40), (16, 20), 6))
    job, files = make_shot_job(plate, FRAMES, roto, engine=engine), files_of(plate, roto)
    disk, failed, engines = FullDisk((tmp_path / "spool",)), 0, Engines()
    for number in itertools.count(1):
        folder = tmp_path / "spool" / str(number)
        (folder / "scratch").mkdir(parents=True)
        disk.fill(number)
        with simulated(disk, monkeypatch):
            ended, written, messages = run_job(job, files, folder, engines=engines)
        if not disk.failed:
            break
        failed += 1
        code = ended.failure and ended.failure.code
        assert (ended.state, code) in (("failed", "disk_full"), ("done", None)), (number, ended, disk.refused)
        assert ended.state == "done" or str(folder) in ended.failure.message
        assert not temporaries(folder)
        for message in (m for m in messages if isinstance(m, FrameWritten)):
            assert digest_of(Path(message.path).read_bytes()) == message.digest
        ended, again, _ = run_job(job, files, folder, finished=tuple(written), attempt=2, engines=engines)
        assert (ended.state, sorted([*written, *again])) == ("done", list(FRAMES)), number
    assert failed > 8


# --- real file systems ----------------------------------------------------------------------------


def real_job(tmp_path: Path, number: int) -> Job:
    """Return a job for a worker with its engines, over new files."""
    plate = write_plate(tmp_path / f"in-{number}", FRAMES, (32, 40), number=number)
    roto = write_matte(tmp_path / f"in-{number}", FRAMES, disc((32, 40), (16, 20), 6 + number / 10_000))
    job = make_shot_job(plate, FRAMES, roto, engine="propagate")
    return job.replace(output=str(tmp_path / "out" / str(number) / "clean.####.exr"))


@pytest.mark.parametrize("headrooms", [(*range(0, 120, 12), 400)] if not LONG else [(*range(0, 192, 4), 400)])
def test_a_small_disk_runs_out_at_any_point_of_a_job(tmp_path, headrooms):
    """The file system, server and worker are real: spool, journal and WAL, scratch and frames share a few MB."""
    ends: Counter[str] = Counter()
    with small_disk(tmp_path / "spool") as spool:
        told_jobs = {}
        with running(settings(tmp_path, roots=(), **REAL_WORKER)), connect(config_for(tmp_path)) as client:
            assert outcome(client, real_job(tmp_path, -1)) == "done"
            for number, kilobytes in enumerate(headrooms):
                ballast = take_room(spool, kilobytes * 1024)
                ended = outcome(client, real_job(tmp_path, number))
                assert client.ping() < 10
                ballast.unlink()
                assert isinstance(ended, DiskFull) or ended == "done", (kilobytes, ended)
                assert ended == "done" or str(spool) in str(ended) or "the server's spool" in str(ended)
                ends[str(getattr(ended, "code", ended))] += 1
                assert outcome(client, real_job(tmp_path, 1000 + number)) == "done", kilobytes
            eventually(lambda: not list((spool / "incoming").iterdir()))
            told_jobs = {job.id: (job.state, job.attempt, job.frames_done) for job in client.jobs(1000)}
            for job_id in told_jobs:
                check_frames(client, job_id)
        check_blobs(spool)
        check_journal(spool, told_jobs)
        assert not temporaries(spool)
        with running(settings(tmp_path, roots=(), **REAL_WORKER)), connect(config_for(tmp_path)) as client:
            assert {job.id: (job.state, job.attempt, job.frames_done) for job in client.jobs(1000)} == told_jobs
            assert outcome(client, real_job(tmp_path, 5000)) == "done"
    assert ends["disk_full"] >= 2
    assert ends["done"] >= 1


def test_a_client_whose_disk_is_full_keeps_what_is_whole_and_goes_on(tmp_path):
    """The frames have a real size, and the disk takes one of them."""
    with small_disk(tmp_path / "out-1", "256k") as out, running(settings(tmp_path)):
        job = scripted_job(tmp_path, 1)
        for frame in FRAMES:
            Path(job.plate.replace("####", str(frame))).write_bytes(os.urandom(90_000))
        with connect(config_for(tmp_path)) as client:
            ballast = take_room(out, 130_000)
            ended = outcome(client, job)
            assert isinstance(ended, DiskFull), ended
            assert "clean.1002.exr" in str(ended)
            assert sorted(path.name for path in out.iterdir()) == ["ballast", "clean.1001.exr", "job.json"]
            check_output(job, whole=False)
            ballast.unlink()
            assert outcome(client, job) == "done"
            check_output(job, whole=True)


def test_a_runtime_folder_without_room_starts_no_server_and_says_where(tmp_path):
    with small_disk(tmp_path / "run", "64k") as run:
        ballast = take_room(run, 0)
        with pytest.raises(DiskFull, match=r"run/.*free some space"), running(settings(tmp_path)):
            pass
        assert not temporaries(run)
        ballast.unlink()
        with running(settings(tmp_path)), connect(config_for(tmp_path)) as client:
            assert client.jobs() == ()


def test_a_log_without_room_ends_nothing(tmp_path):
    """The server is a process of its own, which logs to a full disk."""
    with small_disk(tmp_path / "logs", "64k") as logs, small_disk(logs / "run", "64k") as run:
        take_room(logs, 0)
        config = config_for(logs)
        with ServerProcess(settings(tmp_path, runtime_dir=run)) as server, connect(config) as client:
            for number in range(3):
                assert outcome(client, scripted_job(tmp_path, number, say="x" * 10_000)) == "done"
        assert server.log_path.parent == logs
        assert server.log_path.stat().st_size == 0


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_sent(tmp_path):
    with small_disk(tmp_path / "out-1") as out, running(settings(tmp_path)), connect(config_for(tmp_path)) as client:
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        with pytest.raises(OutputError, match=r"out-1: Read-only file system; choose a writable place"):
            client.submit(scripted_job(tmp_path, 1))
        assert client.jobs() == ()


def test_an_output_that_becomes_read_only_can_be_fetched_elsewhere(tmp_path):
    job = scripted_job(tmp_path, 1)
    with small_disk(tmp_path / "out-1") as out, running(settings(tmp_path)), connect(config_for(tmp_path)) as client:
        id = client.submit(job).id
        eventually(lambda: client.status(id).state == "done")
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        with pytest.raises(OutputError, match=r"clean\.1001\.exr: Read-only file system"):
            client.fetch(id)
        paths = client.fetch(id, str(tmp_path / "elsewhere/clean.####.exr"))
        assert [path.read_bytes() for path in paths] == [
            expected(frame, Path(job.plate.replace("####", str(frame)))) for frame in FRAMES
        ]


def test_a_spool_that_becomes_read_only_fails_jobs_and_says_so(tmp_path, monkeypatch):
    """It is simulated: a disk with open files cannot be made read-only."""
    disk = FullDisk((tmp_path / "spool",), number=errno.EROFS)
    with simulated(disk, monkeypatch), running(settings(tmp_path, roots=())), connect(config_for(tmp_path)) as client:
        assert outcome(client, scripted_job(tmp_path, 0)) == "done"
        for number in range(1, disk.writes + 1, 1 if LONG else 5):
            disk.fill(number)
            ended = outcome(client, scripted_job(tmp_path, number))
            disk.make_room()
            assert ended == "done" or type(ended) is OutputError, (number, ended)
            assert ended == "done" or "spool" in str(ended)
            assert client.ping() < 10
            assert outcome(client, scripted_job(tmp_path, 1000 + number)) == "done"


def test_no_server_starts_on_a_read_only_spool(tmp_path):
    with small_disk(tmp_path / "spool") as spool:
        with running(settings(tmp_path)):
            pass
        subprocess.run(["mount", "-o", "remount,ro", str(spool)], check=True)
        with pytest.raises(OutputError, match=r"spool.*Read-only"), running(settings(tmp_path)):
            pass


def test_an_output_on_another_device_than_the_spool_is_written(tmp_path):
    with small_disk(tmp_path / "out-1") as out, running(settings(tmp_path)), connect(config_for(tmp_path)) as client:
        assert out.stat().st_dev != (tmp_path / "spool").stat().st_dev
        for transport in ("path", "inline"):
            job = scripted_job(tmp_path, 1 if transport == "path" else 11)
            job = job.replace(output=str(out / transport / "clean.####.exr"))
            assert outcome(client, job, transport) == "done"
            assert (out / transport / "clean.1002.exr").exists()


# --- folders that go away -------------------------------------------------------------------------


def test_an_output_folder_deleted_under_the_job_is_made_again(tmp_path):
    gate = tmp_path / "gate"
    job = scripted_job(tmp_path, 1, gate=str(gate), gate_at=1002)
    with running(settings(tmp_path)), connect(config_for(tmp_path)) as client:
        id = client.submit(job).id
        eventually(lambda: client.status(id).frames_done == 1)
        client.fetch(id)
        shutil.rmtree(tmp_path / "out-1")
        gate.touch()
        eventually(lambda: client.status(id).state == "done")
        client.fetch(id)
        check_output(job, whole=True)


@pytest.mark.parametrize("folder", ["jobs", "blobs", "incoming", "cache", "logs"])
def test_a_folder_of_the_spool_deleted_under_the_server_is_made_again(tmp_path, folder):
    with running(settings(tmp_path, roots=(), **REAL_WORKER)), connect(config_for(tmp_path)) as client:
        assert outcome(client, real_job(tmp_path, 0)) == "done"
        shutil.rmtree(tmp_path / "spool" / folder)
        assert outcome(client, real_job(tmp_path, 1)) == "done"


def test_an_attempt_folder_deleted_under_the_worker_costs_no_other_job(tmp_path):
    gate = tmp_path / "gate"
    with running(settings(tmp_path)), connect(config_for(tmp_path)) as client:
        id = client.submit(scripted_job(tmp_path, 1, gate=str(gate), gate_at=1002)).id
        eventually(lambda: client.status(id).frames_done == 1)
        shutil.rmtree(tmp_path / "spool/jobs" / id / "attempt-1")
        with pytest.raises(VoidBridgeError, match=r"is no longer on the server's disk: .*; run the job again"):
            client.fetch(id)
        client.cancel(id)
        assert outcome(client, scripted_job(tmp_path, 2)) == "done"
