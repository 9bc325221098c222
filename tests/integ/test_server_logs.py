"""The logs of a real server and its workers, read as a log collector would."""

import json
import signal
import sys

import psutil
import pytest

from tests.support.live_server import Client, ServerProcess, eventually, make_plate, make_submit, settings

REAL_WORKER = (sys.executable, "-m", "gpu_server.worker")
NO_JOBS = ("listening on", "is ready on", "has ended with", "stopping")


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """Return the lines of a server whose jobs ended in every way, and the jobs by how they ended."""
    folder = tmp_path_factory.mktemp("logged")
    plate = make_plate(folder / "plates")
    gate = str(folder / "never")
    chosen = settings(folder, workers=2, cancel_grace_cpu_s=0.3)
    with ServerProcess(chosen, "json") as server, Client.of(chosen) as client:
        jobs = {
            "done": make_submit(
                plate, user='anna\n{"level": "CRITICAL", "message": "forged"}', say="words\nof a library"
            ),
            "failed": make_submit(plate, fail=["engine", "the model\nhas no weights"]),
            "lost": make_submit(plate, die_at=1003, deaths=9),
            "cancelled": make_submit(plate, gate=gate),
        }
        client.upload(jobs["done"])
        client.reaches(jobs["done"].id, "done")
        eventually(lambda: "of a library" in server.log_path.read_text())  # before its worker gets another job
        for state in ("failed", "lost", "cancelled"):
            client.upload(jobs[state])
        client.reaches(jobs["failed"].id, "failed")
        client.reaches(jobs["lost"].id, "failed")
        client.reaches(jobs["cancelled"].id, "running")
        client.cancel(jobs["cancelled"].id)
        assert server.terminate() == 0
        text = server.log_path.read_text()
        assert (chosen.spool / "logs" / "server.log").read_text() == text
    return [json.loads(line) for line in text.splitlines()], {state: submit.id for state, submit in jobs.items()}


def messages_of(logged, state):
    lines, jobs = logged
    return [line["message"] for line in lines if jobs[state] in line.get("job", "")]


def test_every_line_is_about_a_job_or_about_the_server(logged):
    lines, jobs = logged
    assert {job for line in lines if line.get("job") for job in line["job"].split(", ")} == set(jobs.values())
    others = [line["message"] for line in lines if not line.get("job")]
    assert others and all(any(words in message for words in NO_JOBS) for message in others), others


def test_a_job_can_be_followed_from_end_to_end(logged):
    messages = messages_of(logged, "done")
    assert messages[0].startswith("submitted by anna") and "attempt 1 starts on worker-" in messages[1]
    assert {"words", "of a library"} < set(messages), "which may be read after the end"
    assert len([message for message in messages if message.startswith("done in ")]) == 1
    assert messages_of(logged, "failed")[-1] == "failed: the model\\nhas no weights"
    assert messages_of(logged, "cancelled")[-1] == "cancelled"


def test_lost_workers_are_in_the_log_of_their_job(logged):
    messages = messages_of(logged, "lost")
    assert sum("its worker ended with exit code -9" in message for message in messages) == 3
    assert "failed: the worker ended with exit code -9, at 3 attempts" in messages[-1]


def test_a_line_cannot_be_forged(logged):
    lines, _ = logged
    assert {line["level"] for line in lines} == {"INFO", "WARNING"}
    assert not [line for line in lines if line["message"] == "forged"]


def test_records_of_a_worker_name_it(logged):
    lines, jobs = logged
    [words] = [line for line in lines if line["message"] == "of a library"]
    assert words["worker"] in ("worker-0", "worker-1") and jobs["done"] in words["job"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_crash_of_the_interpreter_leaves_its_stack(tmp_path):
    chosen = settings(tmp_path, worker_command=REAL_WORKER)
    with ServerProcess(chosen) as server:
        log = chosen.spool / "logs" / "server.log"
        eventually(lambda: "worker-0 is ready" in log.read_text())
        [worker] = psutil.Process(server.process.pid).children()
        worker.send_signal(signal.SIGABRT)
        eventually(lambda: "worker-0 has ended with exit code -6" in log.read_text())
        assert "worker-0: Fatal Python error: Aborted" in log.read_text()
        server.process.send_signal(signal.SIGABRT)
        server.process.wait()
        crash = (chosen.spool / "logs" / "crash.log").read_text()
        assert "Fatal Python error: Aborted" in crash and "in wait" in crash
