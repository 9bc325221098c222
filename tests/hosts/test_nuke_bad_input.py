"""Bad input at a Nuke node: the artist reads a message, the interface stays alive, no temporary node is left."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from tests.hosts.nuke_comp import Comp, read_of
from tests.hosts.nuke_plugin import started, stop
from tests.hosts.shots_on_disk import FRAMES
from tests.support.live_server import running, settings
from void_bridge.job import JobFile

WAIT_S = 20.0


@pytest.fixture
def comp(footage, tmp_path, monkeypatch):
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("VOID_BRIDGE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("VOID_BRIDGE_AUTOSTART", "false")
    with started() as (fake, plugin):
        comp = Comp(fake, plugin, footage, tmp_path)
        comp.node["engine"].setValue("auto")
        yield comp
        assert comp.nuke.allNodes("Write", recurseGroups=True) == []
        copies = {node.name() for node in comp.nuke.allNodes("Copy", recurseGroups=True)}
        assert copies == {"fill", "with_paste"}
        assert not comp.nuke.root()["proxy"].value()


def refused(comp, message: str) -> None:
    comp.press("submit")
    assert len(comp.fake.messages) == 1 and message in comp.fake.messages[0], comp.fake.messages
    assert comp.node["void_bridge_state"].value() == ""
    assert not list(comp.folder.glob("void/*_v*"))


def script(comp, **does) -> None:
    """Tell the scripted worker how to treat the job."""
    comp.node["prompt"].setValue(json.dumps(does))


@contextmanager
def half_done(comp):
    """Submit a job that waits after two of eight frames until the file that is yielded exists."""
    gate = comp.folder / "gate"
    script(comp, gate=gate.as_posix(), gate_at=1003)
    with running(settings(comp.folder, roots=("/",))):
        comp.press("submit")
        comp.fake.pump(lambda: "running 2/8" in comp.node["label"].value(), WAIT_S)
        yield gate


def test_a_missing_plate_is_reported(comp):
    comp.node.setInput(0, None)
    refused(comp, "VOIDRemove1: No plate: connect the plate to the input 'plate'")


def test_missing_roto_is_reported(comp):
    comp.node.setInput(1, None)
    comp.node.setInput(2, None)
    refused(comp, "Nothing to remove: connect roto to the input 'remove'")


def test_a_missing_channel_is_reported(comp, footage):
    comp.node.setInput(1, comp.nuke.nodes.Remove(inputs=[comp.roto], channels="alpha"))
    refused(comp, "has no channel alpha")


def test_roto_of_another_size_is_refused(comp):
    comp.nuke.root()["format"].setValue("40 24 1 half")
    comp.node.setInput(1, comp.nuke.nodes.Constant(color=1.0))
    refused(comp, "'remove' is 40x24, the plate 80x48; put a Reformat before it")


def test_a_script_that_was_never_saved_needs_an_output_folder(comp):
    comp.nuke.root()["name"].setValue("")
    refused(comp, "Save the script first, or set an output folder")
    comp.node["folder"].setValue(str(comp.folder / "elsewhere"))
    comp.fake.messages.clear()
    comp.press("submit")
    assert comp.fake.messages == []
    assert "elsewhere/untitled_VOIDRemove1_v001/" in comp.node.node("result")["file"].value()


def test_an_output_folder_that_cannot_be_written_is_refused(comp):
    (comp.folder / "taken").touch()
    comp.node["folder"].setValue(str(comp.folder / "taken"))
    refused(comp, "The output folder cannot be used")


def test_an_expression_in_the_output_folder_is_evaluated(comp):
    comp.node["folder"].setValue("[file dirname [value root.name]]/by_expression")
    comp.press("submit")
    assert comp.fake.messages == []
    version = comp.folder / "by_expression" / "sh010_comp_VOIDRemove1_v001"
    assert str(version) in comp.node.node("result")["file"].value()


@pytest.mark.parametrize(
    ("knob", "value", "message"),
    [
        ("frames", "1001-", "cannot read frame range"),
        ("frames", "1100-1110", "are outside the plate, which has 1001-1008"),
        ("exposure", "bright", "exposure: got 'bright'"),
        ("canvas", "big", "canvas: got 'big'"),
        ("views", "left", "views: got 'left', expected one of main"),
    ],
)
def test_a_knob_value_that_makes_no_sense_is_reported(comp, knob, value, message):
    comp.node["frames_from"].setValue("custom")
    comp.node["frames"].setValue("1001-1008")
    comp.node[knob].setValue(value)
    comp.press("submit")
    assert len(comp.fake.messages) == 1 and message.lower() in comp.fake.messages[0].lower(), comp.fake.messages


def test_a_plate_whose_frames_are_not_on_disk_is_refused(comp, footage):
    comp.plate["last"].setValue(1012)
    refused(comp, "Frames are missing on disk: missing 1009-1012")


def test_a_frame_that_nuke_cannot_render_is_reported(comp):
    comp.node["own_files"].setValue(False)
    comp.fake.fail_execute_at(1004, "Read1: File truncated")
    refused(comp, "Nuke could not render the plate or the roto: Read1: File truncated")


def test_an_export_that_is_cancelled_goes_on_where_it_was(comp):
    comp.node["own_files"].setValue(False)
    comp.fake.cancel_execute_at(1005)
    comp.press("submit")
    assert comp.fake.messages == [] and "export cancelled" in comp.status().lower()
    done = {each.frame for each in comp.fake.written}
    assert done and max(done) < 1005
    comp.fake.written.clear()
    comp.press("submit")
    assert not done & {each.frame for each in comp.fake.written if "plate" in each.path}


def test_a_missing_server_fails_the_job(comp):
    comp.press("submit")
    comp.fake.pump(lambda: "failed" in comp.node["label"].value(), WAIT_S)
    assert "No server answers" in comp.status() and comp.fake.messages == []


def test_a_job_that_fails_at_the_server_shows_its_error(comp):
    script(comp, fail=["colour", "got colour space ARRI, which is not in the config"])
    with running(settings(comp.folder, roots=("/",))):
        comp.press("submit")
        comp.fake.pump(lambda: "failed" in comp.node["label"].value(), WAIT_S)
    assert "got colour space ARRI" in comp.status()
    assert comp.node["tile_color"].value() == 0xA33A2FFF


def test_a_node_that_is_deleted_leaves_its_job_alone_and_it_can_be_found_again(comp):
    with half_done(comp) as gate:
        comp.nuke.delete(comp.node)
        gate.touch()
        version = comp.folder / "void" / "sh010_comp_VOIDRemove1_v001"
        comp.fake.pump(lambda: len(list(version.glob("*.exr"))) == 8, WAIT_S)
        assert comp.fake.messages == []
        comp.node = comp.plugin.create()
        comp.fake.answers.append(JobFile.read(version / "job.json").id)
        comp.press("find_jobs")
        comp.fake.pump(lambda: "done" in comp.node["label"].value(), WAIT_S)
    assert str(version) in comp.node.node("result")["file"].value()


def test_a_node_that_is_duplicated_while_its_job_runs_shows_it_too(comp):
    with half_done(comp) as gate:
        (copy,) = comp.fake.copy_paste(comp.node)
        assert "running 2/8" in copy["label"].value()
        gate.touch()
        comp.fake.pump(lambda: "done" in comp.node["label"].value(), WAIT_S)
        assert "done" in copy["label"].value()
        comp.nuke.delete(copy)


def test_a_node_that_is_renamed_keeps_its_job(comp):
    with half_done(comp) as gate:
        comp.node.setName("guitar")
        comp.fake.user_sets(comp.node["seed"], 5)
        gate.touch()
        comp.fake.pump(lambda: "done" in comp.node["label"].value(), WAIT_S)
    assert "stale" in comp.node["label"].value()


def test_a_script_that_is_closed_and_opened_again_finds_its_running_job(comp):
    with half_done(comp) as gate:
        comp.nuke.scriptSave()
        comp.fake.close_script()
        comp.fake.open(comp.script)
        comp.node = comp.nuke.toNode("VOIDRemove1")
        assert "running 2/8" in comp.node["label"].value()
        gate.touch()
        comp.fake.pump(lambda: "done" in comp.node["label"].value(), WAIT_S)
    assert comp.node["void_bridge_ready"].getValueAt(1008) == 1


def test_another_nuke_follows_a_running_job(comp):
    with half_done(comp) as gate:
        comp.nuke.scriptSave()
        comp.fake.uninstall()
        stop()
        with started() as (later, _):
            later.open(comp.script)
            node = later.nuke.toNode("VOIDRemove1")
            gate.touch()
            later.pump(lambda: "done" in node["label"].value(), WAIT_S)
        comp.fake.install()


def test_a_job_is_cancelled_by_its_button(comp):
    comp.press("cancel")
    assert comp.status() == "No job is running for this node."
    with half_done(comp):
        comp.press("cancel")
        comp.fake.pump(lambda: "cancelled" in comp.node["label"].value(), WAIT_S)
    assert comp.node["void_bridge_ready"].getValueAt(1002) == 1 and comp.node["void_bridge_ready"].getValueAt(1003) == 0


def test_frames_that_are_not_ready_show_the_plate_in_the_interface(comp):
    with half_done(comp):
        shown, plate = (comp.fake.render(each, 1005).rgb() for each in (comp.node, comp.plate))
        assert (shown == plate).all() and comp.node["show"].value() == "result"
        comp.press("cancel")
        comp.fake.pump(lambda: "cancelled" in comp.node["label"].value(), WAIT_S)


def test_another_submission_while_one_runs_is_asked_about(comp):
    with half_done(comp):
        comp.fake.answers.append(False)
        comp.press("submit")
        assert "still running" in comp.fake.messages[-1]
        assert [path.name for path in comp.folder.glob("void/*_v*")] == ["sh010_comp_VOIDRemove1_v001"]
        comp.press("cancel")
        comp.fake.pump(lambda: "cancelled" in comp.node["label"].value(), WAIT_S)


def test_the_prompt_gets_a_hint_and_no_error(comp):
    comp.fake.user_sets(comp.node["prompt"], "remove the man")
    assert "describe the scene after the removal" in comp.node["prompt_hint"].value()
    comp.fake.user_sets(comp.node["prompt"], "an empty sofa")
    assert comp.node["prompt_hint"].value() == " "


def test_a_plate_that_is_not_neutral_is_rendered(comp, footage):
    comp.node.setInput(0, read_of(comp.nuke, footage.plate, premultiplied=True))
    comp.press("submit")
    assert {each.path.rpartition("/")[2].split(".")[0] for each in comp.fake.written} == {"plate", "mattes"}
    assert len(list(FRAMES)) * 2 == len(comp.fake.written)
