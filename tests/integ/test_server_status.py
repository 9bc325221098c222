"""The status of a server: for a client, for `void-bridge top`, and while its disk stalls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from gpu_server.server import app, server_status
from gpu_server.server.eviction import plan_eviction
from tests.support.client_jobs import config_for
from tests.support.live_server import REPOSITORY, Client, eventually, make_plate, make_submit, running, settings
from void_bridge.cli.main import main
from void_bridge.client import connect
from void_bridge.config import as_environment
from void_bridge.errors import VersionMismatch
from void_bridge.protocol.messages import MESSAGES, GetServerStatus, Ping, Pong

FRAMES, SIZE = 4, 3000
INPUT_BYTES = FRAMES * SIZE
RESULT_BYTES = FRAMES * (SIZE + len(b"frame 1001\n"))


@pytest.fixture
def gate(tmp_path):
    return tmp_path / "gate"


@pytest.fixture
def served(tmp_path):
    """Start a server with a limit on its spool, and a plain client of it."""
    with (
        running(settings(tmp_path, spool_limit_bytes=10**9, workers=2)) as server,
        Client.of(server.settings) as client,
    ):
        yield server, client


def ask(client):
    return client.control.ask(GetServerStatus())


def test_a_fresh_server_has_idle_workers_and_no_jobs(served):
    _, client = served
    before = time.time()
    status = eventually(lambda: all(w.state == "idle" for w in ask(client).workers) and ask(client))
    assert (status.pid, status.clients) == (os.getpid(), 1)
    assert abs(status.started + status.seconds - before) < 20
    assert status.jobs == dict.fromkeys(("receiving", "queued", "running", "done", "failed", "cancelled"), 0)
    assert (status.spool.used_bytes, status.spool.limit_bytes, status.oldest_queued_s) == (0, 10**9, None)
    assert status.resident_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.3)
    assert [worker.index for worker in status.workers] == [0, 1]
    assert len({worker.pid for worker in status.workers}) == 2
    for worker in status.workers:
        assert psutil.Process(worker.pid).ppid() == os.getpid()
        assert worker.resident_bytes == pytest.approx(psutil.Process(worker.pid).memory_info().rss, rel=0.3)
        assert (worker.device, worker.engine, worker.jobs, worker.losses) == ("cpu", "", (), 0)


def test_jobs_are_counted_by_state_and_named_at_their_workers(tmp_path, served, gate):
    server, client = served
    plate = make_plate(tmp_path / "plate", size=SIZE)
    runs = [client.upload(make_submit(plate, gate=str(gate), resolve=0.5)).status.id for _ in range(2)]
    for job_id in runs:
        client.reaches(job_id, "running")
    waits = client.upload(make_submit(plate)).status.id
    client.submit(make_submit(make_plate(tmp_path / "not sent", "7-8", size=11), frames="7-8"))
    client.cancel(client.upload(make_submit(plate)).status.id)
    status = eventually(lambda: (s := ask(client)).workers[1].engine == s.workers[0].engine == "scripted" and s)
    assert status.jobs == {"receiving": 1, "queued": 1, "running": 2, "done": 0, "failed": 0, "cancelled": 1}
    assert {worker.jobs for worker in status.workers} == {(runs[0],), (runs[1],)}
    assert {worker.state for worker in status.workers} == {"running"}
    assert 0 <= status.oldest_queued_s < 20 and 0 <= status.workers[0].silent_s < 20
    assert status.spool.used_bytes == INPUT_BYTES
    gate.touch()
    for job_id in (*runs, waits):
        client.reaches(job_id, "done")
    ended = ask(client)
    assert (ended.jobs["done"], ended.oldest_queued_s) == (3, None)
    assert ended.spool.used_bytes == INPUT_BYTES + 3 * RESULT_BYTES
    held = server._store.blob_index.held()
    assert plan_eviction(list(server._store.table), held, 10**12).left_bytes == ended.spool.used_bytes


def test_the_spools_bytes_follow_what_is_removed_and_a_restart(tmp_path):
    plate = make_plate(tmp_path / "plate", size=SIZE)
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        client.reaches(client.upload(make_submit(plate)).status.id, "done")
    small = settings(tmp_path, spool_limit_bytes=RESULT_BYTES + 1)
    with running(small) as server, Client.of(small) as client:
        assert ask(client).spool.used_bytes == INPUT_BYTES + RESULT_BYTES
        server._control.mailbox.post(server._service.keep_within_limit)
        eventually(lambda: ask(client).spool.used_bytes == RESULT_BYTES)


def test_a_worker_that_dies_is_counted_and_one_that_is_freed_is_not(tmp_path):
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        plate = make_plate(tmp_path / "plate")
        first = eventually(lambda: (w := ask(client).workers[0]).state == "idle" and w)
        client.reaches(client.upload(make_submit(plate, die_at=1002)).status.id, "done")
        second = ask(client).workers[0]
        assert (second.losses, second.pid != first.pid) == (1, True)
        with connect(config_for(tmp_path)) as ours:
            assert ours.free() == 1
            freed = ours.server_status().workers[0]
        assert (freed.state, freed.pid, freed.losses, freed.silent_s) == ("stopped", 0, 1, None)


def test_clients_that_are_silent_are_not_counted(tmp_path):
    brief = settings(tmp_path, ping_deadline_s=0.5)
    with running(brief), Client.of(brief) as client, Client.of(brief) as other:
        eventually(lambda: other.control.ask(Ping()) == Pong() and ask(client).clients == 2)
        eventually(lambda: ask(client).clients == 1)


def test_a_disk_that_stalls_holds_up_no_answer_and_is_reported(tmp_path, monkeypatch):
    let_go, looks = threading.Event(), []

    def stalled(_):
        looks.append(1)
        let_go.wait(20)
        raise OSError("stale handle")

    monkeypatch.setattr(server_status.shutil, "disk_usage", stalled)
    monkeypatch.setattr(server_status, "_CHECK_S", 0.0)
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        eventually(lambda: looks)
        for _ in range(20):
            assert ask(client).spool.free_bytes is None
        assert len(looks) == 1
        let_go.set()
        eventually(lambda: len(looks) > 1)
        monkeypatch.undo()
        real = eventually(lambda: ask(client).spool.free_bytes)
        assert real == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.2)


def test_a_server_without_status_is_named_with_its_protocol(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(MESSAGES, "get_server_status")
    monkeypatch.setattr(app, "PROTOCOL_VERSION", "1.0")
    config = config_for(tmp_path)
    with running(settings(tmp_path)), connect(config) as client:
        with pytest.raises(VersionMismatch, match=r"void-bridge \S+ speaks protocol 1.0 and has no server status"):
            client.server_status()
        monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(config.runtime_dir))
        assert main(["top", "--once"]) == 0
        assert "older than protocol 1.1" in capsys.readouterr().out


# --- void-bridge top ---------------------------------------------------------------------------------


def environment(tmp_path):
    return {**os.environ, **as_environment(config_for(tmp_path)), "PYTHONPATH": str(REPOSITORY)}


def top(tmp_path, *words):
    command = [sys.executable, "-m", "void_bridge.cli", "top", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(tmp_path), timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_top_once_prints_one_picture_for_people_and_for_programs(tmp_path, served, gate):
    _, client = served
    plate = make_plate(tmp_path / "plate")
    runs = client.upload(make_submit(plate, user="anna", gate=str(gate), gate_at=1003)).status.id
    eventually(lambda: client.status(runs).frames_done == 2)
    for _ in range(3):  # newer ones, so that the limit leaves the running one out
        client.submit(make_submit(make_plate(tmp_path / "other", size=7), user="ben"))
    text = top(tmp_path, "--once", "--limit", "3")
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= 80
    (line,) = (line.split() for line in text.splitlines() if line.startswith(runs))
    assert line == [runs, "running", "fill", "2/4", "2/4", "0:02", "50", "anna"]
    assert "1 running" in text and f"{runs}  fill 2/4" in text
    found = json.loads(top(tmp_path, "--json"))
    assert found["server"]["pid"] == os.getpid()
    assert {job["user"] for job in found["jobs"]} == {"anna", "ben"}
    assert [worker["jobs"] for worker in found["server"]["workers"] if worker["jobs"]] == [[runs]]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_top_waits_for_a_server_that_went_away_and_leaves_cleanly(tmp_path):
    import pty

    ours, theirs = pty.openpty()
    said = bytearray()

    def read():
        while True:
            try:
                said.extend(os.read(ours, 4096))
            except OSError:  # nobody has the other side any more
                return

    reader = threading.Thread(target=read)
    command = [sys.executable, "-m", "void_bridge.cli", "top"]
    terminal = {**environment(tmp_path), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with running(settings(tmp_path)):
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=terminal)
        os.close(theirs)
        reader.start()
        try:
            eventually(lambda: b" client" in said)
        except BaseException:
            process.kill()
            raise
    try:
        eventually(lambda: b"waiting for the server" in said)
        with running(settings(tmp_path)):
            seen = len(said)
            eventually(lambda: b"waiting" not in said[(found := said.rfind(b"void-bridge 0")) :] and found > seen)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(ours)
    assert b"Traceback" not in said
    assert b"\x1b[?1049l" in said[-40:]  # the screen that was there before is back
