"""Jobs through a real server and scripted worker processes: every state, and what can go wrong on the way."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.live_server import Client, ServerProcess, eventually, make_plate, make_submit, running, settings
from tests.support.scripted_worker import result_bytes
from void_bridge.errors import Cancelled, Refused, UnknownJob, UsageError
from void_bridge.protocol.messages import (
    Cancel,
    Fetched,
    Free,
    Freed,
    GetStatus,
    InputFile,
    ListJobs,
    Preview,
    Put,
    StatusReply,
    Submit,
    Watch,
)


@pytest.fixture
def plate(tmp_path):
    return make_plate(tmp_path / "plates")


@pytest.fixture
def served(tmp_path):
    with running(settings(tmp_path, cancel_grace_cpu_s=0.3)) as server, Client.of(server.settings) as client:
        yield client


def expected(plate, frame):
    return result_bytes(frame, Path(plate.replace("####", str(frame))).read_bytes())


@pytest.mark.parametrize("transport", ["inline", "path"])
def test_every_frame_comes_back(served, plate, transport):
    submit = make_submit(plate, transport)
    served.upload(submit)
    served.reaches(submit.id, "done")
    result = served.result_of(submit.id)
    assert [frame.frame for frame in result.frames] == [1001, 1002, 1003, 1004]
    for frame in result.frames:
        assert served.frame(submit.id, frame.frame, frame.size) == expected(plate, frame.frame)
    assert result.report == {"made": 4, "attempt": 1}


def test_a_frame_the_server_has_is_not_asked_for_again(served, plate):
    first, second = make_submit(plate), make_submit(plate)
    assert len(served.upload(first).missing) == 4
    assert served.submit(second).missing == ()
    served.reaches(second.id, "done")


def test_a_job_waits_until_every_blob_is_there(served, plate):
    submit = make_submit(plate)
    missing = served.submit(submit).missing
    files = {item.digest: Path(item.path).read_bytes() for item in submit.inputs}
    for digest in missing[:-1]:
        served.put(files[digest], digest)
    assert served.status(submit.id).state == "receiving"
    assert served.submit(submit).missing == missing[-1:]
    served.put(files[missing[-1]], missing[-1])
    served.reaches(submit.id, "done")


def test_the_same_job_again_is_the_same_job(served, plate):
    submit = make_submit(plate)
    served.upload(submit)
    done = served.reaches(submit.id, "done")
    again = served.submit(submit)
    assert again.status.created == done.created and again.status.state == "done"
    assert len(served.control.ask(ListJobs()).jobs) == 1


def test_two_clients_with_the_same_job_get_one(served, plate, tmp_path):
    submit = make_submit(plate)
    with Client.of(settings(tmp_path)) as other:
        numbers = [(peer, peer.send(submit)) for peer in (served.control, other.control)]
        answers = [peer.answer(number).message for peer, number in numbers]
        assert answers[0].status.id == answers[1].status.id and answers[0].missing == answers[1].missing
        for item in submit.inputs:
            data = Path(item.path).read_bytes()
            assert served.put(data, item.digest).stored and other.put(data, item.digest).stored
        assert other.reaches(submit.id, "done").attempt == 1


def test_another_job_with_a_known_id_is_refused(served, plate):
    submit = make_submit(plate)
    served.submit(submit)
    with pytest.raises(Refused, match="belongs to another job"):
        served.submit(make_submit(plate, job_id=submit.id, output="/elsewhere.####.exr"))


def test_two_jobs_with_one_output_are_refused_while_the_first_is_active(served, plate):
    first = make_submit(plate, output="/out/a.####.exr")
    served.submit(first)
    with pytest.raises(Refused, match=first.id):
        served.submit(make_submit(plate, output="/out/a.####.exr"))
    served.cancel(first.id)
    served.submit(make_submit(plate, output="/out/a.####.exr"))


def test_an_unknown_engine_is_refused_with_the_nearest(served, plate):
    submit = make_submit(plate)
    typo = Submit(submit.id, submit.job.replace(engine="propogate"), submit.inputs, "inline")
    with pytest.raises(UsageError, match="did you mean 'propagate'"):
        served.submit(typo)


def test_an_unknown_job_is_an_error_for_every_request(served):
    for request in (GetStatus("none"), Watch("none"), Cancel("none"), Fetched("none")):
        with pytest.raises(UnknownJob, match="'none'"):
            served.control.ask(request)


def test_the_resolved_job_is_what_the_result_holds(served, plate):
    submit = make_submit(plate, resolve=1.5)
    served.upload(submit)
    assert served.reaches(submit.id, "done").engine == "scripted"
    assert served.result_of(submit.id).job.colour.exposure == 1.5


# --- watching -----------------------------------------------------------------------------------


def test_a_watcher_gets_progress_previews_and_the_end(served, plate, tmp_path):
    gate = tmp_path / "gate"
    submit = make_submit(plate, gate=str(gate), gate_at=1003, preview="png of a frame")
    served.upload(submit)
    served.control.ask(Watch(submit.id, previews=True))
    events = [served.control.event()]
    while not isinstance(events[-1].message, Preview):
        events.append(served.control.event())
    assert bytes(events[-1].buffers[0]) == b"png of a frame" and events[-1].message.id == submit.id
    gate.touch()
    states = [event.message.status for event in events if isinstance(event.message, StatusReply)]
    while not states or states[-1].state != "done":
        event = served.control.event()
        if isinstance(event.message, StatusReply):
            states.append(event.message.status)
    assert (states[-1].progress.stage, states[-1].progress.done, states[-1].progress.seconds_left) == ("fill", 4, 0.0)
    assert states[-1].frames_done == 4


def test_watching_a_job_that_has_ended_answers_once(served, plate):
    submit = make_submit(plate)
    served.upload(submit)
    served.reaches(submit.id, "done")
    assert served.control.ask(Watch(submit.id)).status.state == "done"


# --- failing ------------------------------------------------------------------------------------


def test_a_failure_of_the_engine_becomes_the_error_of_the_job(served, plate):
    submit = make_submit(plate, fail=["out_of_memory", "the clip is too large; use a smaller canvas"])
    served.upload(submit)
    error = served.reaches(submit.id, "failed").error
    assert (error.code, error.message) == ("out_of_memory", "the clip is too large; use a smaller canvas")


def test_a_job_without_all_its_frames_is_not_done(served, plate):
    submit = make_submit(plate, lose=1002)
    served.upload(submit)
    status = served.reaches(submit.id, "failed")
    assert status.error.code == "internal" and "1002" in status.error.message


def test_a_frame_outside_the_attempts_folder_is_not_published(served, plate, tmp_path):
    submit = make_submit(plate, stray=str(tmp_path / "stray.exr"))
    served.upload(submit)
    assert "outside its folder" in served.reaches(submit.id, "failed").error.message
    assert served.result_of(submit.id).frames == ()


def test_a_lost_worker_costs_an_attempt_and_no_finished_frame(served, plate):
    submit = make_submit(plate, die_at=1003)
    served.upload(submit)
    status = served.reaches(submit.id, "done")
    assert status.attempt == 2
    result = served.result_of(submit.id)
    assert result.report == {"made": 2, "attempt": 2}
    assert [Path(frame.path).parent.name for frame in result.frames] == ["attempt-1"] * 2 + ["attempt-2"] * 2


def test_a_job_that_loses_every_worker_fails_with_the_tail_of_its_log(served, plate):
    submit = make_submit(plate, die_at=1001, deaths=99, say="cannot allocate the moon")
    served.upload(submit)
    status = served.reaches(submit.id, "failed")
    assert status.error.code == "worker_lost" and status.attempt == 3
    assert "cannot allocate the moon" in status.error.message
    following = make_submit(plate)
    served.upload(following)
    served.reaches(following.id, "done")


def test_a_worker_that_cannot_start_fails_the_job_with_its_last_output(tmp_path, plate):
    broken = settings(tmp_path, worker_command=("/bin/sh", "-c", "echo no such library >&2; exit 3"))
    with running(broken), Client.of(broken) as client:
        submit = make_submit(plate)
        client.upload(submit)
        error = client.reaches(submit.id, "failed").error
        assert error.code == "worker_lost" and "exit code 3: no such library" in error.message


def test_a_worker_that_talks_nonsense_is_ended(tmp_path, plate):
    broken = settings(tmp_path, worker_command=("/bin/sh", "-c", "echo this is no message at all; exec sleep 60"))
    with running(broken), Client.of(broken) as client:
        submit = make_submit(plate)
        client.upload(submit)
        assert "not a message" in client.reaches(submit.id, "failed").error.message


def test_a_worker_without_progress_is_killed_and_its_job_tried_again(tmp_path, plate):
    hasty = settings(tmp_path, hang_s=0.5)
    with running(hasty), Client.of(hasty) as client:
        gate = tmp_path / "gate"
        submit = make_submit(plate, gate=str(gate), gate_at=1003)
        client.upload(submit)
        eventually(lambda: client.status(submit.id).attempt == 2)
        gate.touch()
        assert client.reaches(submit.id, "done").frames_done == 4


# --- cancelling ---------------------------------------------------------------------------------


def test_a_receiving_job_is_cancelled_at_once(served, plate):
    submit = make_submit(plate)
    served.submit(submit)
    assert served.cancel(submit.id).state == "cancelled"
    with pytest.raises(Refused, match="no submitted job lacks"):
        served.put(Path(submit.inputs[0].path).read_bytes())


def test_a_queued_job_is_cancelled_at_once(served, plate, tmp_path):
    gate = tmp_path / "gate"
    running_one, queued = make_submit(plate, gate=str(gate)), make_submit(plate)
    served.upload(running_one)
    served.reaches(running_one.id, "running")
    served.submit(queued)
    assert served.cancel(queued.id).state == "cancelled"
    gate.touch()
    served.reaches(running_one.id, "done")
    assert served.status(queued.id).attempt == 0


def test_cancel_while_running_is_immediate_and_the_worker_stays(served, plate, tmp_path):
    submit = make_submit(plate, gate=str(tmp_path / "never"), gate_at=1003)
    served.upload(submit)
    eventually(lambda: served.status(submit.id).frames_done == 2)
    assert served.cancel(submit.id).state == "cancelled"
    following = make_submit(plate)
    served.submit(following)
    served.reaches(following.id, "done")
    assert served.status(submit.id).state == "cancelled" and served.status(submit.id).frames_done == 2


def test_a_worker_that_ignores_a_cancel_is_ended(served, plate, tmp_path):
    submit = make_submit(plate, gate=str(tmp_path / "never"), stubborn=True)
    served.upload(submit)
    served.reaches(submit.id, "running")
    assert served.cancel(submit.id).state == "cancelled"
    following = make_submit(plate)
    served.submit(following)
    assert served.reaches(following.id, "done").attempt == 1


def test_cancel_of_a_job_that_is_done_leaves_it(served, plate):
    submit = make_submit(plate)
    served.upload(submit)
    served.reaches(submit.id, "done")
    assert served.cancel(submit.id).state == "done"


def test_a_cancel_behind_its_submission_is_not_lost(served, plate):
    submit = make_submit(plate, "path")
    first, second = served.control.send(submit), served.control.send(Cancel(submit.id))
    with suppress(Cancelled):  # where its files were not looked at yet
        served.control.answer(first)
    assert served.control.answer(second).message.status.state == "cancelled"


# --- the device, and what is given back ---------------------------------------------------------


def test_the_next_job_starts_while_the_last_one_is_encoded(served, plate, tmp_path):
    gate = tmp_path / "gate"
    first, second = make_submit(plate, end_gate=str(gate)), make_submit(plate)
    served.upload(first)
    served.submit(second)
    served.reaches(second.id, "done")
    assert served.status(first.id).state == "running"
    gate.touch()
    served.reaches(first.id, "done")


def test_two_workers_run_two_jobs(tmp_path, plate):
    wide = settings(tmp_path, workers=2)
    with running(wide), Client.of(wide) as client:
        gates = [tmp_path / "a", tmp_path / "b"]
        jobs = [make_submit(plate, gate=str(gate)) for gate in gates]
        for submit in jobs:
            client.upload(submit)
        for submit in jobs:
            client.reaches(submit.id, "running")
        for gate in gates:
            gate.touch()
        for submit in jobs:
            client.reaches(submit.id, "done")


def test_higher_priority_goes_first(served, plate, tmp_path):
    gate = tmp_path / "gate"
    first = make_submit(plate, gate=str(gate))
    served.upload(first)
    served.reaches(first.id, "running")
    low, high = make_submit(plate, priority=10), make_submit(plate, priority=90, gate=str(tmp_path / "second"))
    served.submit(low)
    served.submit(high)
    gate.touch()
    served.reaches(high.id, "running")
    assert served.status(low.id).state == "queued"
    (tmp_path / "second").touch()
    served.reaches(low.id, "done")


def test_free_ends_idle_workers_and_the_next_job_starts_one(served, plate):
    submit = make_submit(plate)
    served.upload(submit)
    served.reaches(submit.id, "done")
    assert eventually(lambda: served.control.ask(Free())) == Freed(1)
    assert served.control.ask(Free()) == Freed(0)
    following = make_submit(plate)
    served.submit(following)
    served.reaches(following.id, "done")


def test_scratch_of_a_job_goes_with_its_end(served, plate, tmp_path):
    submit = make_submit(plate)
    served.upload(submit)
    served.reaches(submit.id, "done")
    eventually(lambda: not (tmp_path / "spool" / "jobs" / submit.id / "scratch").exists())


def test_an_autostarted_server_leaves_when_idle(tmp_path):
    brief = settings(tmp_path, autostarted=True, idle_exit_s=0.2)
    with ServerProcess(brief) as server:
        assert server.process.wait(20) == 0
        assert server.connection() is None


def test_an_autostarted_server_starts_workers_for_jobs_and_ends_them_when_idle(tmp_path, plate):
    brief = settings(tmp_path, autostarted=True, idle_free_s=0.2)
    with ServerProcess(brief) as server, Client.of(brief) as client:
        submit = make_submit(plate)
        client.upload(submit)
        client.reaches(submit.id, "done")
        eventually(lambda: "releasing the workers' memory" in server.log_path.read_text())
        eventually(lambda: "worker-0 has ended with exit code 0" in server.log_path.read_text())


def test_ended_and_fetched_jobs_make_room(tmp_path, plate):
    small = settings(tmp_path, spool_limit_bytes=40_000)
    with running(small), Client.of(small) as client:
        first = make_submit(plate)
        client.upload(first)
        client.reaches(first.id, "done")
        client.control.ask(Fetched(first.id))
        other = make_submit(make_plate(tmp_path / "other", "1001-1004", size=8_000))
        client.upload(other)
        client.reaches(other.id, "done")
        with pytest.raises(UnknownJob):
            client.status(first.id)


def test_an_unfetched_result_is_kept_and_the_new_job_refused(tmp_path, plate):
    small = settings(tmp_path, spool_limit_bytes=40_000)
    with running(small), Client.of(small) as client:
        first = make_submit(plate)
        client.upload(first)
        client.reaches(first.id, "done")
        with pytest.raises(Exception, match="fetch them") as caught:
            client.submit(make_submit(make_plate(tmp_path / "other", "1001-1004", size=8_000)))
        assert caught.value.code == "disk_full"
        assert client.status(first.id).state == "done"


# --- paths --------------------------------------------------------------------------------------


def test_a_path_outside_the_roots_is_refused(tmp_path, plate):
    strict = settings(tmp_path, roots=(str(tmp_path / "shots"),))
    with running(strict), Client.of(strict) as client, pytest.raises(Refused, match="outside the folders"):
        client.submit(make_submit(plate, "path"))


def test_a_link_does_not_lead_out_of_the_roots(tmp_path, plate):
    inside = tmp_path / "shots"
    inside.mkdir()
    (inside / "linked").symlink_to(tmp_path / "plates")
    strict = settings(tmp_path, roots=(str(inside),))
    with running(strict), Client.of(strict) as client, pytest.raises(Refused, match="outside the folders"):
        client.submit(make_submit(str(inside / "linked" / "plate.####.exr"), "path"))


def test_paths_of_another_platform_are_mapped(tmp_path, plate):
    mapped = settings(tmp_path, path_map=(f"P:\\={tmp_path}",))
    with running(mapped), Client.of(mapped) as client:
        submit = make_submit(plate, "path")
        foreign = "P:\\plates\\plate.####.exr"
        inputs = tuple(
            InputFile(foreign.replace("####", str(frame)), item.size, mtime_ns=item.mtime_ns)
            for frame, item in zip(submit.job.frames, submit.inputs)
        )
        client.submit(Submit(submit.id, submit.job.replace(plate=foreign), inputs, "path"))
        client.reaches(submit.id, "done")


def test_a_file_that_changed_before_the_job_was_submitted_is_refused(served, plate):
    submit = make_submit(plate, "path")
    Path(submit.inputs[1].path).write_bytes(b"rendered again")
    with pytest.raises(Exception, match="has changed") as caught:
        served.submit(submit)
    assert caught.value.code == "input"


def test_a_file_that_changes_while_the_job_runs_fails_it(served, plate, tmp_path):
    gate = tmp_path / "gate"
    submit = make_submit(plate, "path", gate=str(gate), gate_at=1004)
    served.upload(submit)
    eventually(lambda: served.status(submit.id).frames_done == 3)
    os.utime(submit.inputs[0].path, ns=(1, 1))
    gate.touch()
    error = served.reaches(submit.id, "failed").error
    assert error.code == "input" and submit.inputs[0].path in error.message


def test_control_answers_while_a_client_uploads(served, plate):
    submit = make_submit(make_plate(Path(plate).parent / "large", "1", size=12_000_000), frames="1")
    served.submit(submit)
    answers = []

    data = Path(submit.inputs[0].path).read_bytes()
    for offset in range(0, len(data), served.data.welcome.part_bytes):
        number = served.data.send(
            Put(submit.inputs[0].digest, len(data), offset), data[offset : offset + served.data.welcome.part_bytes]
        )
        answers.append(number)
        assert served.status(submit.id).id == submit.id
    assert served.data.answer(answers[-1]).message.stored


def test_a_first_signal_ends_a_server_in_order(tmp_path):
    with ServerProcess(settings(tmp_path)) as server:
        assert server.terminate() == 0
        assert server.connection() is None


def test_a_second_signal_ends_it_now(tmp_path, plate):
    stuck = settings(tmp_path, worker_command=("/bin/sh", "-c", "exec sleep 300"))
    with ServerProcess(stuck) as server:
        server.process.send_signal(signal.SIGINT)
        eventually(lambda: "stopping (SIGINT)" in server.log_path.read_text())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 128 + signal.SIGTERM
