"""Without windows: the same settings in (a fake of) AskUser, and a loop that waits, prints and can be stopped."""

from __future__ import annotations

import pytest

from host_plugins.control.settings import setting_specs
from host_plugins.resolve.comp_data import STOP
from host_plugins.resolve.dialogs import ACTIONS
from host_plugins.resolve.remove import run
from tests.hosts.fusion_shots import SPACE, V1, Shot, as_was
from tests.hosts.shots_on_disk import FRAMES
from void_bridge.job import JobFile

ACTION = dict(ACTIONS)


@pytest.fixture
def shot(served, footage, tmp_path):
    return Shot(footage, tmp_path, windows=False)


def ask(shot: Shot, *answers) -> list[str]:
    """Run the script with these answers to its dialogs. Returns what it printed."""
    shot.fake.answers[:] = list(answers)
    shot.fake.dialogs.clear()
    shot.comp.printed.clear()
    run(shot.fake.names())
    assert shot.fake.answers == [], "not every dialog came"
    as_was(shot)
    return shot.comp.printed


def submission(**more):
    return {"colorspace": SPACE, "engine": "propagate", **more}


def test_the_dialog_has_every_setting_under_its_own_name(shot):
    ask(shot, None)
    ((_, dialog),) = shot.fake.dialogs
    assert {spec.name for spec in setting_specs()} <= set(dialog)
    assert all(dialog[spec.name]["Name"].startswith(spec.label) for spec in setting_specs())
    assert dialog["colorspace"]["Default"] == "" and "ACEScg" in dialog["colorspace"]["Name"]
    assert dialog["tool_plate"]["Options"][1 + dialog["tool_plate"]["Default"]] == "plate"
    assert dialog["tool_remove"]["Options"][1 + dialog["tool_remove"]["Default"]] == "roto"


def test_submit_and_wait(shot):
    said = ask(shot, submission(prompt="remove the man", feather=2, seed="7", frames_from="custom", frames="1002-1004"))
    job = JobFile.read(shot.folder / "void" / V1 / "job.json").job
    assert (job.feather, job.seed, str(job.frames), job.prompt) == (2, 7, "1002-1004", "remove the man")
    assert shot.is_home()
    assert any("'remove' commands; describe" in line for line in said)
    assert any("3 frames in" in line for line in said)
    assert len(said) == len(set(said)), "nothing is said twice in a row"


def test_submit_and_look_later(shot):
    ask(shot, submission(action=ACTION["leave"]))
    assert shot.state().phase in ("queued", "running", "done")
    shot.fake.reopen()
    ask(shot, {"action": ACTION["reload"]})
    assert shot.is_home() and shot.state().ready == f"{FRAMES[0]}-{FRAMES[-1]}"


def test_what_is_wrong_is_in_the_next_dialog_with_what_was_typed(shot):
    ask(shot, {"feather": 7, "exposure": "bright", "colorspace": "ACEScg"}, {"exposure": "", "colorspace": ""}, None)
    second, third = shot.fake.dialogs[1][1], shot.fake.dialogs[2][1]
    assert second["notes"]["Default"].startswith("Exposure: got 'bright'")
    assert (second["feather"]["Default"], second["exposure"]["Default"]) == (7, "bright")
    assert "colour space has to be said" in third["notes"]["Default"]


def test_a_preview_says_where_it_lies_and_asks_again(shot):
    ask(shot, submission(action=ACTION["preview"]), None)
    notes = shot.fake.dialogs[1][1]["notes"]["Default"]
    (picture,) = (shot.folder / "void" / "exports" / "sh010_comp_plate_preview").glob("*.png")
    assert notes == f"The preview lies at {picture}"


def test_questions_to_the_server_are_answered(shot):
    said = ask(shot, {"action": ACTION["check_server"]}, {"action": ACTION["free_gpu"]}, None)
    assert any("propagate" in line for line in said)
    assert any("give their GPU memory back" in line for line in said)


def test_render_all_savers_by_hand(shot):
    shot.comp.on_render = lambda frames: None

    def artist():
        shot.comp.render_all_savers()

    shot.comp.waits = [None, None, artist]
    said = ask(shot, submission())
    assert any("Render All Savers" in line for line in said) and shot.comp.waits == []
    assert shot.is_home()


def test_another_run_of_the_script_stops_the_waiting(shot):
    shot.comp.on_render = lambda frames: None

    def other_run():
        shot.comp.SetData(STOP, 1)

    shot.comp.waits = [None, other_run]
    said = ask(shot, submission())
    assert any("no longer waiting" in line for line in said)
    assert shot.state().phase == "none" and STOP not in shot.comp.data


def test_the_other_run_does_no_more_than_that(shot):
    ask(shot, {"action": ACTION["stop"]})
    assert shot.comp.data[STOP] and shot.state().phase == "none"
