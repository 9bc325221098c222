"""The whole loop from a node in (a fake of) Nuke: real EXR, a real server, its real engine, and back into the node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.hosts.fake_nuke import FakeNuke
from tests.hosts.nuke_comp import LAST_S, V1, Comp
from tests.hosts.nuke_plugin import started, stop
from tests.hosts.shots_on_disk import FRAMES, HEIGHT
from void_bridge.job import JobFile
from void_bridge.pixels.exr import read_frame

pytestmark = pytest.mark.slow


@pytest.fixture
def nuke_run(served):
    with started() as (fake, plugin):
        yield fake, plugin


@pytest.fixture
def comp(nuke_run, footage, tmp_path):
    fake, plugin = nuke_run
    return Comp(fake, plugin, footage, tmp_path)


def test_the_files_of_a_plain_read_are_sent_and_the_result_covers_it(comp, footage):
    comp.submit()
    job = JobFile.read(comp.folder / "void" / V1 / "job.json").job
    assert job.plate == str(footage.plate)
    (exported,) = (comp.folder / "void" / "exports").iterdir()
    assert exported == Path(job.remove.sequence).parent
    assert comp.node["show"].value() == "result"
    for frame in FRAMES:
        shown, plate = comp.fake.render(comp.node, frame), comp.fake.render(comp.plate, frame)
        paste = comp.paste(V1, frame)
        assert np.array_equal(shown.rgb(), comp.delivered(V1, frame))
        assert np.array_equal(shown.plane("void_bridge.paste"), paste)
        assert np.array_equal(shown.rgb()[paste == 0], plate.rgb()[paste == 0])
        assert not np.array_equal(shown.rgb(), plate.rgb())
        for channel in ("rgba.alpha", "depth.Z"):
            assert np.array_equal(shown.plane(channel), plate.plane(channel))
        assert shown.metadata["exr/studio/shot"] == "sh010"
        assert shown.box == plate.box


def test_inputs_behind_nodes_are_rendered_once_and_again_only_if_they_changed(comp):
    grade = comp.nuke.nodes.Grade(inputs=[comp.plate], multiply=0.5)
    comp.node.setInput(0, grade)
    comp.submit()
    written = [Path(each.path).name for each in comp.fake.written]
    assert sorted(written) == sorted(f"{name}.{frame}.exr" for name in ("plate", "mattes") for frame in FRAMES)
    assert comp.nuke.allNodes("Write", recurseGroups=True) == []
    frame = FRAMES[3]
    paste = comp.paste(V1, frame)
    expected = (comp.fake.render(comp.plate, frame).rgb() * np.float32(0.5)).astype(np.float16).astype(np.float32)
    assert np.array_equal(comp.fake.render(comp.node, frame).rgb()[paste == 1], comp.delivered(V1, frame)[paste == 1])
    assert np.array_equal(comp.delivered(V1, frame)[paste == 0], expected[paste == 0])

    comp.fake.written.clear()
    comp.nuke.scriptSaveAs(str(comp.folder / "sh010_next.nk"))
    comp.submit()
    other = V1.replace("comp", "next")
    assert comp.fake.written == [] and (comp.folder / "void" / other / f"{other}.{frame}.exr").exists()

    comp.node["remove_invert"].setValue(True)  # the job's business, not the export's
    comp.node["remove_invert"].setValue(False)
    comp.node.setInput(1, comp.nuke.nodes.Invert(inputs=[comp.nuke.nodes.Invert(inputs=[comp.roto])]))
    comp.submit()
    assert {Path(each.path).name.split(".")[0] for each in comp.fake.written} == {"mattes"}


def test_settings_and_colour_reach_the_job(comp):
    comp.node["prompt"].setValue("an empty wall")
    comp.node["seed"].setValue(3)
    comp.node["feather"].setValue(0)
    comp.node["frames_from"].setValue("custom")
    comp.node["frames"].setValue("1003-1004")
    comp.node["handles"].setValue(2)
    comp.node["keep_invert"].setValue(True)
    comp.submit()
    job = JobFile.read(comp.folder / "void" / V1 / "job.json").job
    assert (job.prompt, job.seed, job.feather, str(job.frames), job.handles) == ("an empty wall", 3, 0, "1003-1004", 2)
    assert (job.colour.space, job.colour.config.startswith("ocio://")) == ("Linear Rec.709 (sRGB)", True)
    assert (
        job.remove.channel == "void_bridge.remove" and job.affected.channel == "void_bridge.affected" and not job.keep
    )
    exports = next((comp.folder / "void" / "exports").iterdir())
    assert sorted(path.name for path in exports.iterdir()) == [f"mattes.{frame}.exr" for frame in range(1001, 1007)]


def test_roto_that_is_drawn_in_nuke_is_replaced(comp, footage):
    roto = comp.nuke.nodes.Roto(inputs=[comp.plate])
    boxes = {f: (x, HEIGHT - t, r, HEIGHT - y) for f, (x, y, r, t) in zip(FRAMES, footage.boxes, strict=True)}
    comp.fake.draw(roto, boxes)
    comp.node.setInput(1, roto)
    comp.submit()
    frame = FRAMES[2]
    x, y, r, t = footage.boxes[2]
    assert (comp.paste(V1, frame)[y:t, x:r] == 1).all()
    assert (
        np.abs(comp.delivered(V1, frame)[y:t, x:r] - comp.fake.render(comp.plate, frame).rgb()[y:t, x:r]).max() > 0.05
    )


def test_a_canvas_in_the_old_order_is_named_in_the_report(comp):
    comp.node["canvas"].setValue("384x672")
    comp.submit()
    assert "canvas: read 384x672 in the old order, height x width; write 672x384" in comp.node["report"].value()


def test_empty_roto_is_named_in_the_report(comp):
    empty = comp.nuke.nodes.Roto()
    comp.fake.draw(empty, {})
    comp.node.setInput(1, empty)
    comp.node.setInput(2, None)
    comp.submit()
    assert "read the warnings" in comp.status()
    assert "the matte is empty in every frame: the result equals the plate" in comp.node["report"].value()
    assert np.array_equal(comp.fake.render(comp.node, FRAMES[0]).rgb(), comp.fake.render(comp.plate, FRAMES[0]).rgb())


def test_the_unmasked_fill_and_the_overlay_are_shown(comp):
    comp.node["full_fill"].setValue(True)
    comp.submit()
    frame = FRAMES[1]
    comp.node["show"].setValue("unmasked fill")
    fill = comp.fake.render(comp.node, frame).rgb()
    path = comp.folder / "void" / V1 / f"{V1}.{frame}.exr"
    channels = read_frame(path).picture.channels
    assert np.array_equal(fill, np.stack([channels[f"void_bridge_fill.{n}"] for n in "RGB"], -1).astype(np.float32))
    comp.nuke.frame(frame)
    comp.press("preview")
    comp.fake.pump(lambda: comp.node["show"].value() == "quadmask overlay" or comp.fake.messages, LAST_S)
    assert comp.fake.messages == []
    picture = Path(comp.node.node("overlay")["file"].value())
    assert picture.name == f"sh010_comp_VOIDRemove1_quadmask.{frame}.png" and picture.stat().st_size > 1000
    comp.node["show"].setValue("original")
    assert np.array_equal(comp.fake.render(comp.node, frame).rgb(), comp.fake.render(comp.plate, frame).rgb())


def test_the_comparison_is_a_movie_next_to_the_frames(comp):
    comp.submit()
    comp.press("compare")
    comp.fake.pump(lambda: "The comparison was written to" in comp.status(), LAST_S)
    assert (comp.folder / "void" / V1 / f"{V1}_compare.mp4").stat().st_size > 1000


def test_two_nodes_and_a_copy_have_versions_of_their_own(comp):
    comp.submit()
    (copy,) = comp.fake.copy_paste(comp.node)
    copy.setInput(0, comp.plate)
    copy.setInput(1, comp.roto)
    copy.setInput(2, comp.shadow)
    frame = FRAMES[0]
    assert np.array_equal(comp.fake.render(copy, frame).rgb(), comp.fake.render(comp.node, frame).rgb())
    copy["seed"].setValue(1)
    comp.submit(copy)
    own = "sh010_comp_VOIDRemove2_v001"
    assert (comp.folder / "void" / own / f"{own}.{frame}.exr").exists()
    assert own in copy["label"].value() and V1 in comp.node["label"].value()


def test_a_render_without_the_plugin_gives_the_result_and_refuses_what_is_not_there(comp):
    comp.submit()
    frame = FRAMES[3]
    shown = comp.fake.render(comp.node, frame).rgb()
    comp.nuke.scriptSave()
    stop()
    with FakeNuke(gui=False) as farm:
        farm.open(comp.script)
        node = farm.nuke.toNode("VOIDRemove1")
        assert np.array_equal(farm.render(node, frame).rgb(), shown)
        with pytest.raises(RuntimeError, match="stale or does not have this frame"):
            farm.render(node, FRAMES[-1] + 1)
        frame = FRAMES[5]
        (comp.folder / "void" / V1 / f"{V1}.{frame}.exr").unlink()
        with pytest.raises(RuntimeError, match=V1):
            farm.render(node, frame)
        node["show"].setValue("quadmask overlay")
        with pytest.raises(RuntimeError, match="VOIDRemove"):
            farm.render(node, frame)
        node["show"].setValue("original")
        assert farm.render(node, frame).rgb().max() > 0


def test_a_stale_result_is_refused_by_a_render_unless_it_is_wanted(comp):
    comp.submit()
    comp.fake.user_sets(comp.node["feather"], 9)
    assert "stale" in comp.node["label"].value()
    comp.nuke.scriptSave()
    with started(gui=False) as (farm, _):
        farm.open(comp.script)
        node = farm.nuke.toNode("VOIDRemove1")
        with pytest.raises(RuntimeError, match="stale"):
            farm.render(node, FRAMES[3])
        node["use_stale"].setValue(True)
        assert farm.render(node, FRAMES[3]).rgb().max() > 0


def test_a_render_inside_the_interface_refuses_what_only_a_viewer_may_show(comp):
    comp.node["frames_from"].setValue("custom")
    comp.node["frames"].setValue("1001-1004")
    comp.submit()
    write = comp.nuke.nodes.Write(inputs=[comp.node], file_type="exr", create_directories=True)
    write["file"].setValue((comp.folder / "render" / "out.####.exr").as_posix())
    comp.nuke.execute(write, 1001, 1004)
    with pytest.raises(RuntimeError, match=r"the result does not have frame 1005"):
        comp.nuke.execute(write, 1005, 1005)
    comp.fake.user_sets(comp.node["feather"], 9)
    with pytest.raises(RuntimeError, match="the result is stale"):
        comp.nuke.execute(write, 1001, 1001)
    comp.node["show"].setValue("quadmask overlay")
    with pytest.raises(RuntimeError, match="set to the quadmask overlay"):
        comp.nuke.execute(write, 1001, 1001)
    comp.node["show"].setValue("original")
    comp.nuke.execute(write, 1001, 1001)


def test_a_result_whose_server_is_gone_stays_done(comp, tmp_path, monkeypatch):
    from host_plugins.nuke.session import session

    comp.submit()
    controller = session().controller
    assert all(controller.wait(id, LAST_S) for id in controller.followed_ids())
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(tmp_path / "elsewhere"))
    comp.press("reload")
    comp.fake.pump(lambda: "their server no longer answers" in comp.status(), LAST_S)
    assert comp.node["label"].value().startswith("done")


def test_changes_upstream_and_of_the_range_are_seen_when_the_script_is_saved(comp):
    grade = comp.nuke.nodes.Grade(inputs=[comp.plate])
    comp.node.setInput(0, grade)
    comp.node["frames_from"].setValue("global")
    comp.submit()
    for knob, changed, submitted in (
        (grade["multiply"], 0.9, 1.0),
        (comp.nuke.root()["last_frame"], FRAMES[-2], FRAMES[-1]),
    ):
        knob.setValue(changed)
        assert "stale" not in comp.node["label"].value()
        comp.nuke.scriptSave()
        assert "stale" in comp.node["label"].value()
        knob.setValue(submitted)
        comp.nuke.scriptSave()
        assert "stale" not in comp.node["label"].value()


def test_terminal_renders_wait_for_the_job_and_start_no_server(comp):
    comp.nuke.scriptSave()
    with started(gui=False) as (farm, plugin):
        farm.open(comp.script)
        node = farm.nuke.toNode("VOIDRemove1")
        plugin.render(node)
        assert np.array_equal(farm.render(node, FRAMES[2]).rgb(), comp.delivered(V1, FRAMES[2]))
