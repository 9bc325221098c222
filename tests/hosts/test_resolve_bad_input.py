"""Errors in the fake Fusion: the artist reads what is wrong, the interface stays alive, and nothing is left over.

What every host refuses in the same way is in compliance.py.
"""

from __future__ import annotations

import os
import re
import signal

import pytest

from host_plugins.resolve.comp_data import CHOICE, JOBS, SETTINGS, SHOT
from host_plugins.resolve.export import COLOURSPACE_EXAMPLES, RENDER_YOURSELF, disable_savers
from host_plugins.resolve.remove import run, script
from tests.hosts.fake_fusion.comp import read_text
from tests.hosts.fusion_shots import V1, FusionShot, assert_restored
from tests.hosts.shots_on_disk import FRAMES, point_hosts_at
from tests.support.live_server import ServerProcess, settings
from void_bridge.pixels.colour import BUILTIN_CONFIG, resolve_colour


@pytest.fixture
def shot(footage, tmp_path, monkeypatch):
    """Return a shot without any server."""
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "false")
    return FusionShot(footage, tmp_path)


@pytest.fixture
def served_shot(shot, server, monkeypatch):
    """Return a shot with a server."""
    point_hosts_at(server, monkeypatch)
    return shot


def submit_error(shot: FusionShot, change=lambda user: None) -> str:
    """Submit after a change, and return the error in the window."""
    errors = []

    def steps(user):
        user.type("colorspace", "ACEScg")
        user.choose("engine", "propagate")
        change(user)
        user.click("submit")
        errors.append(user.text("status"))

    shot.run_window(steps)
    assert_restored(shot)
    return re.sub(r"</?b>", "", errors[0]).replace("&#x27;", "'")


def choose_range(frames: str):
    def change(user):
        user.choose("frames_from", "custom")
        user.type("frames", frames)

    return change


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda user: user.type("colorspace", ""), f"set 'colour space', {COLOURSPACE_EXAMPLES}"),
        (lambda user: [user.choose(f"tool_{role}", "(none)") for role in ("remove", "affected")], "Nothing to remove"),
        (lambda user: user.choose("tool_plate", "(none)"), "No plate: choose the tool"),
        (lambda user: user.choose("tool_remove", "plate"), "Plate is the plate; choose another tool for 'remove'"),
        (choose_range("1006-1012"), "Frames are missing on disk: 1009-1012 of 1006-1012 are outside plate"),
        (lambda user: user.type("exposure", "bright"), "Exposure: got 'bright'"),
    ],
    ids=["colour space", "no matte", "no plate", "plate as matte", "range", "exposure"],
)
def test_a_submission_that_makes_no_sense_is_refused(shot, change, error):
    assert error in submit_error(shot, change)
    assert list((shot.folder / "void").rglob("*")) == []


def test_the_spaces_that_are_offered_are_linear_ones_of_the_servers_own_config():
    names = COLOURSPACE_EXAMPLES.removeprefix("such as ").replace(" or ", ", ").split(", ")
    assert [resolve_colour(name, BUILTIN_CONFIG).space for name in names] == names


def test_a_tool_that_was_deleted_while_the_window_was_open_is_named(shot):
    def change(user):
        with shot.fake.building():
            shot.comp.remove(shot.comp.tool("roto"))

    assert submit_error(shot, change).startswith("Roto, chosen for 'remove', is no longer in this composition")


def test_a_composition_that_was_never_saved_is_refused(shot):
    shot.comp.file = ""
    assert submit_error(shot).startswith("Set an output folder, or save the composition first")


def test_a_plate_whose_files_are_missing_is_refused(shot, tmp_path):
    with shot.fake.building():
        shot.comp.tool("plate").inputs["Clip"] = str(tmp_path / "gone" / "plate.1001.exr")
    assert submit_error(shot).startswith("Plate outputs no image at frame 1001")


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else False, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(shot):
    shot.folder.chmod(0o555)
    try:
        assert submit_error(shot).startswith("The output folder cannot be used")
    finally:
        shot.folder.chmod(0o755)


def test_a_render_that_raises_leaves_nothing(shot):
    def fail(frames):
        raise RuntimeError("out of memory in Merge7")

    shot.comp.on_render = fail
    assert submit_error(shot) == "Fusion could not render the plate or the mattes: out of memory in Merge7"
    assert list((shot.folder / "void").iterdir()) == []


def test_a_render_that_stops_half_way_leaves_nothing(shot):
    def render_three(frames):
        shot.comp.render_all_savers(frames[:3])

    shot.comp.on_render = render_three
    assert submit_error(shot).startswith("Fusion stopped before frames 1004-1008 were rendered")
    assert list((shot.folder / "void").iterdir()) == []


def test_the_next_export_cleans_up_after_a_script_that_was_killed(shot):
    with shot.fake.building() as comp:
        left = comp.AddTool("Saver", 0, 9)
        left.SetData("void_bridge.temporary", 1)
        disable_savers(comp)
    assert shot.savers()["final"] is True

    def fail(frames):
        raise RuntimeError("no")

    shot.comp.on_render = fail
    submit_error(shot)
    assert left not in shot.comp.tools


def test_without_a_server_the_job_fails(shot):
    def steps(user):
        shot.submit(user)
        user.until(lambda: shot.state().phase == "failed")
        assert "No server answers" in user.text("status")
        assert "start a local server" in user.text("status")

    shot.run_window(steps)
    assert_restored(shot)
    assert shot.loader() is None and not (shot.folder / "void" / V1).exists()


