"""The Lua script of the free edition, run by LuaJIT in the fake Fusion, with the real `void-bridge` command."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
import pytest

from tests.hosts.fake_fusion.lua import LuaHost
from tests.hosts.fake_fusion.windows import UIManager
from tests.hosts.fusion_shots import SPACE, V1, V2, FusionShot, rgb
from tests.hosts.shots_on_disk import FRAMES
from tests.support.live_server import eventually, running, settings
from void_bridge.job import JobFile
from void_bridge.pixels.exr import read_frame

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "host_plugins" / "resolve" / "scripts" / "VOID Remove (free edition).lua"
COMMAND = str(Path(sysconfig.get_path("scripts"), "void-bridge"))


@pytest.fixture
def shot(served, footage, tmp_path):
    shot = FusionShot(footage, tmp_path, windows=False)
    shot.lua = LuaHost(shot.fake)
    return shot


def run_script(shot: FusionShot, *answers) -> None:
    """Run the script with these answers to its dialogs."""
    shot.fake.answers[:] = list(answers)
    shot.fake.dialogs.clear()
    shot.lua.run(SCRIPT, COMMAND)
    assert shot.fake.answers == [], "a dialog was not shown"
    assert shot.comp.locks == 0 and shot.comp.open_undo == []


def assert_restored(shot: FusionShot) -> None:
    assert shot.savers() == {"final": False, "old": True}
    assert "void_bridge.rested" not in shot.comp.tool("final").data


def submission(**more):
    return {"colorspace": SPACE, "engine": "propagate", "affected": "shadow", **more}


def message(shot: FusionShot) -> str:
    """Return the message in the last dialog."""
    return shot.fake.dialogs[-1][1]["message"]["Default"]


def test_the_result_is_shown_in_loaders(shot):
    run_script(shot, submission(prompt="it's an empty wall; $HOME `date`"))
    result, paste = shot.loader("result"), shot.loader("paste")
    assert (result.name, paste.name) == ("VOID_plate", "VOID_plate_paste")
    for frame in FRAMES:
        shown, plate = rgb(result.picture(frame)), rgb(shot.comp.tool("plate").picture(frame))
        weight = paste.picture(frame).rgba[..., 3]
        assert np.array_equal(shown[weight == 0], plate[weight == 0]) and (weight == 1).any()
        assert not np.array_equal(shown, plate)
    job = JobFile.read(shot.folder / "void" / V1 / "job.json").job
    assert (job.prompt, job.colour.space, str(job.frames)) == ("it's an empty wall; $HOME `date`", SPACE, "1001-1008")
    assert job.remove.channel == job.affected.channel == "A" and job.keep is None
    exported = read_frame(shot.folder / "void" / "exports" / V1 / "plate.1003.exr").picture.channels
    own = read_frame(shot.footage.plate.path(1003)).picture.channels
    assert all(np.array_equal(exported[name], own[name]) for name in "RGBA")
    assert_restored(shot)
    assert not list(shot.folder.glob("final*"))


def test_a_job_that_was_left_is_shown_later_and_the_next_one_in_the_same_loaders(shot):
    run_script(shot, submission(wait=0))
    assert shot.loader() is None and "void_bridge_lua.folder" in shot.comp.data
    shot.fake.reopen()
    shot.lua = LuaHost(shot.fake)
    eventually(lambda: (shot.folder / "void" / V1 / "ended.txt").exists())
    run_script(shot)
    result = shot.loader()
    with shot.fake.building():
        for name, value in (("ClipTimeStart", 1), ("HoldLastFrame", 2), ("Depth", 3)):
            result.SetInput(name, value)
    before = dict(result.inputs)
    run_script(shot, submission())
    after = dict(shot.loader().inputs)
    assert Path(after.pop("Clip")).parent.name == V2 and Path(before.pop("Clip")).parent.name == V1
    assert after == before and shot.loader() is result
    assert len([tool for tool in shot.comp.tools if tool.id == "Loader"]) == 3


def test_the_loaders_are_those_of_the_python_script(shot):
    run_script(shot, submission())
    mine = shot.loader(), shot.loader("paste")

    def steps(user):
        shot.submit(user)
        user.until(shot.shows_result)

    shot.fake.ui = UIManager(shot.fake)
    shot.run_window(steps)
    assert (shot.loader(), shot.loader("paste")) == mine
    assert Path(shot.loader().inputs["Clip"]).parent.name == V2


@pytest.fixture
def held(footage, tmp_path, monkeypatch):
    """Yield a shot whose server's worker finishes two frames and then waits."""
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("VOID_BRIDGE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "false")
    shot = FusionShot(footage, tmp_path, windows=False)
    shot.lua = LuaHost(shot.fake)
    with running(settings(tmp_path)):
        yield shot


GATED = {"engine": "auto", "prompt": '{"gate": "/nowhere/at/all", "gate_at": 1003}'}


def test_another_run_stops_the_waiting_and_cancels_the_job(held):
    held.lua.waits = [lambda: held.comp.SetData("void_bridge_lua.stop", 1)]
    run_script(held, submission(**GATED))
    assert held.lua.printed[-1] == "VOID Remove: stopped waiting; the job continues"
    job = held.folder / "void" / V1
    eventually(lambda: (job / f"{V1}.1002.exr").exists())

    run_script(held, {"action": "Stop the run that is waiting"})
    assert held.comp.data["void_bridge_lua.stop"] == 1
    run_script(held, {"action": "Cancel the job"})
    eventually(lambda: (job / "ended.txt").exists())
    run_script(held, {})
    assert message(held) == "the job was cancelled"
    assert_restored(held)
    assert held.loader() is None


def test_an_error_of_the_server_is_shown(shot):
    run_script(shot, submission(colorspace="No Such Space"), {})
    assert "No Such Space" in message(shot)
    assert_restored(shot)
    assert shot.loader() is None and "void_bridge_lua.folder" not in shot.comp.data


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"colorspace": " "}, "colour space is unknown"),
        ({"remove": "(none)", "affected": "(none)"}, "nothing to remove"),
        ({"remove": "plate"}, "plate is the plate; choose another tool for 'remove'"),
        ({"first": "now"}, "cannot read the frame range"),
        ({"folder": ""}, "set an output folder"),
        ({"last": "1012"}, "Fusion could not render the plate or the mattes: it stopped before the end"),
        ({"first": "2000", "last": "2001"}, "plate outputs no image at frame 2000"),
    ],
)
def test_bad_input_is_refused(shot, answer, error):
    run_script(shot, submission(**answer), {})
    assert error in message(shot)
    assert_restored(shot)
    assert "void_bridge_lua.folder" not in shot.comp.data


