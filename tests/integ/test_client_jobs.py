"""The client against real servers with scripted workers."""

from __future__ import annotations

import json

import pytest

from tests.support.client_jobs import FRAMES, config_for, expected, finish, make_job
from tests.support.live_server import eventually, running, settings
from void_bridge.client import FramePreview, connect
from void_bridge.errors import OutputError, UnknownJob
from void_bridge.job import JobFile


@pytest.fixture
def server(tmp_path):
    with running(settings(tmp_path)):
        yield


@pytest.fixture
def client(server, tmp_path):
    with connect(config_for(tmp_path)) as client:
        yield client


@pytest.mark.parametrize("transport", ["inline", "path"])
def test_every_frame_is_fetched(tmp_path, server, transport):
    job = make_job(tmp_path)
    with connect(config_for(tmp_path, transport=transport)) as client:
        id = client.submit(job).id
        assert finish(client, id).state == "done"
        paths = client.fetch(id)
    assert [path.read_bytes() for path in paths] == [expected(job, frame) for frame in FRAMES]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"clean.{frame}.exr" for frame in FRAMES),
        "job.json",
        "report.json",
    }
    assert JobFile.read(tmp_path / "out" / "job.json") == JobFile(job, id)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["made"] == 4


def test_files_of_many_parts_are_complete_under_flow_control(tmp_path, server):
    with connect(config_for(tmp_path, transport="inline")) as client:
        size = client.server.part_bytes * (client.server.window + 1) + 17
        job = make_job(tmp_path, size=size)
        id = client.submit(job).id
        assert finish(client, id).state == "done"
        paths = client.fetch(id)
    assert [path.read_bytes() for path in paths] == [expected(job, frame) for frame in FRAMES]


def test_path_transport_is_used_on_a_shared_disk(tmp_path, client):
    stages = []
    client.submit(make_job(tmp_path), on_progress=lambda stage, done, total: stages.append(stage))
    assert stages == []


def test_files_outside_the_roots_are_sent(tmp_path):
    with running(settings(tmp_path, roots=(str(tmp_path / "elsewhere"),))), connect(config_for(tmp_path)) as client:
        stages = set()
        id = client.submit(make_job(tmp_path), on_progress=lambda stage, done, total: stages.add(stage)).id
        assert finish(client, id).state == "done"
        assert stages == {"hash", "send"}


def test_files_that_the_server_has_are_not_sent_again(tmp_path, client):
    client.submit(make_job(tmp_path), transport="inline")
    stages = set()
    again = make_job(tmp_path, output="other/clean.####.exr")
    client.submit(again, transport="inline", on_progress=lambda stage, done, total: stages.add(stage))
    assert stages == {"hash"}


def test_frames_are_fetched_while_the_job_runs(tmp_path, client):
    gate = tmp_path / "gate"
    job = make_job(tmp_path, gate=str(gate), gate_at=1003)
    id = client.submit(job).id
    eventually(lambda: client.status(id).frames_done == 2)
    written = []
    assert len(client.fetch(id, on_frame=lambda frame, path: written.append(frame))) == 2
    assert not (tmp_path / "out" / "report.json").exists()
    gate.touch()
    assert finish(client, id).state == "done"
    assert len(client.fetch(id, on_frame=lambda frame, path: written.append(frame))) == 4
    assert written == list(FRAMES)


def test_previews_arrive_while_a_job_runs(tmp_path, client):
    gate = tmp_path / "gate"
    id = client.submit(make_job(tmp_path, gate=str(gate), gate_at=1002, preview="picture")).id
    for event in client.watch(id, previews=True):
        if isinstance(event, FramePreview):
            assert event.png == b"picture"
            gate.touch()
    assert event.state == "done"


def test_a_failed_job_has_its_error(tmp_path, client):
    last = finish(client, client.submit(make_job(tmp_path, fail=["out_of_memory", "too large"])).id)
    assert (last.state, last.error.code, last.error.message) == ("failed", "out_of_memory", "too large")


def test_a_cancelled_job_ends_the_watch(tmp_path, client):
    id = client.submit(make_job(tmp_path, gate=str(tmp_path / "never"))).id
    states = []
    for event in client.watch(id):
        states.append(event.state)
        if event.state == "running":
            client.cancel(id)
    assert states[-1] == "cancelled"


def test_an_unknown_job_is_refused(client):
    for asking in (client.status, client.cancel, client.result, client.fetch, lambda id: next(client.watch(id))):
        with pytest.raises(UnknownJob, match="nosuchjob"):
            asking("nosuchjob")


def test_jobs_ping_and_free_answer(tmp_path, client):
    id = client.submit(make_job(tmp_path)).id
    assert [status.id for status in client.jobs()] == [id]
    assert client.ping() >= 0
    assert finish(client, id).state == "done"
    assert client.free() >= 0


