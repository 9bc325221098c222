"""What goes wrong in (a fake of) Fusion, a test each: words for the artist, the interface alive, nothing left."""

from __future__ import annotations

import os
import re
import signal

import pytest

from host_plugins.resolve.export import RENDER_YOURSELF
from host_plugins.resolve.memory import SHOT
from host_plugins.resolve.remove import run, script
from tests.hosts.fake_fusion.comp import read_text
from tests.hosts.fusion_shots import V1, Shot, as_was
from tests.hosts.shots_on_disk import FRAMES, make_footage, point_hosts_at, propagate_server
from tests.support.live_server import ServerProcess, settings
from void_bridge.job import JobFile


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return make_footage(tmp_path_factory.mktemp("shot"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with propagate_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def shot(footage, tmp_path, monkeypatch):
    """No server anywhere."""
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "false")
    return Shot(footage, tmp_path)


@pytest.fixture
def served(shot, server, monkeypatch):
    point_hosts_at(server, monkeypatch)
    return shot


def told(shot: Shot, change=lambda user: None) -> str:
    """What the window says when it is submitted after a change."""
    said = []

    def steps(user):
        user.type("colorspace", "ACEScg")
        user.choose("engine", "propagate")
        change(user)
        user.click("submit")
        said.append(user.text("status"))

    shot.use(steps)
    as_was(shot)
    return re.sub(r"</?b>", "", said[0]).replace("&#x27;", "'")


def test_no_colour_space(shot):
    words = told(shot, lambda user: user.type("colorspace", ""))
    assert "colour space has to be said" in words and "ACEScg" in words
    assert not (shot.folder / "void").exists()


def test_no_mask(shot):
    words = told(shot, lambda user: [user.choose(f"tool_{role}", "(none)") for role in ("remove", "affected")])
    assert words.startswith("Nothing to remove: choose a mask tool")
    assert not (shot.folder / "void").exists()


def test_no_plate(shot):
    shot.comp.selected = ["roto"]
    assert told(shot).startswith("No plate: choose the tool")


def test_the_plate_as_its_own_matte(shot):
    assert "is the plate; choose another tool" in told(shot, lambda user: user.choose("tool_remove", "plate"))


def test_a_tool_that_was_deleted_while_the_window_was_open(shot):
    def change(user):
        with shot.fake.building():
            shot.comp.remove(shot.comp.tool("roto"))

    assert told(shot, change).startswith("Roto, chosen for 'remove', is not in this composition any more")


def test_a_range_outside_the_plate(shot):
    def change(user):
        user.choose("frames_from", "custom")
        user.type("frames", "1006-1012")

    words = told(shot, change)
    assert words.startswith("Frames are missing on disk: 1009-1012 of 1006-1012 lie outside plate")
    assert not (shot.folder / "void").exists()


def test_a_range_that_cannot_be_read(shot):
    def change(user):
        user.choose("frames_from", "custom")
        user.type("frames", "first to last")

    assert "cannot read frame range" in told(shot, change).lower()


def test_a_setting_that_makes_no_sense(shot):
    assert "exposure: got 'bright'" in told(shot, lambda user: user.type("exposure", "bright")).lower()
    assert list((shot.folder / "void").rglob("*.exr")) == []


def test_a_composition_that_was_never_saved(shot):
    shot.comp.file = ""
    assert told(shot).startswith("Set an output folder, or save the composition first")


def test_a_plate_whose_files_are_gone(shot, tmp_path):
    with shot.fake.building():
        shot.comp.tool("plate").inputs["Clip"] = str(tmp_path / "gone" / "plate.1001.exr")
    assert told(shot).startswith("Plate makes no picture at frame 1001")


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else False, reason="root may write everywhere")
def test_a_folder_without_permission(shot):
    shot.folder.chmod(0o555)
    try:
        assert told(shot).startswith("The output folder cannot be used")
    finally:
        shot.folder.chmod(0o755)


def test_an_output_folder_that_is_a_file(shot):
    (shot.folder / "void").write_text("in the way")
    assert told(shot).startswith("The output folder cannot be used")
    assert (shot.folder / "void").read_text() == "in the way"


def test_a_render_that_raises_leaves_everything_as_it_was(shot):
    def broken(frames):
        raise RuntimeError("out of memory in Merge7")

    shot.comp.on_render = broken
    assert told(shot) == "Fusion could not render the plate or the mattes: out of memory in Merge7"
    assert list((shot.folder / "void").iterdir()) == []


def test_a_render_that_stops_half_way(shot):
    def half(frames):
        shot.comp.render_all_savers(frames[:3])
        return None

    shot.comp.on_render = half
    assert told(shot).startswith("Fusion stopped before frames 1004-1008 were rendered")
    assert list((shot.folder / "void").iterdir()) == []


def test_savers_of_a_script_that_was_ended_in_the_middle_are_cleared_away(shot):
    with shot.fake.building() as comp:
        left = comp.AddTool("Saver", 0, 9)
        left.SetData("void_bridge.temporary", 1)
    shot.comp.on_render = lambda frames: (_ for _ in ()).throw(RuntimeError("no"))
    told(shot)
    assert left not in shot.comp.tools


def test_no_server(shot):
    def steps(user):
        shot.submit(user)
        user.until(lambda: shot.state().phase == "failed")
        assert "No server answers" in user.text("status")
        assert "start a local server" in user.text("status")

    shot.use(steps)
    as_was(shot)
    assert shot.loader() is None and not (shot.folder / "void" / V1).exists()