def test_a_folder_that_cannot_be_written(shot):
    (shot.folder / "void").write_text("in the way")
    run_script(shot, submission(), {})
    assert message(shot).startswith("cannot write") and "choose another output folder" in message(shot)
    assert_restored(shot)


def test_the_artist_can_render_by_hand_where_render_does_nothing(shot):
    shot.comp.on_render = lambda frames: None
    run_script(shot, submission(), {})
    assert "Render All Savers" in message(shot) and len(shot.savers()) > 2
    run_script(shot, {"action": "Check again later"})
    shot.comp.attrs.update(COMPN_RenderStart=float(FRAMES[0]), COMPN_RenderEnd=float(FRAMES[-1]))
    shot.comp.render_all_savers()
    run_script(shot)
    assert shot.loader("paste") is not None
    assert_restored(shot)


def test_a_canvas_in_the_old_order_is_printed(shot):
    shot.comp.on_render = lambda frames: None
    run_script(shot, submission(canvas="384x672"), {})
    note = "VOID Remove: canvas: read 384x672 in the old order, height x width; write 672x384"
    assert note in shot.lua.printed
    run_script(shot, {"action": "Cancel the submission"})
    run_script(shot, submission(canvas="768x448"), {})
    assert sum("old order" in line for line in shot.lua.printed) == 1


def test_giving_up_leaves_nothing(shot):
    shot.comp.on_render = lambda frames: None
    run_script(shot, submission(), {})
    run_script(shot, {"action": "Cancel the submission"})
    assert_restored(shot)
    assert not [name for name in shot.comp.data if name.startswith("void_bridge_lua") and "space" not in name]


def test_a_script_that_is_not_installed_says_so(shot):
    shot.lua.run(SCRIPT, "")
    assert shot.lua.printed == ["VOID Remove: is not installed; run void-bridge install resolve"]