# --- whose output it is ----------------------------------------------------------------------------


def test_the_same_job_again_continues(tmp_path, client):
    job = make_job(tmp_path)
    id = client.submit(job).id
    assert client.submit(job).id == id
    with connect(config_for(tmp_path)) as another:
        assert another.submit(job).id == id
    assert len(client.jobs()) == 1


def test_the_same_job_gets_a_new_id_after_it_failed(tmp_path, client):
    job = make_job(tmp_path, fail=["engine", "no"])
    id = client.submit(job).id
    assert finish(client, id).state == "failed"
    assert client.submit(job).id != id


def test_the_same_job_over_other_files_is_refused(tmp_path, client):
    job = make_job(tmp_path)
    assert finish(client, client.submit(job).id).state == "done"
    (tmp_path / "plate" / "plate.1002.exr").write_bytes(b"rendered again")
    with pytest.raises(OutputError, match=r"changed; .*--overwrite"):
        client.submit(job)
    assert finish(client, client.submit(job, overwrite=True).id).state == "done"


def test_a_folder_of_another_job_is_refused(tmp_path, client):
    job = make_job(tmp_path)
    id = client.submit(job).id
    finish(client, id)
    client.fetch(id)
    other = job.replace(seed=1)
    with pytest.raises(OutputError, match=f"holds job {id} .*--overwrite"):
        client.submit(other)
    new = client.submit(other, overwrite=True).id
    assert finish(client, new).state == "done"
    with pytest.raises(OutputError, match=f"holds job {new}"):
        client.fetch(id)


def test_a_failed_job_without_frames_releases_its_folder(tmp_path, client):
    job = make_job(tmp_path, gate=str(tmp_path / "never"))
    client.cancel(client.submit(job).id)
    assert client.submit(job.replace(prompt="")).state in ("queued", "running")


def test_frames_that_belong_to_no_job_are_kept(tmp_path, client):
    job = make_job(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clean.1002.exr").write_bytes(b"painted")
    with pytest.raises(OutputError, match=r"clean.1002.exr .*--overwrite"):
        client.submit(job)
    assert client.jobs() == ()
    id = client.submit(job, overwrite=True).id
    finish(client, id)
    with pytest.raises(OutputError, match="not frame 1002"):
        client.fetch(id)
    client.fetch(id, overwrite=True)
    assert (tmp_path / "out" / "clean.1002.exr").read_bytes() == expected(job, 1002)


def test_the_plate_is_never_an_output(tmp_path, client):
    job = make_job(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "plate")
    with pytest.raises(OutputError, match=r"plate.1001.exr is an input of the job"):
        client.submit(job.replace(output=str(tmp_path / "link" / "plate.%04d.exr")), overwrite=True)


def test_a_deleted_frame_is_fetched_again(tmp_path, client):
    job = make_job(tmp_path)
    id = client.submit(job).id
    finish(client, id)
    paths = client.fetch(id)
    paths[2].unlink()
    written = []
    client.fetch(id, on_frame=lambda frame, path: written.append(frame))
    assert written == [1003]


def test_a_result_can_be_fetched_to_another_folder(tmp_path, client):
    job = make_job(tmp_path)
    id = client.submit(job).id
    finish(client, id)
    paths = client.fetch(id, str(tmp_path / "copy" / "a.%04d.exr"))
    assert [path.name for path in paths] == [f"a.{frame}.exr" for frame in FRAMES]
    assert JobFile.read(tmp_path / "copy" / "job.json").id == id


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_submitted(tmp_path, client):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"cannot write .*file/out"):
        client.submit(make_job(tmp_path, output="file/out/clean.####.exr"))
    assert client.jobs() == ()


def test_a_refused_job_leaves_nothing_behind(tmp_path, client):
    with pytest.raises(Exception, match="unknown engine 'warp'"):
        client.submit(make_job(tmp_path).replace(engine="warp"))
    assert not (tmp_path / "out").exists()


def test_site_hooks_are_called(tmp_path, server, monkeypatch):
    (tmp_path / "site_hooks.py").write_text(
        "calls = []\n"
        "def place(job): return job.output.replace('/out/', '/v002/')\n"
        "def before(job): return job.replace(seed=7)\n"
        "def after(job, paths, report): calls.append((job.seed, len(paths), report['made']))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    hooks = {
        "resolve_output": "site_hooks:place",
        "before_submit": "site_hooks:before",
        "after_result": "site_hooks:after",
    }
    with connect(config_for(tmp_path, **hooks)) as client:
        id = client.submit(make_job(tmp_path)).id
        finish(client, id)
        assert client.fetch(id)[0] == tmp_path / "v002" / "clean.1001.exr"
    import site_hooks

    assert site_hooks.calls == [(7, 4, 4)]
