"""The controller of the hosts against real servers with scripted workers."""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import threading
import time

import pytest

from host_plugins.control.controller import Controller, FarmHandover, handed_over_state
from host_plugins.control.job_follower import FarmJobStatus
from host_plugins.control.request import Order
from host_plugins.control.settings import Settings
from host_plugins.control.state import ENDED, JobState
from tests.support.client_jobs import FRAMES, expected, make_job
from tests.support.live_server import ServerProcess, eventually, running, settings
from void_bridge.errors import Refused
from void_bridge.job import JobFile

DEADLINE_S = 60.0


class MainThread:
    """Stands for a host's main thread: the test's own, which runs what is posted to it."""

    def __init__(self) -> None:
        self._posted: queue.Queue = queue.Queue()
        self.states: dict[str, list[JobState]] = {}
        self.thread = threading.current_thread()

    def post(self, call) -> None:
        assert threading.current_thread() is not self.thread, "posted from the main thread itself"
        self._posted.put(call)

    def show(self, state: JobState) -> None:
        assert threading.current_thread() is self.thread
        self.states.setdefault(state.id, []).append(state)

    def last(self, id: str) -> JobState:
        return self.states.get(id, [JobState()])[-1]

    def until(self, condition) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, self.states
            try:
                self._posted.get(timeout=0.05)()
            except queue.Empty:
                continue

    def until_phase(self, id: str, *phases: str) -> JobState:
        self.until(lambda: self.last(id).phase in phases or self.last(id).phase in ENDED)
        assert self.last(id).phase in phases, self.last(id)
        return self.last(id)


