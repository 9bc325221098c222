"""The back end for OpenCue: its specification without any Cuebot, and launches against one that is a fake."""

import os
import shlex
import socket
from xml.etree import ElementTree

import pytest

pytest.importorskip("outline", reason="needs void-bridge[farm]")

from host_plugins.farm.backends.opencue import OpenCue
from host_plugins.farm.options import CompRender, FarmOptions
from tests.support.fake_cuebot import fake_cuebot
from tests.support.farm_bundles import as_worker_reads, farm_bundle
from void_bridge.errors import NoServer, ServerError, UnknownJob, UsageError
from void_bridge.frames import FrameRange


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("SHOT", "OL_OS", "OL_TAG_OVERRIDE", "RENDER_TO", "FACILITY", "CUEBOT_HOSTS", "CUEBOT_FACILITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SHOW", "deep")
    monkeypatch.setenv("USER", "ana")


@pytest.fixture
def cuebot(monkeypatch):
    with fake_cuebot() as found:
        monkeypatch.setenv("CUEBOT_HOSTS", f"127.0.0.1:{found.port}")
        yield found


def spec_of(bundle, options=None):
    return ElementTree.fromstring(OpenCue().serialised(bundle, options or FarmOptions()))


def layers_of(spec):
    return {layer.get("name"): layer for layer in spec.iter("layer")}


def texts(layer, *names):
    return tuple(layer.findtext(name) for name in names)


def command_of(layer, frame=0):
    """As a worker's shell reads it, once Cuebot has put the frame in."""
    return shlex.split(layer.findtext("cmd").replace("#IFRAME#", str(frame)))


def submit(bundle, options=None):
    return OpenCue().submit(bundle, options or FarmOptions(), lambda line: None)


SHOTS = {"sh010": range(1001, 1009), "sh020": (range(-3, 2), "void")}


def test_each_shot_has_a_layer_of_tasks_and_a_check(tmp_path):
    options = FarmOptions(chunk=3, memory_gb=16, gpus=2, gpu_memory_gb=24, priority=70)
    bundle = farm_bundle(tmp_path, options, SHOTS)
    spec = spec_of(bundle, options)
    layers = layers_of(spec)
    assert list(layers) == ["remove_sh020", "check_sh020", "remove_sh010", "check_sh010"]
    needs = ("chunk", "memory", "gpus", "gpu_memory")
    assert texts(layers["remove_sh010"], *needs) == ("1", "15259m", None, None)
    assert texts(layers["remove_sh020"], *needs) == ("1", "15259m", "2", "22888m")
    assert texts(layers["check_sh020"], "range", *needs) == ("1", "1", None, None, None)
    assert spec.findtext("job/priority") == "70" and spec.findtext("job/paused") == "False"


def test_frame_numbers_are_those_of_tasks(tmp_path):
    options = FarmOptions(chunk=3)
    bundle = farm_bundle(tmp_path, options, SHOTS)
    for shot in SHOTS:
        layer = layers_of(spec_of(bundle, options))[f"remove_{shot}"]
        numbers = FrameRange.parse(layer.findtext("range"))
        made = [bundle.tasks()[number] for number in numbers]
        assert {name for name, _ in made} == {shot}
        frames = [frame for _, text in made for frame in FrameRange.parse(text)]
        assert frames == list(SHOTS[shot] if isinstance(SHOTS[shot], range) else SHOTS[shot][0])


def test_a_check_waits_for_its_shot_and_the_comp_for_every_check(tmp_path):
    comp = CompRender("/shows/comp v1.nk", FrameRange([1001, 1003, 1005]), write="Write1")
    options = FarmOptions(comp=comp, parameters={"CompScript": comp.script})
    spec = spec_of(farm_bundle(tmp_path, options, {"sh010": range(3), "sh020": range(2)}), options)
    depends = [(each.get("type"), *texts(each, "deplayer", "onlayer")) for each in spec.iter("depend")]
    assert sorted(depends) == [
        ("LAYER_ON_LAYER", "check_sh010", "remove_sh010"),
        ("LAYER_ON_LAYER", "check_sh020", "remove_sh020"),
        ("LAYER_ON_LAYER", "comp", "check_sh010"),
        ("LAYER_ON_LAYER", "comp", "check_sh020"),
    ]
    layer = layers_of(spec)["comp"]
    assert FrameRange.parse(layer.findtext("range")) == comp.frames
    assert command_of(layer, 1003) == ["nuke", "-X", "Write1", "-F", "1003", "/shows/comp v1.nk"]


@pytest.mark.parametrize("folder", ["a b", "sh é 人", "it's $HOME", 'the "best" `x`', "back\\slash"])
def test_commands_survive_the_shell_and_are_understood(tmp_path, folder):
    bundle = farm_bundle(tmp_path / folder, FarmOptions(parameters={"VoidBridge": "/opt/void bridge/vb"}))
    layers = layers_of(spec_of(bundle))
    program, *task = command_of(layers["remove_sh010"], 0)
    parsed = as_worker_reads(task)
    assert program == "/opt/void bridge/vb" and parsed.own_session
    assert (parsed.bundle, parsed.task, parsed.lines) == (bundle.folder, 0, "plain")
    checked = as_worker_reads(command_of(layers["check_sh010"])[1:])
    assert (checked.jobs, checked.shot) == (bundle.jobs, "sh010")


