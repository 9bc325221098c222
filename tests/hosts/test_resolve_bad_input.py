"""What goes wrong in (a fake of) Fusion, a test each: words for the artist, the interface alive, nothing left."""

from __future__ import annotations

import os
import re
import signal

import pytest

from host_plugins.resolve.comp_data import SHOT
from host_plugins.resolve.export import COLOURSPACE_EXAMPLES, RENDER_YOURSELF, disable_savers
from host_plugins.resolve.remove import run, script
from tests.hosts.fake_fusion.comp import read_text
from tests.hosts.fusion_shots import V1, Shot, as_was
from tests.hosts.shots_on_disk import FRAMES, point_hosts_at
from tests.support.live_server import ServerProcess, settings
from void_bridge.job import JobFile
from void_bridge.pixels.colour import BUILTIN_CONFIG, resolve_colour


@pytest.fixture
def shot(footage, tmp_path, monkeypatch):
    """No server anywhere."""
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "false")
    return Shot(footage, tmp_path)


@pytest.fixture
def working(shot, server, monkeypatch):
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


def test_the_spaces_that_are_offered_are_linear_ones_of_the_servers_own_config():
    names = COLOURSPACE_EXAMPLES.removeprefix("such as ").replace(" or ", ", ").split(", ")
    assert [resolve_colour(name, BUILTIN_CONFIG).space for name in names] == names


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


def test_what_a_script_left_that_was_ended_in_the_middle_is_put_right(shot):
    with shot.fake.building() as comp:
        left = comp.AddTool("Saver", 0, 9)
        left.SetData("void_bridge.temporary", 1)
        disable_savers(comp)
    assert shot.savers()["final"] is True

    def broken(frames):
        raise RuntimeError("no")

    shot.comp.on_render = broken
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


def test_a_colour_space_that_the_server_does_not_know(working):
    def steps(user):
        working.submit(user)
        user.until(lambda: working.state().phase == "done")
        user.type("colorspace", "No Such Space")
        user.click("submit")
        user.until(lambda: working.state().phase == "failed")
        assert "No Such Space" in user.text("status")

    working.use(steps)
    as_was(working)


def test_render_all_savers_by_hand(working):
    """Fusion's Render does nothing: the Savers stay until the artist has rendered, and the interface lives."""
    working.comp.on_render = lambda frames: None

    def steps(user):
        working.submit(user)
        assert RENDER_YOURSELF.partition(".")[0] in user.text("status")
        user.tick()
        assert "Waiting for Render All Savers: 8 frames to come." in user.text("status")
        assert len(working.savers()) == 2 + 3 + 2  # three Savers, and a white for each of two masks
        working.comp.is_rendering = True
        working.comp.render_all_savers()
        for _ in range(3):
            user.tick()
        assert working.state().phase == "none"  # the last file may still grow
        working.comp.is_rendering = False
        user.until(working.is_home)

    working.use(steps)
    as_was(working)
    assert not list(working.folder.glob("final*"))


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


def test_a_running_job_is_cancelled(working):
    def steps(user):
        working.submit(user)
        user.until(lambda: working.state().phase in ("queued", "running"))
        user.click("cancel")
        user.until(lambda: not working.state().is_alive)

    working.use(steps)
    assert working.state().phase == "cancelled"
    as_was(working)
    working.use(lambda user: user.click("cancel"))


def test_buttons_without_a_job_say_so(shot):
    def steps(user):
        for button, words in (("reload", "no job yet"), ("compare", "no job yet"), ("cancel", "Nothing runs")):
            user.click(button)
            assert words in user.text("status")
        user.click("open_folder")
        assert "is not there (yet)" in user.text("status")

    shot.use(steps)


def test_the_composition_is_closed_while_a_job_runs(working):
    saved = []

    def somebody(user):
        working.submit(user)
        user.until(lambda: working.state().phase in ("queued", "running"))
        saved.append(working.comp.save_text())
        working.comp.close()
        user.tick()

    working.fake.user = somebody
    run(working.fake.names())
    working.fake.comp = read_text(working.fake, saved[0])
    working.use(lambda user: user.until(working.is_home))
    assert working.state().phase == "done"


def test_renamed_deleted_and_copied_plates(working):
    """The job goes on under the new name; a copy shows it, and has a job of its own from its next submission."""

    def first(user):
        working.submit(user)
        user.until(lambda: working.state().phase in ("queued", "running", "done"))

    working.use(first)
    with working.fake.building() as comp:
        comp.tool("plate").SetAttrs({"TOOLS_Name": "hero"})
        copy = comp.paste("hero")
    working.comp.selected = [copy.name, "roto"]

    def second(user):
        user.until(lambda: working.state("hero").phase == "done" and working.loader("paste", "hero"))
        assert working.state(copy.name) == working.state("hero") and str(len(FRAMES)) in user.text("status")
        working.submit(user)
        user.until(lambda: working.loader("paste", copy.name))

    working.use(second)
    assert working.state(copy.name).id != working.state("hero").id
    assert working.comp.tool("hero").data[SHOT] != copy.data[SHOT]
    assert (
        working.loader("result", "hero").name == "VOID_hero"
        and working.loader("result", copy.name).name == "VOID_hero1"
    )

    with working.fake.building() as comp:
        comp.remove(comp.tool("hero"))
    working.comp.selected = []
    working.use(lambda user: user.tick())
    as_was(working)


def test_settings_that_change_during_a_job_are_the_next_ones(working):
    def steps(user):
        working.submit(user)
        user.set("feather", 9)
        user.until(working.is_home)

    working.use(steps)
    assert JobFile.read(working.folder / "void" / V1 / "job.json").job.feather == 4


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