def test_the_artist_can_render_by_hand_where_render_does_nothing(served_shot):
    shot = served_shot
    shot.comp.on_render = lambda frames: None

    def steps(user):
        shot.submit(user)
        assert RENDER_YOURSELF.partition(".")[0] in user.text("status")
        user.tick()
        assert "Waiting for Render All Savers: 8 frames are missing." in user.text("status")
        assert len(shot.savers()) == 2 + 3 + 2  # three Savers, and a Background for each of two masks
        shot.comp.is_rendering = True
        shot.comp.render_all_savers()
        for _ in range(3):
            user.tick()
        assert shot.state().phase == "none"  # the last file may still grow
        shot.comp.is_rendering = False
        user.until(shot.shows_result)

    shot.run_window(steps)
    assert_restored(shot)
    assert not list(shot.folder.glob("final*"))


def test_a_preview_where_render_does_nothing_says_so(shot):
    shot.comp.on_render = lambda frames: None

    def steps(user):
        user.type("colorspace", "ACEScg")
        user.click("preview")
        assert "Fusion rendered nothing for this script" in user.text("status")

    shot.run_window(steps)
    assert_restored(shot)


def test_waiting_for_render_all_savers_can_be_cancelled(shot):
    shot.comp.on_render = lambda frames: None

    def steps(user):
        shot.submit(user)
        user.click("submit")
        assert "already waiting for Render All Savers" in user.text("status")
        user.click("cancel")
        assert user.text("status") == "The export was cancelled."
        assert_restored(shot)

    shot.run_window(steps)
    assert list((shot.folder / "void").iterdir()) == [] and shot.state().phase == "none"


def test_closing_the_window_while_it_waits_leaves_nothing(shot):
    shot.comp.on_render = lambda frames: None
    shot.run_window(shot.submit)
    assert_restored(shot)
    assert list((shot.folder / "void").iterdir()) == []


def test_buttons_without_a_job_say_so(shot):
    def steps(user):
        for button, error in (("reload", "no job yet"), ("compare", "no job yet"), ("cancel", "No job is running")):
            user.click(button)
            assert error in user.text("status")
        user.click("open_folder")
        assert "does not exist yet" in user.text("status")

    shot.run_window(steps)


def test_without_a_server_no_jobs_are_found(shot):
    def steps(user):
        user.click("find_jobs")
        user.until(lambda: "No server answers" in user.text("status"))

    shot.run_window(steps)


def test_data_that_cannot_be_read_is_ignored(shot):
    plate = shot.comp.tool("plate")
    plate.SetData(SHOT, "s1")
    plate.SetData(CHOICE, "[")
    plate.SetData(SETTINGS, '{"seed": "many"}')
    shot.comp.SetData(JOBS, '{"s1": "no state"}')

    def steps(user):
        assert user.text("status") == "No job yet." and user.item("seed").Value == 0

    shot.run_window(steps)


def test_a_job_goes_on_when_its_composition_is_closed(served_shot):
    shot, saved = served_shot, []

    def artist(user):
        shot.submit(user)
        user.until(lambda: shot.state().phase in ("queued", "running"))
        saved.append(shot.comp.save_text())
        shot.comp.close()
        user.tick()

    shot.fake.user = artist
    run(shot.fake.names())
    shot.fake.comp = read_text(shot.fake, saved[0])
    shot.run_window(lambda user: user.until(shot.shows_result))
    assert shot.state().phase == "done"


def test_renamed_copied_and_deleted_plates_keep_their_jobs_apart(served_shot):
    """Check that the job goes on under the new name, and that a copy gets its own at its next submission."""
    shot = served_shot

    def first(user):
        shot.submit(user)
        user.until(lambda: shot.state().phase in ("queued", "running", "done"))

    shot.run_window(first)
    with shot.fake.building() as comp:
        comp.tool("plate").SetAttrs({"TOOLS_Name": "hero"})
        copy = comp.paste("hero")
    shot.comp.selected = [copy.name, "roto"]

    def second(user):
        user.until(lambda: shot.state("hero").phase == "done" and shot.loader("paste", "hero"))
        assert shot.state(copy.name) == shot.state("hero") and str(len(FRAMES)) in user.text("status")
        shot.submit(user)
        user.until(lambda: shot.loader("paste", copy.name))

    shot.run_window(second)
    assert shot.state(copy.name).id != shot.state("hero").id
    assert shot.comp.tool("hero").data[SHOT] != copy.data[SHOT]
    names = [shot.loader("result", plate).name for plate in ("hero", copy.name)]
    assert names == ["VOID_hero", "VOID_hero1"]

    with shot.fake.building() as comp:
        comp.remove(comp.tool("hero"))
    shot.comp.selected = []
    shot.run_window(lambda user: user.tick())
    assert_restored(shot)


def test_a_second_run_brings_the_open_window_to_the_front(shot):
    def steps(user):
        shot.fake.user = None
        run(shot.fake.names())
        assert user.window.raised == 1

    shot.run_window(steps)


def test_closing_while_frames_are_sent_asks_first(shot, tmp_path):
    with ServerProcess(settings(tmp_path)) as server:
        os.kill(server.process.pid, signal.SIGSTOP)  # it takes a connection and does not answer
        try:

            def artist(user):
                shot.submit(user)
                user.click("close")
                assert not user.dispatcher.is_over and "still being sent to the server" in user.text("status")
                user.click("close")

            shot.fake.user = artist
            run(shot.fake.names())
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
    assert_restored(shot)


def test_no_open_composition_is_said_in_a_window(shot):
    shot.fake.comp = None
    messages = []

    def artist(user):
        messages.append(user.text("text"))
        user.click("ok")

    shot.fake.user = artist
    script(shot.fake.names())
    assert messages == ["no composition is open; open one, or use the timeline script on a clip"]
