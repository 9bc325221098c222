"""Submission of a node to a farm, in the fake of Nuke; the farm is a fake, but the last test runs openjd-cli."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from host_plugins.farm.host_submission import farm_status
from host_plugins.farm.settings import FarmSettings, read_sticky, sticky_file
from host_plugins.farm.status_files import TaskState, write_task
from tests.hosts.fake_nuke.terminal import write_executable
from tests.hosts.farms import JOB, OPENJD_S, FakeFarm, needs_shell, until_openjd_has_ended
from tests.hosts.nuke_comp import LAST_S, V1, V2, Comp
from tests.hosts.nuke_plugin import load, started, stop
from tests.hosts.shots_on_disk import FRAMES
from void_bridge.config import Config
from void_bridge.job import JobFile

pytestmark = [needs_shell, pytest.mark.slow]
RANGE = f"{FRAMES[0]}-{FRAMES[-1]}"
SECOND = "sh010_comp_VOIDRemove2_v001"


@pytest.fixture
def comp(served, footage, tmp_path):
    with started(executable=write_executable(tmp_path)) as (fake, plugin):
        yield farm_comp(fake, plugin, footage, tmp_path)


@pytest.fixture
def farm(tmp_path, monkeypatch):
    return FakeFarm(tmp_path / "fake-farm", monkeypatch)


def farm_comp(fake, plugin, footage, folder) -> Comp:
    comp = Comp(fake, plugin, footage, folder)
    comp.node["where"].setValue("farm")
    comp.nuke.scriptSave()
    return comp


def submit(comp: Comp, *answers, node=None) -> list[str]:
    """Press Submit and answer what comes. Return the messages and questions."""
    comp.fake.answers[:] = list(answers)
    comp.press("submit", node)
    assert comp.fake.answers == [], f"no question for: {comp.fake.answers}"
    shown = list(comp.fake.messages)
    comp.fake.messages.clear()
    return shown


def until_on_farm(comp: Comp, node=None) -> None:
    node = node or comp.node
    comp.fake.pump(lambda: node["farm_job"].value() or "failed" in node["label"].value(), LAST_S)
    assert "failed" not in node["label"].value(), node["status"].value()


def second_node(comp: Comp):
    node = comp.plugin.create()
    for index, source in enumerate((comp.plate, comp.roto, comp.shadow)):
        node.setInput(index, source)
    node["engine"].setValue("propagate")
    node["seed"].setValue(7)
    comp.nuke.scriptSave()
    return node


def versions(comp: Comp) -> list[str]:
    return sorted(path.name for path in (comp.folder / "void").glob("*_v*"))


def test_submit_asks_lists_and_hands_one_job_over(comp, farm):
    answers = {
        "farm": "deadline-cloud",
        "pool or queue": "gpu",
        "priority": "80",
        "frames per task (0: whole shot)": "4",
    }
    panel, listed = submit(comp, {**answers, "comment": "wire removal"}, True)
    assert panel == "VOIDRemove: submit to the farm"
    assert (
        listed.startswith(f"1 shot, 2 tasks, for deadline-cloud, gpu {V1}: propagate, {RANGE}") or "2 tasks" in listed
    )
    assert str(comp.folder / "void" / V1) in listed and listed.endswith("Submit?")
    until_on_farm(comp)
    options = farm.options()
    assert options.pop("jobs") == [str(comp.folder / "void" / V1 / "job.json")]
    assert options == {
        **{"to": "deadline-cloud", "pool": "gpu", "priority": "80", "gpus": "1", "gpu-memory": "24", "chunk": "4"},
        **{"comment": "wire removal", "detach": True, "json": True},
    }
    assert comp.node["farm_job"].value() == f"deadline-cloud {JOB}"
    comp.fake.pump(lambda: "tasks done" in comp.status(), LAST_S)
    assert comp.status() == f"deadline-cloud {JOB}: 0 of 2 tasks done"
    assert comp.node["label"].value().startswith("handed over 0/8")
    job = JobFile.read(comp.folder / "void" / V1 / "job.json").job
    assert all(Path(job.remove.sequence.replace("####", str(frame))).is_file() for frame in FRAMES)


def test_the_panel_shows_every_setting_as_it_was_last_time(comp, farm):
    submit(comp, {"farm": "opencue", "priority": "7", "GPU memory (GB, 0: no GPU)": "0"}, True)
    until_on_farm(comp)
    assert farm.options()["gpus"] == "0" and "gpu-memory" not in farm.options()
    (first,) = comp.fake.panels
    assert first.shown == {
        **{"shots": "this node", "farm": "openjd", "pool or queue": "", "priority": "50", "comment": ""},
        **{"GPU memory (GB, 0: no GPU)": "24", "frames per task (0: whole shot)": "0"},
        **{"render this comp afterwards": False, "Write node": ""},
    }
    comp.nuke.scriptSave()
    submit(comp, None)
    again = comp.fake.panels[-1].shown
    assert (again["farm"], again["priority"], again["GPU memory (GB, 0: no GPU)"]) == ("opencue", "7", "0")


def test_cancel_in_the_dialog_changes_nothing(comp, farm):
    before = {name: knob.value() for name, knob in comp.node.knobs().items()}
    submit(comp, None)
    assert not (comp.folder / "void").exists() and not sticky_file(comp.script).exists()
    assert farm.calls == [] and comp.node["void_bridge_state"].value() == "" and not comp.nuke.root().modified()
    assert {name: knob.value() for name, knob in comp.node.knobs().items()} == before


def test_declining_the_list_removes_the_version(comp, farm):
    submit(comp, {"farm": "opencue"}, False)
    assert versions(comp) == [] and farm.calls == [] and comp.node["void_bridge_state"].value() == ""
    assert read_sticky(comp.script, Config()) == FarmSettings(farm="opencue")
    assert not comp.nuke.root().modified()
    submit(comp, {}, True)
    until_on_farm(comp)
    assert versions(comp) == [V1]


def test_a_script_that_is_not_saved_is_refused(comp, farm):
    comp.node["feather"].setValue(9)
    assert submit(comp) == ["VOIDRemove1: The script has unsaved changes; save it, then submit to the farm"]
    comp.nuke.root()["name"].setValue("")
    assert submit(comp)[0].startswith("VOIDRemove1: Save the script first")
    assert comp.fake.panels == [] and farm.calls == [] and not (comp.folder / "void").exists()


def test_a_sticky_file_that_cannot_be_read_is_no_error(comp, farm):
    sticky_file(comp.script).write_text("{ not json")
    submit(comp, {}, True)
    until_on_farm(comp)
    assert comp.fake.panels[0].shown["farm"] == "openjd"


def test_a_value_that_makes_no_sense_is_asked_for_again(comp, farm):
    shown = submit(comp, {"pool or queue": "gpu", "priority": "high"}, {"priority": "60"}, True)
    assert shown[1] == "Priority: got 'high', expected 0 to 100"
    assert (comp.fake.panels[1].shown["pool or queue"], comp.fake.panels[1].shown["priority"]) == ("gpu", "50")
    until_on_farm(comp)
    assert (farm.options()["pool"], farm.options()["priority"]) == ("gpu", "60")


def test_the_farm_of_the_site_comes_first(comp, farm, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_FARM", "deadline10")
    submit(comp, None)
    assert comp.fake.panels[0].shown["farm"] == "deadline10"


def test_every_node_of_the_script_is_one_job_of_the_farm(comp, farm):
    other, disabled = second_node(comp), second_node(comp)
    disabled["disable"].setValue(True)
    comp.nuke.scriptSave()
    _, listed = submit(comp, {"shots": "every VOIDRemove node"}, True)
    assert listed.startswith("2 shots, 2 tasks, for openjd")
    for node in (comp.node, other):
        until_on_farm(comp, node)
        assert node["farm_job"].value() == f"openjd {JOB}"
    assert [Path(job).parent.name for job in farm.options()["jobs"]] == [V1, SECOND]
    assert JobFile.read(comp.folder / "void" / SECOND / "job.json").job.seed == 7
    assert disabled["farm_job"].value() == "" and other["where"].value() == "local"


def test_a_script_whose_nodes_are_all_disabled_has_nothing_to_submit(comp, farm):
    comp.node["disable"].setValue(True)
    comp.nuke.scriptSave()
    shown = submit(comp, {"shots": "every VOIDRemove node"})[-1]
    assert shown.startswith("VOIDRemove1: Every VOIDRemove of this script is disabled") and farm.calls == []


def test_an_error_about_another_node_names_it(comp, farm):
    other = second_node(comp)
    other.setInput(1, None)
    other.setInput(2, None)
    comp.nuke.scriptSave()
    shown = submit(comp, {"shots": "every VOIDRemove node"})
    assert shown[-1].startswith("VOIDRemove1: VOIDRemove2: nothing to remove")
    assert farm.calls == [] and not list((comp.folder / "void").glob("*"))


def test_a_second_submission_while_the_first_is_there_asks(comp, farm):
    submit(comp, {}, True)
    until_on_farm(comp)
    comp.nuke.scriptSave()
    shown = submit(comp, {}, False)
    assert shown[-1] == "The last job of VOIDRemove1 is still running and will continue. Submit another version?"
    comp.nuke.scriptSave()
    submit(comp, {}, True, True)
    comp.fake.pump(lambda: len(farm.calls) == 2, LAST_S)
    assert versions(comp) == [V1, V2]


def test_plate_and_roto_go_to_the_farm_s_scratch_disk(comp, farm, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch disk"
    monkeypatch.setenv("VOID_BRIDGE_FARM_SCRATCH", str(scratch))
    monkeypatch.setenv("VOID_BRIDGE_USER", "ann o'nym")
    monkeypatch.setenv("VOID_BRIDGE_FARM_ROOTS", f"{scratch};{comp.folder / 'void'}")
    comp.node["own_files"].setValue(False)
    comp.nuke.scriptSave()
    submit(comp, {}, True)
    until_on_farm(comp)
    job = JobFile.read(comp.folder / "void" / V1 / "job.json").job
    for path in (job.plate, job.remove.sequence):
        assert path.startswith((scratch / "ann_o_nym" / "sh010_comp").as_posix())
    assert not (comp.folder / "void" / "exports").exists()


def test_what_the_farm_does_not_see_is_refused_before_anything_is_written(comp, farm, tmp_path, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_FARM_ROOTS", str(tmp_path / "elsewhere"))
    assert "choose an output folder that they see" in submit(comp, {})[-1]
    monkeypatch.setenv("VOID_BRIDGE_FARM_ROOTS", str(comp.folder / "void"))
    (shown,) = submit(comp, {})[1:]
    assert 'turn off "send the plate\'s own files"' in shown and "farm_scratch" in shown
    assert farm.calls == [] and not list((comp.folder / "void").glob("*"))
    comp.node["own_files"].setValue(False)
    comp.nuke.scriptSave()
    submit(comp, {}, True)
    until_on_farm(comp)


def test_a_refusal_of_the_farm_fails_the_job(comp, farm):
    farm.refuses("refused", "queue gpu is closed")
    submit(comp, {}, True)
    comp.fake.pump(lambda: comp.node["label"].value().startswith("failed"), LAST_S)
    assert comp.status() == "The server refuses: queue gpu is closed" and comp.node["farm_job"].value() == ""
    assert (comp.folder / "void" / V1 / "job.json").is_file()


def test_the_states_of_the_tasks_come_into_the_line(comp, farm):
    submit(comp, {}, True)
    until_on_farm(comp)
    folder = comp.folder / "void" / V1
    write_task(folder, TaskState(RANGE, "running", 42.0))
    comp.fake.pump(lambda: "running" in comp.status(), LAST_S)
    assert comp.status() == f"openjd {JOB}: 0 of 2 tasks done, 1 running (42 %)"
    write_task(folder, TaskState(RANGE, "failed", 42.0, "no server answers", "farm07"))
    comp.fake.pump(lambda: "failed" in comp.status(), LAST_S)
    assert comp.status().endswith(f"1 failed: {RANGE} on farm07: no server answers")
    assert comp.node["label"].value().startswith("handed over")


def test_states_leave_a_saved_script_saved_so_that_the_next_shot_can_be_submitted(comp, farm):
    submit(comp, {}, True)
    assert comp.nuke.root().modified(), "a new job is a change"
    comp.nuke.scriptSave()
    until_on_farm(comp)
    comp.fake.pump(lambda: "tasks done" in comp.status(), LAST_S)
    assert not comp.nuke.root().modified()
    comp.node["feather"].setValue(9)
    write_task(comp.folder / "void" / V1, TaskState(RANGE, "running", 42.0))
    comp.fake.pump(lambda: "running" in comp.status(), LAST_S)
    assert comp.nuke.root().modified(), "the artist's own change stays one"


def test_tomorrow_the_script_finds_its_farm_job(comp, farm):
    submit(comp, {}, True)
    comp.nuke.scriptSave()  # before the farm has answered
    until_on_farm(comp)
    stop()
    comp.fake.close_script()
    load(comp.fake)
    comp.fake.open(comp.script)
    comp.node = comp.nuke.toNode("VOIDRemove1")
    assert comp.node["farm_job"].value() == ""
    until_on_farm(comp)
    assert comp.node["farm_job"].value() == f"openjd {JOB}"


def test_frames_may_come_from_another_process(comp, farm, served):
    from host_plugins.control.tools import run_command

    submit(comp, {}, True)
    until_on_farm(comp)
    run_command(served.config, ["remove", str(comp.folder / "void" / V1 / "job.json"), "--no-autostart"])
    comp.wait("done")
    assert np.array_equal(comp.fake.render(comp.node, FRAMES[2]).rgb(), comp.delivered(V1, FRAMES[2]))
    assert comp.node["farm_job"].value() == f"openjd {JOB}"


def test_the_comp_is_rendered_afterwards_with_the_new_version(comp, farm):
    write = comp.nuke.nodes.Write(name="Final", inputs=[comp.node], file_type="exr")
    write["file"].setValue((comp.folder / "final.####.exr").as_posix())
    comp.nuke.scriptSave()
    answers = {"render this comp afterwards": True, "Write node": "Final"}
    _, listed = submit(comp, answers, True)
    assert f"Then sh010_comp.nk is rendered: {RANGE}, Final." in listed
    until_on_farm(comp)
    options = farm.options()
    assert (options["then-comp"], options["comp-frames"]) == (comp.script.as_posix(), RANGE)
    assert options["comp-write"] == "Final"
    text = comp.script.read_text()
    assert V1 in text and "handed_over" in text, "the script was saved with what the farm is to render"


def test_the_range_of_the_write_is_used(comp, farm):
    write = comp.nuke.nodes.Write(name="Final", inputs=[comp.node], file_type="exr")
    for name, value in (("use_limit", True), ("first", 1003), ("last", 1005)):
        write[name].setValue(value)
    comp.nuke.scriptSave()
    submit(comp, {"render this comp afterwards": True, "Write node": "Final"}, True)
    until_on_farm(comp)
    assert farm.options()["comp-frames"] == "1003-1005"


@pytest.mark.parametrize("name", ["Finale", ""])
def test_a_missing_write_is_reported(comp, farm, name):
    shown = submit(comp, {"render this comp afterwards": True, "Write node": name})
    assert shown[-1].startswith(f"VOIDRemove1: Found no Write {name or 'in this script'}")
    assert farm.calls == [] and not (comp.folder / "void").exists()


def test_a_script_that_cannot_be_saved_is_not_submitted(comp, farm, monkeypatch):
    comp.nuke.nodes.Write(name="Final", inputs=[comp.node])
    comp.nuke.scriptSave()

    def full(*_):
        raise RuntimeError("Can't write: disk full")

    monkeypatch.setattr(comp.nuke, "scriptSave", full)
    shown = submit(comp, {"render this comp afterwards": True}, True)
    assert "nothing was submitted: Can't write: disk full" in shown[-1]
    assert comp.node["label"].value().startswith("failed") and versions(comp) == [] and farm.calls == []


def test_a_second_nuke_exports_for_the_farm(comp, farm):
    comp.node["own_files"].setValue(False)
    comp.node["background"].setValue("render licence (nuke_r)")
    comp.nuke.scriptSave()
    comp.fake.answers[:] = [{}, True]
    comp.press("submit")
    until_on_farm(comp)
    assert comp.fake.answers == [] and comp.fake.messages[-1].endswith("Submit?")
    assert farm.options()["jobs"] == [str(comp.folder / "void" / V1 / "job.json")]


def test_a_job_for_the_farm_is_cancelled(comp, farm):
    submit(comp, {}, True)
    until_on_farm(comp)
    comp.press("cancel")
    comp.fake.pump(lambda: "cancelled" in comp.node["label"].value(), LAST_S)
    assert comp.status() == f"no longer following the job; stop it at the farm: openjd {JOB}"


def test_a_terminal_uses_the_last_settings_without_a_dialog(comp, farm):
    submit(comp, {"farm": "opencue", "pool or queue": "cpu", "render this comp afterwards": False}, False)
    farm.makes_frames()
    comp.nuke.scriptSave()
    with started(gui=False) as (fake, plugin):
        fake.open(comp.script)
        node = fake.nuke.toNode("VOIDRemove1")
        node["seed"].setValue(3)  # a script that has changed is the caller's own business there
        plugin.render(node)
        assert np.array_equal(fake.render(node, FRAMES[2]).rgb(), comp.delivered(V1, FRAMES[2]))
        assert any(line.startswith("1 shot, 1 task, for opencue, cpu") for line in fake.dialogs.printed)
        assert node["farm_job"].value() == f"opencue {JOB}"
    assert farm.options()["pool"] == "cpu"


def test_a_terminal_raises_the_error_of_the_farm(comp, farm):
    from void_bridge.errors import VoidBridgeError

    farm.refuses("refused", "queue gpu is closed")
    with started(gui=False) as (fake, plugin):
        fake.open(comp.script)
        with pytest.raises(VoidBridgeError, match="queue gpu is closed"):
            plugin.render(fake.nuke.toNode("VOIDRemove1"))


def test_a_submission_runs_through_openjd_and_gives_the_local_frames(comp):
    """Run the bundle through openjd-cli, with a server of its own; the frames equal those of the local server."""
    pytest.importorskip("openjd.cli")
    comp.node["where"].setValue("local")
    comp.submit()
    comp.node["where"].setValue("farm")
    comp.nuke.scriptSave()
    submit(comp, {"GPU memory (GB, 0: no GPU)": "0", "frames per task (0: whole shot)": "3"}, True)
    until_on_farm(comp)
    comp.fake.pump(lambda: V2 in comp.node["label"].value() and "done" in comp.node["label"].value(), OPENJD_S)
    until_openjd_has_ended(comp.node["farm_job"].value())
    assert farm_status(comp.folder / "void" / V2).line == "4 of 4 tasks done"
    for frame in FRAMES:
        assert np.array_equal(comp.delivered(V2, frame), comp.delivered(V1, frame))
        assert np.array_equal(comp.fake.render(comp.node, frame).rgb(), comp.delivered(V1, frame))
