"""The script without windows: its settings in AskUser dialogs, and a loop that waits, prints and can be stopped."""

from __future__ import annotations

import pytest

from host_plugins.control.settings import setting_specs
from host_plugins.resolve.comp_data import STOP
from host_plugins.resolve.dialogs import ACTIONS
from host_plugins.resolve.remove import run
from tests.hosts.fusion_shots import SPACE, V1, FusionShot, assert_restored
from tests.hosts.shots_on_disk import FRAMES
from void_bridge.job import JobFile

ACTION = dict(ACTIONS)


@pytest.fixture
def shot(served, footage, tmp_path):
    return FusionShot(footage, tmp_path, windows=False)


def run_dialogs(shot: FusionShot, *answers) -> list[str]:
    """Run the script with these answers to its dialogs, and return the lines that it has printed."""
    shot.fake.answers[:] = list(answers)
    shot.fake.dialogs.clear()
    shot.comp.printed.clear()
    run(shot.fake.names())
    assert shot.fake.answers == [], "a dialog was not shown"
    assert_restored(shot)
    return shot.comp.printed


def submission(**more):
    return {"colorspace": SPACE, "engine": "propagate", **more}


def test_the_dialog_has_every_setting_under_its_own_name(shot):
    run_dialogs(shot, None)
    ((_, dialog),) = shot.fake.dialogs
    assert {spec.name for spec in setting_specs()} <= set(dialog)
    assert all(dialog[spec.name]["Name"].startswith(spec.label) for spec in setting_specs())
    assert dialog["colorspace"]["Default"] == "" and "ACEScg" in dialog["colorspace"]["Name"]
    assert dialog["tool_plate"]["Options"][1 + dialog["tool_plate"]["Default"]] == "plate"
    assert dialog["tool_remove"]["Options"][1 + dialog["tool_remove"]["Default"]] == "roto"


def test_a_submission_waits_and_shows_its_result(shot):
    printed = run_dialogs(
        shot,
        submission(
            prompt="remove the man", feather=2, seed="7", frames_from="custom", frames="1002-1004", canvas="384x672"
        ),
    )
    job = JobFile.read(shot.folder / "void" / V1 / "job.json").job
    assert (job.feather, job.seed, str(job.frames), job.prompt) == (2, 7, "1002-1004", "remove the man")
    assert shot.shows_result()
    assert any("'remove' is a command; describe" in line for line in printed)
    assert any("3 frames in" in line for line in printed)
    assert any("canvas: read 384x672 in the old order" in line for line in printed)
    assert len(printed) == len(set(printed)), "no line is repeated"


def test_a_job_that_was_left_is_waited_for_by_the_next_run(shot):
    run_dialogs(shot, submission(action=ACTION["leave"]))
    assert shot.state().phase in ("queued", "running", "done")
    shot.fake.reopen()
    run_dialogs(shot, {"action": ACTION["reload"]})
    assert shot.shows_result() and shot.state().ready == f"{FRAMES[0]}-{FRAMES[-1]}"


def test_an_error_is_in_the_next_dialog_with_the_values_that_were_typed(shot):
    run_dialogs(
        shot, {"feather": 7, "exposure": "bright", "colorspace": "ACEScg"}, {"exposure": "", "colorspace": ""}, None
    )
    second, third = shot.fake.dialogs[1][1], shot.fake.dialogs[2][1]
    assert second["notes"]["Default"].startswith("Exposure: got 'bright'")
    assert (second["feather"]["Default"], second["exposure"]["Default"]) == (7, "bright")
    assert "colour space is unknown" in third["notes"]["Default"]


def test_the_next_dialog_says_where_the_preview_is(shot):
    run_dialogs(shot, submission(action=ACTION["preview"]), None)
    notes = shot.fake.dialogs[1][1]["notes"]["Default"]
    (picture,) = (shot.folder / "void" / "exports" / "sh010_comp_plate_preview").glob("*.png")
    assert notes == f"The preview was written to {picture}"


def test_the_answers_of_the_server_are_printed(shot):
    printed = run_dialogs(shot, {"action": ACTION["check_server"]}, {"action": ACTION["free_gpu"]}, None)
    assert any("propagate" in line for line in printed)
    assert any("release their GPU memory" in line for line in printed)


def test_the_artist_can_render_by_hand_where_render_does_nothing(shot):
    shot.comp.on_render = lambda frames: None

    shot.comp.waits = [None, None, shot.comp.render_all_savers]
    printed = run_dialogs(shot, submission(action=ACTION["leave"]))
    assert any("Render All Savers" in line for line in printed) and shot.comp.waits == []
    assert shot.state().phase in ("queued", "running", "done")


def test_another_run_of_the_script_stops_the_waiting(shot):
    shot.comp.on_render = lambda frames: None

    shot.comp.waits = [None, lambda: shot.comp.SetData(STOP, 1)]
    printed = run_dialogs(shot, submission())
    assert any("stopped waiting" in line for line in printed)
    assert shot.state().phase == "none" and STOP not in shot.comp.data


def test_the_run_that_stops_another_does_nothing_else(shot):
    run_dialogs(shot, {"action": ACTION["stop"]})
    assert shot.comp.data[STOP] and shot.state().phase == "none"