def test_a_windows_path_is_quoted_as_windows_reads_it(tmp_path):
    options = FarmOptions(parameters={"VoidBridge": "C:\\Program Files\\vb\\void-bridge.exe"})
    layer = layers_of(spec_of(farm_bundle(tmp_path, options)))["remove_sh010"]
    assert layer.findtext("cmd").startswith('"C:\\Program Files\\vb\\void-bridge.exe" farm task ')


def test_names_are_as_cuebot_accepts_them(tmp_path):
    shots = {"SH-010": range(2), "sh_010": range(2), "人": range(2)}
    options = FarmOptions(name="My Jöb: v2")
    spec = spec_of(farm_bundle(tmp_path, options, shots), options)
    names = [name for name in layers_of(spec) if name.startswith("remove_")]
    assert names == ["remove_sh_010", "remove_sh_010_2", "remove_shot"]
    assert spec.find("job").get("name") == "my_j_b_v2"
    assert texts(spec, "show", "shot", "user") == ("deep", "default", "ana")


def test_a_pool_is_a_tag_or_several(tmp_path):
    layers = layers_of(spec_of(farm_bundle(tmp_path), FarmOptions(pool="gpu_big|night")))
    assert {layer.findtext("tags") for layer in layers.values()} == {"gpu_big | night"}


def test_what_opencue_cannot_do_is_refused(tmp_path):
    comp = CompRender("/shows/comp.nk", FrameRange([-1, 0]))
    options = FarmOptions(comp=comp, parameters={"CompScript": comp.script})
    with pytest.raises(UsageError, match="negative"):
        spec_of(farm_bundle(tmp_path, options), options)
    bundle = farm_bundle(tmp_path / "b")
    with pytest.raises(UsageError, match="three or more"):
        spec_of(bundle, FarmOptions(pool="a"))
    with pytest.raises(UsageError, match="--runner"):
        spec_of(bundle, FarmOptions(runner="adaptor"))


def test_the_environment_and_the_home_stay_as_they_were(tmp_path, monkeypatch, cuebot):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    held = dict(os.environ)
    submit(farm_bundle(tmp_path / "shot"))
    assert dict(os.environ) == held and not (tmp_path / "home").exists()


def test_a_launch_sends_the_serialised_job_and_gives_its_name(tmp_path, cuebot):
    bundle, options = farm_bundle(tmp_path), FarmOptions(comment="for dailies")
    submitted = submit(bundle, options)
    assert submitted.id == "deep-sh010-ana_void_sh010"
    assert cuebot.specs == [OpenCue().serialised(bundle, options)]
    assert cuebot.said == [f"launch {submitted.id}", "comment for dailies"]


def test_a_job_that_depends_on_another_waits_paused_until_that_is_said(tmp_path, cuebot):
    cuebot.add("deep-sh010-ana_roto")
    submitted = submit(farm_bundle(tmp_path), FarmOptions(depends_on=("deep-sh010-ana_roto",)))
    name = submitted.id
    assert cuebot.said == [f"launch {name} paused", f"{name} after deep-sh010-ana_roto", f"resume {name}"]


def test_an_unknown_dependency_is_refused_before_the_launch(tmp_path, cuebot):
    with pytest.raises(UsageError, match="no active job 'nobody'"):
        submit(farm_bundle(tmp_path), FarmOptions(depends_on=("nobody",)))
    assert not cuebot.said


def test_a_refused_launch_is_a_server_error(tmp_path, cuebot):
    cuebot.refuse["LaunchSpecAndWait"] = "The show deep does not exist."
    with pytest.raises(ServerError, match="The show deep does not exist"):
        submit(farm_bundle(tmp_path))


def test_a_job_whose_dependency_is_refused_is_named_as_it_waits(tmp_path, cuebot):
    cuebot.add("roto")
    cuebot.refuse["CreateDependencyOnJob"] = "would be a circle"
    with pytest.raises(ServerError, match=r"deep-sh010-ana_void_sh010 was launched, but .*a circle.*paused.*CueGUI"):
        submit(farm_bundle(tmp_path), FarmOptions(depends_on=("roto",)))
    assert cuebot.said == ["launch deep-sh010-ana_void_sh010 paused"]


def test_without_a_cuebot_it_says_what_to_set(tmp_path, monkeypatch):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("CUEBOT_HOSTS", host)
        with pytest.raises(NoServer, match=rf"{host}.*CUEBOT_HOSTS"):
            submit(farm_bundle(tmp_path))
        with pytest.raises(NoServer):
            OpenCue().status("deep-sh010-ana_void")


def test_status_is_one_line_also_of_a_finished_job(cuebot):
    from opencue_proto import job_pb2

    counts = {"total_frames": 8, "succeeded_frames": 3, "running_frames": 2, "dead_frames": 1, "waiting_frames": 2}
    cuebot.add("a", is_paused=True, job_stats=job_pb2.JobStats(**counts))
    done = job_pb2.JobStats(total_frames=8, succeeded_frames=8)
    cuebot.add("b", state=job_pb2.FINISHED, job_stats=done)
    assert OpenCue().status("a") == "pending, paused: 3 of 8 frames done, 2 running, 1 dead, 2 waiting"
    assert OpenCue().status("b") == "finished: 8 of 8 frames done"
    with pytest.raises(UnknownJob, match="'c'"):
        OpenCue().status("c")