def test_a_colour_space_that_the_server_does_not_know(served):
    def steps(user):
        served.submit(user)
        user.until(lambda: served.state().phase == "done")
        user.type("colorspace", "No Such Space")
        user.click("submit")
        user.until(lambda: served.state().phase == "failed")
        assert "No Such Space" in user.text("status")

    served.use(steps)
    as_was(served)


def test_render_all_savers_by_hand(served):
    """Fusion's Render does nothing: the Savers stay until the artist has rendered, and the interface lives."""
    served.comp.on_render = lambda frames: None

    def steps(user):
        served.submit(user)
        assert RENDER_YOURSELF.partition(".")[0] in user.text("status")
        user.tick()
        assert "Waiting for Render All Savers: 8 frames to come." in user.text("status")
        assert len(served.savers()) == 2 + 3 + 2  # three Savers, and a white for each of two masks
        served.comp.is_rendering = True
        served.comp.render_all_savers()
        for _ in range(3):
            user.tick()
        assert served.state().phase == "none"  # the last file may still grow
        served.comp.is_rendering = False
        user.until(served.is_home)

    served.use(steps)
    as_was(served)
    assert not list(served.folder.glob("final*"))


def test_waiting_for_render_all_savers_can_be_cancelled(shot):
    shot.comp.on_render = lambda frames: None

    def steps(user):
        shot.submit(user)
        user.click("submit")
        assert "waits for Render All Savers already" in user.text("status")
        user.click("cancel")
        assert user.text("status") == "The export was cancelled."
        as_was(shot)

    shot.use(steps)
    assert list((shot.folder / "void").iterdir()) == [] and shot.state().phase == "none"


def test_closing_the_window_while_it_waits_leaves_nothing(shot):
    shot.comp.on_render = lambda frames: None
    shot.use(shot.submit)
    as_was(shot)
    assert list((shot.folder / "void").iterdir()) == []


def test_a_running_job_is_cancelled(served):
    def steps(user):
        served.submit(user)
        user.until(lambda: served.state().phase in ("queued", "running"))
        user.click("cancel")
        user.until(lambda: not served.state().is_alive)

    served.use(steps)
    assert served.state().phase == "cancelled"
    as_was(served)
    served.use(lambda user: user.click("cancel"))


def test_buttons_without_a_job_say_so(shot):
    def steps(user):
        for button, words in (("reload", "no job yet"), ("compare", "no job yet"), ("cancel", "Nothing runs")):
            user.click(button)
            assert words in user.text("status")
        user.click("open_folder")
        assert "is not there (yet)" in user.text("status")

    shot.use(steps)


def test_the_composition_is_closed_while_a_job_runs(served):
    saved = []

    def somebody(user):
        served.submit(user)
        user.until(lambda: served.state().phase in ("queued", "running"))
        saved.append(served.comp.save_text())
        served.comp.close()
        user.tick()

    served.fake.user = somebody
    run(served.fake.names())
    served.fake.comp = read_text(served.fake, saved[0])
    served.use(lambda user: user.until(served.is_home))
    assert served.state().phase == "done"


def test_renamed_deleted_and_copied_plates(served):
    """The job goes on under the new name; a copy shows it, and has a job of its own from its next submission."""

    def first(user):
        served.submit(user)
        user.until(lambda: served.state().phase in ("queued", "running", "done"))

    served.use(first)
    with served.fake.building() as comp:
        comp.tool("plate").SetAttrs({"TOOLS_Name": "hero"})
        copy = comp.paste("hero")
    served.comp.selected = [copy.name, "roto"]

    def second(user):
        user.until(lambda: served.state("hero").phase == "done" and served.loader("paste", "hero"))
        assert served.state(copy.name) == served.state("hero") and str(len(FRAMES)) in user.text("status")
        served.submit(user)
        user.until(lambda: served.loader("paste", copy.name))

    served.use(second)
    assert served.state(copy.name).id != served.state("hero").id
    assert served.comp.tool("hero").data[SHOT] != copy.data[SHOT]
    assert (
        served.loader("result", "hero").name == "VOID_hero" and served.loader("result", copy.name).name == "VOID_hero1"
    )

    with served.fake.building() as comp:
        comp.remove(comp.tool("hero"))
    served.comp.selected = []
    served.use(lambda user: user.tick())
    as_was(served)


def test_settings_that_change_during_a_job_are_the_next_ones(served):
    def steps(user):
        served.submit(user)
        user.set("feather", 9)
        user.until(served.is_home)

    served.use(steps)
    assert JobFile.read(served.folder / "void" / V1 / "job.json").job.feather == 4


def test_a_second_run_brings_the_open_window_to_the_front(shot):
    def steps(user):
        shot.fake.user = None
        run(shot.fake.names())
        assert user.window.raised == 1

    shot.use(steps)


def test_closing_while_frames_are_sent_asks_first(shot, tmp_path):
    with ServerProcess(settings(tmp_path)) as server:
        os.kill(server.process.pid, signal.SIGSTOP)  # it takes a connection and does not answer
        try:

            def somebody(user):
                shot.submit(user)
                user.click("close")
                assert not user._dispatcher.is_over and "on their way to the server" in user.text("status")
                user.click("close")

            shot.fake.user = somebody
            run(shot.fake.names())
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
    as_was(shot)


def test_no_composition_is_open_is_said_in_a_window(shot):
    shot.fake.comp = None
    said = []

    def somebody(user):
        said.append(user.text("text"))
        user.click("ok")

    shot.fake.user = somebody
    script(shot.fake.names())
    assert said == ["no composition is open; open one, or use the timeline script on a clip"]
