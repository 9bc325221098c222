"""The Python API through a real server: remove, submit, watch, fetch, cancel, and the errors of jobs."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

import void_bridge
from tests.support.client_jobs import config_for
from tests.support.live_server import eventually, running, settings
from tests.support.shots import write_matte, write_plate
from void_bridge import RemovalProgress
from void_bridge.cli.main import main
from void_bridge.client.launch import child_environment
from void_bridge.errors import Cancelled, MissingFrames, NoServer, OutputError, UnknownJob, UsageError
from void_bridge.job import JobFile

FRAMES = range(1001, 1005)


@pytest.fixture
def server(tmp_path):
    with running(settings(tmp_path)):
        yield config_for(tmp_path)


@pytest.fixture
def shot(tmp_path, monkeypatch):
    """Return the arguments of `remove` for a small shot."""
    monkeypatch.delenv("OCIO", raising=False)
    plate = write_plate(tmp_path / "plate", FRAMES, shape=(8, 8))
    roto = write_matte(tmp_path / "roto", FRAMES, np.ones((8, 8), np.float16))
    return {"plate": plate, "output": tmp_path / "out" / "clean.####.exr", "remove": f"{roto}:A"}


def script(**what):
    return json.dumps(what)


def state_of(tmp_path, config):
    return void_bridge.status(tmp_path / "out" / "job.json", config=config).state


def test_remove_returns_the_frames_and_the_report(tmp_path, server, shot):
    steps, written = [], []
    result = void_bridge.remove(
        **shot,
        config=server,
        transport="inline",
        on_progress=steps.append,
        on_frame=lambda frame, path: written.append((frame, path)),
    )
    assert (result.state, str(result.frames), result.engine) == ("done", "1001-1004", "auto")
    assert result.paths == tuple(tmp_path / "out" / f"clean.{frame}.exr" for frame in FRAMES)
    assert result.output == str(tmp_path / "out" / "clean.####.exr")
    assert sorted(written) == list(zip(FRAMES, result.paths))
    assert all(path.is_file() for path in result.paths)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {**report, **result.report} == report and report["job"] == result.id
    stages = [step.stage for step in steps]
    assert stages[0] == "hash" and "send" in stages and stages[-1] == "done"
    assert steps[-1] == RemovalProgress("done", 0, 0, 4, 4)
    assert {step.frames for step in steps} == {4}


def test_the_job_file_is_that_of_the_command_line(tmp_path, server, shot, monkeypatch, capsys):
    for name, value in child_environment(server).items():
        monkeypatch.setenv(name, value)
    void_bridge.remove(**shot, frames=range(1001, 1004), handles=1, feather=2)
    by_python = JobFile.read(tmp_path / "out" / "job.json").job
    words = ["remove", str(shot["plate"]), "-o", str(tmp_path / "cli" / "clean.####.exr"), "--remove", shot["remove"]]
    assert main([*words, "--frames", "1001-1003", "--handles", "1", "--feather", "2"]) == 0
    by_command_line = JobFile.read(tmp_path / "cli" / "job.json").job
    assert by_command_line == by_python.replace(output=by_command_line.output)


def test_a_job_is_submitted_watched_and_fetched(tmp_path, server, shot):
    gate = tmp_path / "gate"
    status = void_bridge.submit(**shot, config=server, prompt=script(gate=str(gate), gate_at=1002), priority=70)
    assert (status.frames, status.priority) == (4, 70)
    eventually(lambda: void_bridge.status(status, config=server).frames_done == 1)
    early = void_bridge.fetch(status.id, tmp_path / "early", wait=False, config=server)
    assert (early.state, str(early.frames), early.report, early.warnings) == ("running", "1001", {}, ())
    assert early.paths == (tmp_path / "early" / "clean.1001.exr",)
    watching = void_bridge.watch(status, config=server)
    assert next(watching).state == "running"
    watching.close()
    gate.touch()
    *_, last = void_bridge.watch(tmp_path / "out", config=server)
    assert last.state == "done"
    result = void_bridge.fetch(tmp_path / "out" / "job.json", config=server)
    assert str(result.frames) == "1001-1004" and all(path.is_file() for path in result.paths)
    assert [job.id for job in void_bridge.jobs(config=server)] == [status.id]


def test_submitting_the_same_again_continues_it(server, shot):
    first = void_bridge.submit(**shot, config=server)
    assert void_bridge.submit(**shot, config=server).id == first.id
    with pytest.raises(OutputError, match="with other settings"):
        void_bridge.submit(**shot, seed=1, config=server)
    void_bridge.fetch(first, config=server)
    assert void_bridge.submit(**shot, seed=1, overwrite=True, config=server).id != first.id


class CallbackError(Exception):
    pass


@pytest.mark.parametrize("error", [CallbackError, KeyboardInterrupt, Cancelled])
def test_an_exception_in_on_progress_cancels_the_job(tmp_path, server, shot, error):
    def stop(progress: RemovalProgress) -> None:
        if progress.frames_done == 1:
            raise error("enough")

    with pytest.raises(error, match="enough"):
        gate = str(tmp_path / "never")
        void_bridge.remove(**shot, config=server, prompt=script(gate=gate, gate_at=1002), on_progress=stop)
    assert state_of(tmp_path, server) == "cancelled"


def test_an_exception_while_files_are_sent_cancels_the_job(tmp_path, server, shot):
    def stop(progress: RemovalProgress) -> None:
        if progress.stage == "send":
            raise CallbackError

    with pytest.raises(CallbackError):
        void_bridge.remove(**shot, config=server, transport="inline", on_progress=stop)
    assert state_of(tmp_path, server) == "cancelled"


def test_an_exception_in_on_frame_cancels_the_job(tmp_path, server, shot):
    gate = tmp_path / "gate"

    def stop(frame, path):
        gate.touch()
        raise CallbackError

    with pytest.raises(CallbackError):
        void_bridge.remove(**shot, config=server, prompt=script(gate=str(gate), gate_at=1002), on_frame=stop)
    assert state_of(tmp_path, server) in ("cancelled", "done")


def test_an_interrupted_fetch_leaves_the_job_alone(tmp_path, server, shot):
    def stop(progress: RemovalProgress) -> None:
        raise KeyboardInterrupt

    gate = tmp_path / "gate"
    status = void_bridge.submit(**shot, config=server, prompt=script(gate=str(gate)))
    with pytest.raises(KeyboardInterrupt):
        void_bridge.fetch(status, config=server, on_progress=stop)
    gate.touch()
    assert void_bridge.fetch(status, config=server).state == "done"


def test_a_frame_that_cannot_be_written_leaves_the_job_alone(tmp_path, server, shot):
    other = tmp_path / "out" / "clean.1003.exr"

    def hinder(frame, path):
        if frame == 1001:
            other.write_bytes(b"of another job")
            gate.touch()

    gate = tmp_path / "gate"
    with pytest.raises(OutputError, match=r"clean\.1003\.exr is not frame 1003 of job"):
        void_bridge.remove(**shot, config=server, prompt=script(gate=str(gate), gate_at=1002), on_frame=hinder)
    *_, last = void_bridge.watch(tmp_path / "out" / "job.json", config=server)
    assert last.state == "done"
    other.unlink()
    assert len(void_bridge.fetch(last, config=server).paths) == 4


def test_a_cancelled_job_raises_cancelled(tmp_path, server, shot):
    status = void_bridge.submit(**shot, config=server, prompt=script(gate=str(tmp_path / "never")))
    canceller = threading.Timer(0, void_bridge.cancel, (status.id,), {"config": server})
    canceller.start()
    with pytest.raises(Cancelled, match=f"job {status.id} was cancelled"):
        void_bridge.fetch(status, config=server)
    canceller.join()
    assert void_bridge.cancel(status, config=server).state == "cancelled"


def test_a_failed_job_raises_its_own_error(tmp_path, server, shot):
    prompt = script(fail=["missing_frames", "1003 is gone"])
    with pytest.raises(MissingFrames, match="1003 is gone"):
        void_bridge.remove(**shot, config=server, prompt=prompt)
    with pytest.raises(MissingFrames, match="1003 is gone"):
        void_bridge.fetch(tmp_path / "out" / "job.json", config=server)
    *_, last = void_bridge.watch(tmp_path / "out" / "job.json", config=server)
    assert (last.state, last.error.code) == ("failed", "missing_frames")


def test_errors_of_the_server_are_raised(tmp_path, server):
    for ask in (void_bridge.status, void_bridge.cancel, void_bridge.fetch):
        with pytest.raises(UnknownJob):
            ask("nosuchjob", config=server)
    with pytest.raises(UnknownJob):
        next(void_bridge.watch("nosuchjob", config=server))
    with pytest.raises(NoServer):
        void_bridge.jobs(config=replace(server, runtime_dir=tmp_path / "nowhere"), autostart=False)


def test_wrong_arguments_are_reported_before_a_server_is_asked(shot):
    calls = [
        (lambda: void_bridge.remove(**shot, frames=3.5), "frames: got 3.5"),
        (lambda: void_bridge.remove(**shot, feater=1), "unknown option 'feater'; did you mean 'feather'"),
        (lambda: void_bridge.remove(**shot, prioritty=1), "unknown option 'prioritty'; did you mean 'priority'"),
        (lambda: void_bridge.remove(**shot, options={}), "unknown option 'options'"),
        (lambda: void_bridge.submit(**shot, on_frame=print), "submit takes no on_frame"),
        (lambda: void_bridge.submit(**shot, overwrite="yes"), "overwrite: got 'yes', expected True or False"),
        (lambda: void_bridge.remove(**shot, on_frame=5), "on_frame: got 5, expected a function"),
        (lambda: void_bridge.fetch("abc", wait=None), "wait: got None, expected True or False"),
        (lambda: void_bridge.watch(None), "job: got None, expected a job's id"),
        (lambda: void_bridge.jobs(limit="all"), "limit: got 'all', expected a whole number"),
        (lambda: void_bridge.status(5), "job: got 5"),
        (lambda: void_bridge.cancel(5), "job: got 5"),
    ]
    for call, message in calls:
        with pytest.raises(UsageError) as caught:
            call()
        assert message in str(caught.value) and "did you mean 'options'" not in str(caught.value)