@pytest.fixture
def main(tmp_path, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("VOID_BRIDGE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "false")
    return MainThread()


@pytest.fixture
def controller(main):
    controller = Controller(main.post, main.show)
    yield controller
    controller.stop()
    for id in controller.followed_ids():  # which would read their configuration in the next test's environment
        controller.wait(id, 1.0)


@pytest.fixture
def server(tmp_path):
    with running(settings(tmp_path)):
        yield


def test_a_submitted_job_delivers_its_frames(tmp_path, server, main, controller):
    job = make_job(tmp_path)
    order = Order(job, Settings())
    first = controller.submit(order)
    assert (first.id, first.phase, first.frames, first.output) == (order.id, "sending", "1001-1004", job.output)
    last = main.until_phase(order.id, "done")
    assert last.ready == "1001-1004" and last.line.startswith("4 frames in ")
    for frame in FRAMES:
        assert (tmp_path / "out" / f"clean.{frame}.exr").read_bytes() == expected(job, frame)


def test_frames_are_reported_as_they_are_written(tmp_path, server, main, controller):
    gate = tmp_path / "gate"
    order = Order(make_job(tmp_path, gate=str(gate), gate_at=1003), Settings())
    controller.submit(order)
    main.until(lambda: main.last(order.id).ready == "1001-1002")
    assert main.last(order.id).phase == "running"
    gate.touch()
    main.until_phase(order.id, "done")


def test_no_call_waits_for_a_server_that_does_not_answer(tmp_path, main, controller):
    with ServerProcess(settings(tmp_path)) as server:
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            order = Order(make_job(tmp_path), Settings())
            state = controller.submit(order)
            controller.cancel(state, Settings(), lambda line: None)
            controller.free(Settings(), lambda line: None)
            controller.follow(dataclasses.replace(state, id="other"), Settings())
            assert state.phase == "sending" and controller.is_following(order.id)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        main.until(lambda: main.last(order.id).phase in ENDED)


def test_a_cancelled_job_ends(tmp_path, server, main, controller):
    order = Order(make_job(tmp_path, gate=str(tmp_path / "never"), gate_at=1003), Settings())
    state = controller.submit(order)
    main.until(lambda: main.last(order.id).ready == "1001-1002")
    lines = []
    controller.cancel(state, Settings(), lines.append)
    last = main.until_phase(order.id, "cancelled")
    assert last.ready == "1001-1002"
    main.until(lambda: lines)


def test_a_failed_job_says_why(tmp_path, server, main, controller):
    order = Order(make_job(tmp_path, fail=["out_of_memory", "too large"]), Settings())
    controller.submit(order)
    assert main.until_phase(order.id, "failed").line == "The GPU has too little memory; try a smaller canvas: too large"


def test_a_missing_input_fails_the_job_and_removes_its_version(tmp_path, server, main, controller):
    job = make_job(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "plate" / "plate.1003.exr").unlink()
    order = Order(job, Settings())
    controller.submit(order)
    assert "missing 1003" in main.until_phase(order.id, "failed").line
    assert not (tmp_path / "out").exists()


def test_a_missing_server_is_reported(tmp_path, main, controller):
    order = Order(make_job(tmp_path), Settings())
    controller.submit(order)
    assert main.until_phase(order.id, "failed").line.startswith("No server answers")


def test_a_server_of_another_version_is_reported(tmp_path, server, main, controller, monkeypatch):
    monkeypatch.setattr("void_bridge.client.channel.PROTOCOL_VERSION", "9.0")
    order = Order(make_job(tmp_path), Settings())
    controller.submit(order)
    line = main.until_phase(order.id, "failed").line
    assert line.startswith("The server is of another version") and "on both sides" in line


def test_another_session_follows_a_job(tmp_path, server, main, controller):
    gate = tmp_path / "gate"
    order = Order(make_job(tmp_path, gate=str(gate), gate_at=1003), Settings())
    controller.submit(order)
    main.until(lambda: main.last(order.id).ready == "1001-1002")
    remembered = JobState.from_text(main.last(order.id).to_text())
    controller.stop()
    gate.touch()
    later = MainThread()
    Controller(later.post, later.show).follow(remembered, Settings())
    assert later.until_phase(order.id, "done").ready == "1001-1004"


def test_a_job_continues_after_its_server_restarts(tmp_path, main, controller):
    gate = tmp_path / "gate"
    with ServerProcess(settings(tmp_path)) as server:
        order = Order(make_job(tmp_path, gate=str(gate), gate_at=1003), Settings())
        controller.submit(order)
        main.until(lambda: main.last(order.id).ready == "1001-1002")
        server.kill()
        gate.touch()
        with ServerProcess(settings(tmp_path)):
            main.until_phase(order.id, "done")
    assert any("trying again" in state.line for state in main.states[order.id])


def test_jobs_for_the_farm_are_written_handed_over_together_and_waited_for(tmp_path, main):
    given = []

    def to_farm(files):
        given.append([JobFile.read(file) for file in files])
        return FarmHandover("deadline-cloud job-7")

    status = {"line": "1 of 2 tasks done"}
    controller = Controller(main.post, main.show, farm_status=lambda folder: FarmJobStatus("", status["line"]))
    jobs = [make_job(tmp_path).replace(output=str(tmp_path / name / "clean.####.exr")) for name in ("out", "other")]
    orders = [Order(job, Settings(where="farm")) for job in jobs]
    states = controller.submit_to_farm(orders, to_farm)
    assert states == tuple(handed_over_state(order) for order in orders)
    main.until(lambda: all(main.last(order.id).line.endswith("1 of 2 tasks done") for order in orders))
    assert given == [[JobFile(job) for job in jobs]]
    assert main.last(orders[0].id).farm == "deadline-cloud job-7"
    for frame in FRAMES:
        (tmp_path / "out" / f"clean.{frame}.exr").touch()
    done = main.until_phase(orders[0].id, "done")
    assert (done.ready, done.farm) == ("1001-1004", "deadline-cloud job-7")
    assert main.last(orders[1].id).phase == "handed_over"
    status["line"] = "1 of 2 tasks done, 1 failed: 1003-1004 on farm07: no server answers"
    main.until(lambda: "farm07: no server answers" in main.last(orders[1].id).line)
    assert main.last(orders[1].id).phase == "handed_over", "a farm may try again"
    controller.stop()
    controller.wait(orders[1].id, 5.0)


def test_a_refusal_of_the_farm_fails_every_job_and_keeps_its_files(tmp_path, main, controller):
    def to_farm(files):
        raise Refused("queue gpu is closed")

    jobs = [make_job(tmp_path).replace(output=str(tmp_path / name / "clean.####.exr")) for name in ("out", "other")]
    orders = [Order(job, Settings(where="farm")) for job in jobs]
    controller.submit_to_farm(orders, to_farm)
    for order in orders:
        state = main.until_phase(order.id, "failed")
        assert (state.line, state.farm) == ("The server refuses: queue gpu is closed", "")
    assert (tmp_path / "out" / "job.json").is_file() and (tmp_path / "other" / "job.json").is_file()


def test_a_canvas_in_the_old_order_is_reported_from_the_start(tmp_path, main, controller):
    order = Order(make_job(tmp_path), Settings(where="farm", job={"canvas": "384x672"}))
    (state,) = controller.submit_to_farm([order], lambda files: FarmHandover("openjd 1"))
    main.until(lambda: main.last(order.id).farm)
    note = "canvas: read 384x672 in the old order, height x width; write 672x384, or 384wx672h for a portrait"
    assert state.report == main.last(order.id).report == (note,)
    controller.cancel(state, order.settings, lambda line: None)
    main.until(lambda: not controller.is_following(order.id))


def test_an_unexpected_error_fails_the_job_with_its_name(tmp_path, main, controller):
    order = Order(make_job(tmp_path), Settings(where="farm"))
    controller.submit_to_farm([order], lambda files: {}["x"])
    assert main.until_phase(order.id, "failed").line.startswith("Unexpected error: KeyError")


def test_a_job_whose_server_does_not_answer_is_lost(tmp_path, main, controller):
    state = JobState("0123", "running", output=str(tmp_path / "out" / "clean.####.exr"), frames="1001-1004")
    controller.follow(state, Settings())
    assert main.until_phase(state.id, "lost").line.endswith("The job may still run there: press Reload to check again")


def test_a_site_may_move_the_output_of_a_job_for_the_farm(tmp_path, main, controller):
    moved = str(tmp_path / "site" / "clean.####.exr")
    order = Order(make_job(tmp_path), Settings(where="farm"))
    controller.submit_to_farm([order], lambda files: FarmHandover("openjd 1", (moved,)))
    main.until(lambda: main.last(order.id).output == moved)
    (tmp_path / "site").mkdir()
    for frame in FRAMES:
        (tmp_path / "site" / f"clean.{frame}.exr").touch()
    main.until_phase(order.id, "done")


def test_a_job_for_the_farm_is_no_longer_waited_for_when_it_is_cancelled(tmp_path, main, controller):
    order = Order(make_job(tmp_path), Settings(where="farm"))
    (state,) = controller.submit_to_farm([order], lambda files: FarmHandover("opencue 5"))
    main.until(lambda: main.last(order.id).farm)
    controller.cancel(state, order.settings, lambda line: None)
    assert main.until_phase(order.id, "cancelled").line == "no longer following the job; stop it at the farm: opencue 5"
    main.until(lambda: not controller.is_following(order.id))


def test_a_job_is_cancelled_while_it_is_handed_over(tmp_path, main, controller):
    """Check the message: the farm gets the job all the same, so its id there is named."""
    gate = threading.Event()

    def to_farm(files):
        assert gate.wait(DEADLINE_S)
        return FarmHandover("openjd 1")

    order = Order(make_job(tmp_path), Settings(where="farm"))
    (state,) = controller.submit_to_farm([order], to_farm)
    controller.cancel(state, order.settings, lambda line: None)
    gate.set()
    assert main.until_phase(order.id, "cancelled").line == "no longer following the job; stop it at the farm: openjd 1"


def test_a_farm_job_that_is_cancelled_as_the_waiting_begins_stays_cancelled(tmp_path, main):
    """Cancel while a state is on its way, on a thread that takes over from the one that submitted."""
    asked, cancelled = threading.Event(), threading.Event()

    def farm_status(folder):
        asked.set()
        cancelled.wait(DEADLINE_S)
        return FarmJobStatus("openjd 1", "0 of 2 tasks done")

    class SlowToChangeHands(dict):
        def __setitem__(self, id, thread):
            asked.wait(DEADLINE_S)
            cancelled.wait(0.5)
            super().__setitem__(id, thread)

    controller = Controller(main.post, main.show, farm_status=farm_status)
    controller._threads = SlowToChangeHands()
    order = Order(make_job(tmp_path), Settings(where="farm"))
    (state,) = controller.submit_to_farm([order], lambda files: FarmHandover("openjd 1"))
    main.until(asked.is_set)
    controller.cancel(state, order.settings, lambda line: None)
    time.sleep(1.0)
    cancelled.set()
    main.until_phase(order.id, "cancelled")
    main.until(lambda: not controller.is_following(order.id))
    assert main.last(order.id).phase == "cancelled"


def test_a_session_that_ended_before_the_farm_answered_reads_the_status_from_disk(tmp_path, main):
    folder = tmp_path / "out"
    folder.mkdir()
    asked = []

    def farm_status(where):
        asked.append(where)
        return FarmJobStatus("deadline-cloud job-9", "0 of 2 tasks done") if len(asked) > 1 else FarmJobStatus()

    order = Order(make_job(tmp_path), Settings(where="farm"))
    remembered = JobState.from_text(handed_over_state(order).to_text())
    later = Controller(main.post, main.show, farm_status=farm_status)
    later.follow(remembered, order.settings)
    main.until(lambda: main.last(order.id).farm)
    first, last = main.states[order.id][0], main.last(order.id)
    assert (
        first.line == f"not submitted to a farm yet; a wrangler can run void-bridge farm submit {folder / 'job.json'}"
    )
    assert (last.farm, last.line) == ("deadline-cloud job-9", "deadline-cloud job-9: 0 of 2 tasks done")
    assert set(asked) == {folder}
    for frame in FRAMES:
        (folder / f"clean.{frame}.exr").touch()
    done = main.until_phase(order.id, "done")
    later.follow(done, order.settings)
    assert later.wait(order.id, DEADLINE_S) and main.last(order.id).phase == "done", "Reload asks no server about it"


def test_a_job_whose_node_is_gone_is_found_again(tmp_path, server, main, controller):
    order = Order(make_job(tmp_path), Settings())
    controller.submit(order)
    main.until_phase(order.id, "done")
    listed, found = [], []
    controller.jobs(Settings(), lambda jobs, words: listed.append((jobs, words)))
    main.until(lambda: listed)
    assert [status.id for status in listed[0][0]] == [order.id] and listed[0][1] == ""
    controller.find(order.id, Settings(), lambda *both: found.append(both), lambda line: None)
    main.until(lambda: found)
    state, job = found[0]
    assert (state.output, state.frames, job) == (order.job.output, "1001-1004", order.job)


def test_questions_to_the_server_are_answered(tmp_path, server, main, controller):
    lines = []
    controller.check(Settings(), lines.append)
    main.until(lambda: len(lines) == 1)
    controller.free(Settings(), lines.append)
    main.until(lambda: len(lines) == 2)
    assert "scripted" in lines[0] and lines[1].endswith("release their GPU memory")


def test_only_the_latest_of_many_states_is_delivered(tmp_path, main):
    controller = Controller(main.post, main.show)

    def flood() -> None:
        for number in range(1000):
            controller._publish(JobState("a", "running", str(number)))

    thread = threading.Thread(target=flood)
    thread.start()
    thread.join()
    main.until(lambda: main.states)
    assert [state.line for state in main.states["a"]] == ["999"]
    assert eventually(lambda: main._posted.empty())
