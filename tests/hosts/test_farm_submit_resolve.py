"""Submissions from the fake Fusion to a farm: a fake one, and openjd-cli in the last test."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_plugins.farm.host_submission import farm_status
from host_plugins.farm.settings import FarmSettings, from_sticky_text, read_sticky, sticky_file
from host_plugins.farm.status_files import TaskState, write_task
from host_plugins.resolve.comp_data import FARM, FARM_JOB
from host_plugins.resolve.dialogs import ACTIONS
from host_plugins.resolve.farm import TITLE
from host_plugins.resolve.remove import run
from tests.hosts.farms import JOB, OPENJD_S, FakeFarm, needs_shell, until_openjd_has_ended
from tests.hosts.fusion_shots import SPACE, V1, V2, FusionShot, assert_restored, rgb
from tests.hosts.shots_on_disk import FRAMES
from void_bridge.config import Config
from void_bridge.job import JobFile
from void_bridge.pixels.exr import read_frame

pytestmark = [needs_shell, pytest.mark.slow]
RANGE = f"{FRAMES[0]}-{FRAMES[-1]}"
ON_FARM = f"openjd {JOB}"


@pytest.fixture
def farm(tmp_path, monkeypatch):
    return FakeFarm(tmp_path / "fake-farm", monkeypatch)


@pytest.fixture
def shot(served, footage, tmp_path):
    return FusionShot(footage, tmp_path)


def press(shot: FusionShot, user, *answers) -> None:
    """Submit to the farm, with these answers to the dialogs."""
    user.type("colorspace", SPACE)
    user.choose("engine", "propagate")
    user.choose("where", "farm")
    shot.fake.answers[:] = list(answers)
    shot.fake.dialogs.clear()
    user.click("submit")


def submit(shot: FusionShot, *answers, then=None) -> str:
    """Submit in the window, wait until the farm has the job, and return the status line."""
    lines = []

    def steps(user):
        press(shot, user, *answers)
        (then or until_on_farm(shot))(user)
        lines.append(user.text("status"))

    shot.run_window(steps)
    assert shot.fake.answers == [], "a dialog was not shown"
    assert_restored(shot)
    return lines[0]


def until_on_farm(shot: FusionShot):
    return lambda user: user.until(lambda: shot.state().farm or shot.state().phase == "failed")


def at_once(user) -> None:
    """Read the status line without waiting."""


def versions(shot: FusionShot) -> list[str]:
    return sorted(path.name for path in (shot.folder / "void").glob("*_v*"))


def test_the_farm_gets_one_job_after_two_dialogs(shot, farm):
    answer = {"farm": "deadline-cloud", "pool": "gpu", "priority": 80, "gpu_memory": 48, "chunk": "4"}
    submit(shot, answer, {})
    assert (shot.state().phase, shot.state().farm) == ("handed_over", f"deadline-cloud {JOB}")
    options = farm.options()
    assert options.pop("jobs") == [str(shot.folder / "void" / V1 / "job.json")]
    assert options == {
        **{"to": "deadline-cloud", "pool": "gpu", "priority": "80", "gpus": "1", "gpu-memory": "48", "chunk": "4"},
        **{"detach": True, "json": True},
    }
    (_, dialog), (title, question) = shot.fake.dialogs
    assert next(iter(dialog.values()))["Name"] == "shots" and "comp" not in dialog
    assert list(dialog["shots"]["Options"].values()) == ["this plate", "every plate with a remembered choice"]
    text = question["list"]["Default"]
    assert title == TITLE and text.startswith(f"1 shot, 2 tasks, for deadline-cloud, gpu\n\n{V1}: propagate, {RANGE}")
    assert str(shot.folder / "void" / V1) in text


def test_the_farm_and_its_id_are_shown_and_stored(shot, farm):
    shown = []

    def steps(user):
        press(shot, user, {}, {})
        user.until(lambda: "tasks done" in user.text("status"))
        shown.append((user.text("status"), user.text("farm_job")))

    shot.run_window(steps)
    assert shown == [(f"{ON_FARM}: 0 of 2 tasks done", ON_FARM)]
    assert shot.comp.tool("plate").data[FARM_JOB] == ON_FARM
    shot.fake.reopen()
    shot.run_window(lambda user: shown.append(user.text("farm_job")))
    assert shown[1] == ON_FARM


def test_cancel_in_the_dialog_changes_nothing(shot, farm):
    before = dict(shot.comp.data)
    status = submit(shot, None, then=at_once)
    assert status == "<b>Nothing was submitted</b>"
    assert farm.calls == [] and not (shot.folder / "void").exists() and not sticky_file(shot.comp_file).exists()
    assert shot.comp.data == before and not shot.comp.is_modified


def test_a_list_that_is_declined_leaves_nothing(shot, farm):
    status = submit(shot, {"farm": "opencue"}, None, then=at_once)
    assert status == "<b>Nothing was submitted</b>" and farm.calls == []
    assert versions(shot) == [] and not list((shot.folder / "void").rglob("*.exr"))
    assert shot.state().phase == "none"
    assert read_sticky(shot.comp_file, Config()) == FarmSettings(farm="opencue")


def test_settings_stick_and_an_unreadable_file_is_no_error(shot, farm):
    submit(shot, {"farm": "opencue", "comment": "wire removal"}, {})
    shot.comp.save()
    submit(shot, None, then=at_once)
    (_, dialog) = shot.fake.dialogs[0]
    assert dialog["farm"]["Options"][1 + dialog["farm"]["Default"]] == "opencue"
    assert dialog["comment"]["Default"] == "wire removal"
    sticky_file(shot.comp_file).write_bytes(b"\xff{")
    shot.comp.save()
    submit(shot, None, then=at_once)
    (_, dialog) = shot.fake.dialogs[0]
    assert dialog["farm"]["Default"] == 0 and dialog["comment"]["Default"] == ""


def test_a_composition_that_is_not_saved_is_refused(shot, farm):
    shot.comp.SetData("artist", "changed something")
    assert "unsaved changes; save it" in submit(shot, then=at_once)
    shot.comp.save()
    shot.comp.file = ""
    assert "Save the script first" in submit(shot, then=at_once)
    assert shot.fake.dialogs == [] and farm.calls == []


def test_a_composition_of_resolve_has_no_file_and_keeps_the_settings_itself(shot, farm, tmp_path):
    shot.comp.file = ""
    shot.comp.SetData("artist", "changed something")
    names = shot.fake.names
    shot.fake.names = lambda: {**names(), "resolve": FakeResolveVersion()}

    def steps(user):
        user.type("folder", str(tmp_path / "results"))
        press(shot, user, {"farm": "opencue"}, {})
        until_on_farm(shot)(user)

    shot.run_window(steps)
    assert shot.state().farm == f"opencue {JOB}"
    assert from_sticky_text(shot.comp.data[FARM], Config()) == FarmSettings(farm="opencue")


class FakeResolveVersion:
    """The part of Resolve that the plug-in uses on the Fusion page."""

    def GetVersionString(self) -> str:
        return "fake"


def test_a_value_that_cannot_be_used_is_asked_for_again(shot, farm):
    submit(shot, {"pool": "gpu", "chunk": "many"}, {"chunk": "4"}, {})
    (_, again) = shot.fake.dialogs[1]
    assert again["notes"]["Default"].startswith("Frames per task (0: whole shot): got 'many'")
    assert again["pool"]["Default"] == "gpu"
    assert (farm.options()["pool"], farm.options()["chunk"]) == ("gpu", "4")


def second_plate(shot: FusionShot) -> None:
    """Add another Loader, and submit it with seed 7, so that its choice is stored."""
    with shot.fake.building():
        shot.add_loader("plate_b", 8, shot.footage.plate)

    def steps(user):
        user.choose("tool_plate", "plate_b")
        user.choose("tool_remove", "roto")
        user.set("seed", 7)
        shot.submit(user)
        user.until(lambda: shot.state("plate_b").phase == "done")

    shot.run_window(steps)
    shot.comp.selected = ["plate", "roto", "shadow"]
    shot.comp.save()


def test_every_plate_is_one_job_of_the_farm(shot, farm):
    second_plate(shot)
    submit(shot, {"shots": "every plate with a remembered choice"}, {})
    folders = [Path(job).parent for job in farm.options()["jobs"]]
    assert [folder.name for folder in folders] == ["sh010_comp_plate_b_v002", V1]
    assert [JobFile.read(folder / "job.json").job.seed for folder in folders] == [7, 0]
    assert shot.state().farm == shot.state("plate_b").farm == ON_FARM
    assert shot.fake.dialogs[1][1]["list"]["Default"].startswith("2 shots, 2 tasks, for openjd")


def test_an_error_of_another_plate_names_it(shot, farm):
    second_plate(shot)
    with shot.fake.building():
        shot.comp.tool("plate_b").SetAttrs({"TOOLS_Name": "plate_c"})
        shot.comp.tool("plate_c").SetInput("Clip", "")
    shot.comp.save()
    status = submit(shot, {"shots": "every plate with a remembered choice"}, then=at_once)
    assert "plate_c" in status and farm.calls == [] and V1 not in versions(shot)


def test_a_render_that_fails_at_the_second_plate_discards_the_first(shot, farm):
    second_plate(shot)
    renders = []

    def fail_at_second(frames):
        renders.append(frames)
        if len(renders) == 2:
            raise RuntimeError("the render was broken")
        return True

    shot.comp.on_render = fail_at_second
    status = submit(shot, {"shots": "every plate with a remembered choice"}, then=at_once)
    assert "the render was broken" in status and farm.calls == [] and len(renders) == 2
    assert versions(shot) == ["sh010_comp_plate_b_v001"]


def test_plate_and_mattes_are_written_to_the_scratch_disk_of_the_farm(shot, farm, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch disk"
    monkeypatch.setenv("VOID_BRIDGE_FARM_SCRATCH", str(scratch))
    monkeypatch.setenv("VOID_BRIDGE_USER", "ann")
    monkeypatch.setenv("VOID_BRIDGE_FARM_ROOTS", f"{scratch};{shot.folder / 'void'}")
    taken = scratch / "ann" / "sh010_comp" / V1
    taken.mkdir(parents=True)  # of another output folder, whose job the farm may be reading
    submit(shot, {}, {})
    job = JobFile.read(shot.folder / "void" / V1 / "job.json").job
    assert job.plate == (taken.with_name(f"{V1}_2") / "plate.####.exr").as_posix()
    assert list(taken.iterdir()) == [] and not (shot.folder / "void" / "exports").exists()


def test_folders_that_the_farm_does_not_see_are_refused_before_the_render(shot, farm, tmp_path, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_FARM_ROOTS", str(tmp_path / "elsewhere"))
    assert "choose an output folder that they see" in submit(shot, {}, then=at_once)
    monkeypatch.setenv("VOID_BRIDGE_FARM_ROOTS", str(shot.folder / "void"))
    monkeypatch.setenv("VOID_BRIDGE_FARM_SCRATCH", str(tmp_path / "unseen"))
    assert "set farm_scratch to a folder that they see" in submit(shot, {}, then=at_once)
    assert farm.calls == [] and versions(shot) == [] and not (tmp_path / "unseen").exists()


def test_a_refusal_of_the_farm_is_shown(shot, farm):
    farm.refuses("refused", "queue gpu is closed")
    status = submit(shot, {}, {}, then=lambda user: user.until(lambda: shot.state().phase == "failed"))
    assert status == "The server refuses: queue gpu is closed" and shot.state().farm == ""
    assert (shot.folder / "void" / V1 / "job.json").is_file()


def test_the_states_of_the_tasks_are_in_the_status_line(shot, farm):
    def steps(user):
        press(shot, user, {}, {})
        user.until(lambda: shot.state().farm)
        write_task(shot.folder / "void" / V1, TaskState(RANGE, "failed", 42.0, "no server answers", "farm07"))
        user.until(lambda: "failed" in user.text("status"))
        assert user.text("status").endswith(f"1 failed: {RANGE} on farm07: no server answers")

    shot.run_window(steps)
    assert shot.state().phase == "handed_over"


def test_new_states_of_a_job_leave_a_saved_composition_saved(shot, farm):
    def steps(user):
        press(shot, user, {}, {})
        assert shot.comp.is_modified, "a new job is a change"
        shot.comp.save()
        user.until(lambda: "tasks done" in user.text("status"))
        assert not shot.comp.is_modified
        shot.comp.SetData("artist", "changed something")
        write_task(shot.folder / "void" / V1, TaskState(RANGE, "running", 42.0))
        user.until(lambda: "running" in user.text("status"))
        assert shot.comp.is_modified, "the artist's own change stays one"

    shot.run_window(steps)


def test_rendering_by_hand_leads_on_to_the_list(shot, farm):
    second_plate(shot)
    renders = []
    shot.comp.on_render = renders.append

    def steps(user):
        press(shot, user, {"shots": "every plate with a remembered choice"}, {})
        assert "Render All Savers" in user.text("status")
        shot.comp.render_all_savers()
        user.until(lambda: len(renders) == 2)
        assert farm.calls == [] and len(shot.fake.answers) == 1
        shot.comp.render_all_savers()
        user.until(lambda: shot.state().farm)

    shot.run_window(steps)
    assert len(farm.options()["jobs"]) == 2 and shot.fake.answers == []
    assert_restored(shot)


def test_cancelling_an_export_that_waits_discards_every_plate(shot, farm):
    second_plate(shot)
    shot.comp.on_render = lambda frames: None

    def steps(user):
        press(shot, user, {"shots": "every plate with a remembered choice"})
        shot.comp.render_all_savers()
        user.until(lambda: V1 in versions(shot))  # the first plate is there, the chosen one waits
        user.click("cancel")
        assert user.text("status") == "The export was cancelled."

    shot.run_window(steps)
    assert_restored(shot)
    assert farm.calls == [] and versions(shot) == ["sh010_comp_plate_b_v001"] and shot.state().phase == "none"


def test_the_window_does_not_close_before_the_farm_has_answered(shot, farm):
    def steps(user):
        press(shot, user, {}, {})
        user.click("close")
        assert "The farm has not answered yet" in user.text("status")
        user.until(lambda: shot.state().farm)

    shot.run_window(steps)


def test_without_windows_the_same_dialogs_follow(served, footage, tmp_path, farm):
    shot = FusionShot(footage, tmp_path, windows=False)
    values = {"colorspace": SPACE, "engine": "propagate", "where": "farm", "action": dict(ACTIONS)["leave"]}
    shot.fake.answers[:] = [values, None, values, {"farm": "opencue"}, {}]
    run(shot.fake.names())
    assert shot.fake.answers == []
    assert shot.fake.dialogs[2][1]["notes"]["Default"] == "Nothing was submitted"
    assert shot.state().farm == f"opencue {JOB}", "it waits until the farm has answered"
    assert any(line.startswith(f"VOID Remove: opencue {JOB}: ") for line in shot.comp.printed)
    assert_restored(shot)


def test_a_submission_runs_through_openjd_and_gives_the_local_frames(shot):
    """Run the bundle with openjd-cli and its own server; the frames equal those of the local server."""
    pytest.importorskip("openjd.cli")

    def locally(user):
        shot.submit(user)
        user.until(shot.shows_result)

    shot.run_window(locally)
    first = shot.state()
    shot.comp.save()

    def on_farm(user):
        press(shot, user, {"gpu_memory": 0, "chunk": "3"}, {})
        user.until(lambda: shot.shows_result(first.id), OPENJD_S)

    shot.run_window(on_farm)
    until_openjd_has_ended(shot.state().farm)
    assert farm_status(shot.folder / "void" / V2).line == "4 of 4 tasks done"
    for frame in FRAMES:
        paths = [shot.folder / "void" / version / f"{version}.{frame}.exr" for version in (V1, V2)]
        one, other = (read_frame(path).picture.channels for path in paths)
        assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)
        assert (rgb(shot.loader().picture(frame))[..., 0] == other["R"]).all()
