"""A server that is killed, and the next one that goes on with its jobs."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.support.live_server import Client, ServerProcess, eventually, make_plate, make_submit, running, settings
from tests.support.scripted_worker import result_bytes
from void_bridge.errors import Refused
from void_bridge.protocol.messages import Fetched, GetResult, Put


@pytest.fixture
def plate(tmp_path):
    return make_plate(tmp_path / "plates")


@pytest.fixture
def ours(tmp_path):
    return settings(tmp_path)


def run_to_the_gate(ours, submit):
    """Serve until two frames are published, then kill the server without warning."""
    with ServerProcess(ours) as server, Client.of(ours) as client:
        client.upload(submit)
        eventually(lambda: client.status(submit.id).frames_done == 2)
        server.kill()


@pytest.mark.parametrize("transport", ["inline", "path"])
def test_a_job_goes_on_after_its_server_was_killed(ours, plate, tmp_path, transport):
    gate = tmp_path / "gate"
    submit = make_submit(plate, transport, gate=str(gate), gate_at=1003)
    run_to_the_gate(ours, submit)
    gate.touch()
    with ServerProcess(ours), Client.of(ours) as client:
        assert client.submit(submit).missing == ()
        assert client.reaches(submit.id, "done").attempt == 2
        result = client.result_of(submit.id)
        assert result.report == {"made": 2, "attempt": 2}
        for frame in result.frames:
            plate_bytes = Path(plate.replace("####", str(frame.frame))).read_bytes()
            assert client.frame(submit.id, frame.frame, frame.size) == result_bytes(frame.frame, plate_bytes)


def test_a_published_frame_that_was_lost_from_the_disk_is_made_again(ours, plate, tmp_path):
    gate = tmp_path / "gate"
    submit = make_submit(plate, gate=str(gate), gate_at=1003)
    run_to_the_gate(ours, submit)
    gate.touch()
    next((tmp_path / "spool" / "jobs" / submit.id).glob("attempt-1/1001.exr")).unlink()
    with ServerProcess(ours), Client.of(ours) as client:
        client.reaches(submit.id, "done")
        assert client.result_of(submit.id).report == {"made": 3, "attempt": 2}


def test_a_worker_ends_with_its_killed_server(ours, plate, tmp_path):
    submit = make_submit(plate, gate=str(tmp_path / "never"), gate_at=1003)
    with ServerProcess(ours) as server, Client.of(ours) as client:
        client.upload(submit)
        eventually(lambda: client.status(submit.id).frames_done == 2)
        workers = children_of(server.process.pid)
        assert workers
        server.kill()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def children_of(pid):
    found = [pid for task in Path(f"/proc/{pid}/task").iterdir() for pid in (task / "children").read_text().split()]
    return [int(child) for child in found]


def test_an_ordinary_stop_leaves_a_running_job_to_the_next_start(ours, plate, tmp_path):
    gate = tmp_path / "gate"
    submit = make_submit(plate, gate=str(gate), gate_at=1003)
    with ServerProcess(ours) as server, Client.of(ours) as client:
        client.upload(submit)
        eventually(lambda: client.status(submit.id).frames_done == 2)
        assert server.terminate() == 0
    gate.touch()
    with running(ours), Client.of(ours) as client:
        assert client.reaches(submit.id, "done").frames_done == 4
        assert client.result_of(submit.id).report["made"] == 2


def test_a_half_uploaded_job_asks_for_the_rest_alone(ours, plate, tmp_path):
    submit = make_submit(plate)
    with ServerProcess(ours) as server, Client.of(ours) as client:
        client.submit(submit)
        client.put(Path(submit.inputs[0].path).read_bytes())
        client.data.ask(Put(submit.inputs[1].digest, submit.inputs[1].size, 0), b"begun")
        server.kill()
    with ServerProcess(ours), Client.of(ours) as client:
        assert client.status(submit.id).state == "receiving"
        assert not list((tmp_path / "spool" / "incoming").iterdir())
        assert set(client.upload(submit).missing) == {item.digest for item in submit.inputs[1:]}
        client.reaches(submit.id, "done")


def test_ended_jobs_are_still_known(ours, plate):
    done, failed, cancelled = make_submit(plate), make_submit(plate, fail=["engine", "no"]), make_submit(plate)
    with running(ours), Client.of(ours) as client:
        for submit in (done, failed):
            client.upload(submit)
        client.reaches(done.id, "done")
        client.reaches(failed.id, "failed")
        client.control.ask(Fetched(done.id))
        before = client.control.ask(GetResult(done.id))
    with running(ours), Client.of(ours) as client:
        after = client.control.ask(GetResult(done.id))
        assert (after.frames, after.report, after.job) == (before.frames, before.report, before.job)
        assert (after.status.state, after.status.seconds) == ("done", before.status.seconds)
        assert client.status(failed.id).error.message == "no"
        client.submit(cancelled)
        client.cancel(cancelled.id)


def test_a_cancelled_job_stays_cancelled(ours, plate, tmp_path):
    submit = make_submit(plate, gate=str(tmp_path / "never"))
    with running(ours), Client.of(ours) as client:
        client.upload(submit)
        client.reaches(submit.id, "running")
        client.cancel(submit.id)
    with running(ours), Client.of(ours) as client:
        assert client.status(submit.id).state == "cancelled"


def test_a_damaged_blob_is_asked_for_again(ours, plate, tmp_path):
    submit = make_submit(plate)
    with running(ours), Client.of(ours) as client:
        client.submit(submit)
        client.put(Path(submit.inputs[0].path).read_bytes())
    digest = submit.inputs[0].digest
    os.truncate(tmp_path / "spool" / "blobs" / digest[:2] / digest, 10)
    with running(ours), Client.of(ours) as client:
        assert digest in client.submit(submit).missing
        client.upload(submit)
        client.reaches(submit.id, "done")


def test_a_start_removes_unknown_files(ours, tmp_path):
    with running(ours):
        pass
    orphans = [
        tmp_path / "spool" / name for name in ("incoming/x", "blobs/ab/" + "ab" * 32, "jobs/lost/attempt-1/1.exr")
    ]
    for path in orphans:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"orphan")
    with running(ours):
        assert not any(path.exists() for path in orphans)


def test_a_journal_of_a_newer_version_is_refused_and_left_alone(ours, tmp_path):
    with running(ours):
        pass
    database = sqlite3.connect(tmp_path / "spool" / "journal.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(Refused, match="version 99"), running(ours):
        pass
    with pytest.raises(Refused, match="version 99"), running(ours):
        pass


def test_a_file_that_is_no_journal_is_refused_at_the_start(ours, tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "journal.sqlite").write_bytes(b"not a database, certainly" * 100)
    with pytest.raises(Refused, match="cannot read the journal"), running(ours):
        pass
