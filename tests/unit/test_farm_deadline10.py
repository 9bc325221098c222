"""The back end for Thinkbox Deadline 10: its submission files, and deadlinecommand as a fake."""

import re

import pytest

from host_plugins.farm.backends.deadline10 import Deadline10
from host_plugins.farm.options import CompRender, FarmOptions
from tests.support.farm_bundles import as_worker_reads, calls_in, fake_program, farm_bundle
from void_bridge.errors import NoServer, ServerError, UsageError
from void_bridge.frames import FrameRange

TAKEN = "Submitting to Repository: /repo\n\nResult=Success\nJobID={}\n\nThe job was submitted successfully.\n"


@pytest.fixture(autouse=True)
def no_client(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("DEADLINE_PATH", raising=False)


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Puts a fake `deadlinecommand` where DEADLINE_PATH points: answers -> the file of its calls."""
    monkeypatch.setenv("DEADLINE_PATH", str(tmp_path / "dl 10"))
    return lambda *answers: fake_program(tmp_path / "dl 10" / "deadlinecommand", list(answers))


def submit(bundle, options=None):
    return Deadline10().submit(bundle, options or FarmOptions(), lambda line: None)


def info(bundle, name):
    """Keys and values of a submission file, as .NET reads it by its byte order mark."""
    data = (bundle.folder / "deadline10" / f"{name}_info.txt").read_bytes()
    assert data[:2] == b"\xff\xfe"
    lines = data.decode("utf-16").split("\r\n")
    assert lines.pop() == ""
    return dict(line.split("=", 1) for line in lines)


def arguments(bundle, name, frame):
    """What the plug-in would run: its tokens replaced, and quotes that keep a path together."""
    text = info(bundle, name)["Arguments"].replace("<STARTFRAME>", str(frame)).replace("<QUOTE>", '"')
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', text)]


def test_the_files_number_every_task_of_every_shot(tmp_path):
    folder, options = tmp_path / "shöts of 10", FarmOptions(name="show clean", pool="gpu", priority=65, chunk=4)
    shots = {"sh010": range(1001, 1007), "sh020": range(-2, 1)}
    bundle = farm_bundle(folder, options, shots)
    submit(bundle, options)
    assert info(bundle, "frames_job") == {
        "Plugin": "CommandLine",
        "Name": "show clean - frames",
        "BatchName": "show clean",
        "Pool": "gpu",
        "Priority": "65",
        "Frames": "0-2",
        "ChunkSize": "1",
        "ConcurrentTasks": "1",
        "OutputDirectory0": str(folder / "in sh010" / "clean"),
        "OutputDirectory1": str(folder / "in sh020" / "clean"),
    }
    plugin = info(bundle, "frames_plugin")
    assert (plugin["Executable"], plugin["ShellExecute"]) == ("void-bridge", "False")
    assert f"--bundle <QUOTE>{bundle.folder}<QUOTE> --task <STARTFRAME>" in plugin["Arguments"]
    command = ["farm", "task", "--own-session", "--bundle", str(bundle.folder), "--task", "2", "--lines", "deadline10"]
    assert arguments(bundle, "frames_plugin", 2) == command
    assert bundle.tasks()[2] == ("sh020", "-2-0")


def test_the_check_is_one_task_over_every_shot(tmp_path):
    bundle = farm_bundle(tmp_path, shots={"sh010": range(3), "sh020": range(2)})
    submit(bundle)
    assert info(bundle, "check_job")["Frames"] == "0" and "JobDependencies" not in info(bundle, "check_job")
    command = ["farm", "check", "--bundle", str(bundle.folder), "--lines", "deadline10"]
    assert arguments(bundle, "check_plugin", 0) == command


def test_the_worker_commands_understand_what_the_plugin_runs(tmp_path):
    bundle = farm_bundle(tmp_path / "a b")
    submit(bundle)
    for name in ("frames_plugin", "check_plugin"):
        parsed = as_worker_reads(arguments(bundle, name, 0))
        assert parsed.bundle == bundle.folder and parsed.lines == "deadline10"


def test_the_comp_is_a_third_pair_frame_by_frame(tmp_path):
    comp = CompRender("/shows/cömp v1.nk", FrameRange([1001, 1002, 1003]), write="Write1", nuke="/opt/Nuke 16/Nuke")
    options = FarmOptions(comp=comp, parameters={"CompScript": comp.script})
    bundle = farm_bundle(tmp_path, options)
    submit(bundle, options)
    assert info(bundle, "comp_job")["Frames"] == "1001-1003"
    assert info(bundle, "comp_plugin")["Executable"] == "/opt/Nuke 16/Nuke"
    assert arguments(bundle, "comp_plugin", 1002) == ["-X", "Write1", "-F", "1002", "/shows/cömp v1.nk"]


def test_without_deadlinecommand_the_words_say_how_to_go_on(tmp_path):
    options = FarmOptions(pool="a4000")
    bundle = farm_bundle(tmp_path, options, {"sh010": (range(5), "void")})
    submitted = submit(bundle, options)
    assert submitted.id == "" and len(submitted.files) == 4
    assert "deadlinecommand frames_job_info.txt frames_plugin_info.txt" in submitted.words
    assert "JobDependencies=<JobID of frames>" in submitted.words
    assert "pool a4000 has to hold machines with 1 of them with 22888 MiB" in submitted.words
    assert Deadline10().status("") == Deadline10().status("abc") == ""


def test_jobs_are_submitted_one_after_the_other_each_behind_the_last(client, tmp_path):
    calls = client(*((TAKEN.format(id), 0) for id in ("f1", "c2", "n3")))
    comp = CompRender("/shows/comp.nk", FrameRange([1, 2]))
    options = FarmOptions(comp=comp, parameters={"CompScript": comp.script}, depends_on=("a0", "b0"))
    bundle = farm_bundle(tmp_path, options)
    submitted = submit(bundle, options)
    assert submitted.id == "c2" and all(id in submitted.words for id in ("f1", "c2", "n3"))
    names = ("frames", "check", "comp")
    pairs = [
        [str(bundle.folder / "deadline10" / f"{name}_{what}_info.txt") for what in ("job", "plugin")] for name in names
    ]
    assert calls_in(calls) == pairs
    assert [info(bundle, f"{name}_job")["JobDependencies"] for name in names] == ["a0,b0", "f1", "c2"]


def test_deadlinecommand_is_found_on_the_path_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    fake_program(tmp_path / "bin" / "deadlinecommand", [(TAKEN.format(id), 0) for id in ("f1", "c2")])
    assert submit(farm_bundle(tmp_path)).id == "c2"


def test_a_refusal_in_the_middle_names_what_is_there_already(client, tmp_path):
    client((TAKEN.format("f1"), 0), ("Error: The pool 'x' does not exist\n", 1))
    with pytest.raises(ServerError, match=r"'x' does not exist; the frames had been submitted as f1: delete"):
        submit(farm_bundle(tmp_path))


def test_an_answer_without_a_job_is_a_server_error(client, tmp_path):
    client(("Result=Failure\n", 0))
    with pytest.raises(ServerError, match="Result=Failure"):
        submit(farm_bundle(tmp_path))


def test_a_client_that_cannot_run_is_no_server(client, tmp_path):
    client()
    (tmp_path / "dl 10" / "deadlinecommand").write_text("#!/no/such/interpreter\n")
    with pytest.raises(NoServer, match="does not answer"):
        submit(farm_bundle(tmp_path))


def test_status_counts_tasks_by_state(client):
    """The format is that of a public script that reads it; the vendor's page was not at hand."""
    calls = client(("JobID=abc\nTaskCount=8\nCompleted:3\nFailed:0\nPending:0\nQueued:4\nRendering:1\n", 0))
    assert Deadline10().status("abc") == "3 completed, 1 rendering, 4 queued"
    assert calls_in(calls) == [["-GetJobDetails", "abc"]]


def test_a_comment_cannot_add_keys(tmp_path):
    options = FarmOptions(comment="first\r\nPriority=100\u2028Pool=all", name="a\nUserName=root")
    bundle = farm_bundle(tmp_path, options)
    submit(bundle, options)
    found = info(bundle, "frames_job")
    assert found["Comment"] == "first Priority=100 Pool=all" and found["Name"] == "a UserName=root - frames"
    assert found["Priority"] == "50" and not {"Pool", "UserName"} & set(found)


def test_what_deadline_cannot_pass_on_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot pass on quotes"):
        submit(farm_bundle(tmp_path / 'the "best" shots'))
    with pytest.raises(UsageError, match="Pool"):
        submit(farm_bundle(tmp_path / "b"), FarmOptions(pool="a\nb"))
    with pytest.raises(UsageError, match="--runner"):
        submit(farm_bundle(tmp_path / "c"), FarmOptions(runner="adaptor"))
