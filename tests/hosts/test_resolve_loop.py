"""Jobs from the fake Fusion: real EXR files, a real server with its real engine, and back into Loaders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.hosts.fake_fusion.comp import read_text
from tests.hosts.fusion_shots import V1, V2, FusionShot, assert_restored, rgb
from tests.hosts.shots_on_disk import FRAMES, make_footage, point_hosts_at
from void_bridge.job import JobFile
from void_bridge.pixels.exr import read_frame

pytestmark = pytest.mark.slow


@pytest.fixture
def shot(served, footage, tmp_path):
    return FusionShot(footage, tmp_path)


@pytest.fixture(scope="module")
def finished_job(server, footage, tmp_path_factory):
    """Return a shot whose job has been run, the lines that its window has shown, and its saved composition."""
    shot = FusionShot(footage, tmp_path_factory.mktemp("finished"))
    shot.comp.tool("roto").position = (1.0, 0.0)
    lines = []

    def steps(user):
        lines.append(user.text("status"))
        shot.submit(user)
        user.set("feather", 9)
        user.until(lambda: lines.append(user.text("status")) or shot.shows_result())

    with pytest.MonkeyPatch.context() as patch:
        point_hosts_at(server, patch)
        shot.run_window(steps)
    assert_restored(shot)
    return shot, lines, shot.comp.save_text()


@pytest.fixture
def finished(finished_job, served):
    """Return the shot of `finished_job`, with its composition opened again."""
    shot, _, text = finished_job
    shot.fake.comp = read_text(shot.fake, text)
    shot.comp.selected = ["plate", "roto", "shadow"]
    return shot


def exports(shot: FusionShot) -> Path:
    return shot.folder / "void" / "exports" / V1


def job_of(shot: FusionShot):
    return JobFile.read(shot.folder / "void" / V1 / "job.json").job


def test_the_result_is_shown_in_loaders(finished):
    result, paste = finished.loader("result"), finished.loader("paste")
    assert (result.name, paste.name) == ("VOID_plate", "VOID_plate_paste")
    for frame in FRAMES:
        shown, plate = rgb(result.picture(frame)), rgb(finished.comp.tool("plate").picture(frame))
        weight = paste.picture(frame).rgba
        assert np.array_equal(weight[..., 0], weight[..., 3])
        assert np.array_equal(shown[weight[..., 3] == 0], plate[weight[..., 3] == 0])
        x, y, r, t = finished.footage.boxes[frame - FRAMES[0]]
        assert (weight[y:t, x:r, 3] == 1).any() and np.abs(shown - plate)[y:t, x:r].max() > 0.05
        alpha = finished.comp.tool("plate").picture(frame).rgba[..., 3]
        assert np.array_equal(result.picture(frame).rgba[..., 3], alpha)
    assert not list(finished.folder.glob("final*")), "the artist's own Saver wrote nothing"


def test_the_plate_is_exported_bit_for_bit_and_each_matte_as_a_sequence(finished):
    job = job_of(finished)
    assert job.plate == str(exports(finished) / "plate.####.exr")
    assert {role: matte.sequence for role, matte in job.mattes.items()} == {
        "remove": str(exports(finished) / "remove.####.exr"),
        "affected": str(exports(finished) / "affected.####.exr"),
    }
    assert {path.name.partition(".")[0] for path in exports(finished).iterdir()} == {"plate", "remove", "affected"}
    for frame in FRAMES:
        exported = read_frame(exports(finished) / f"plate.{frame}.exr").picture
        own = read_frame(finished.footage.plate.path(frame)).picture.channels
        assert all(np.array_equal(exported.channels[name], own[name]) for name in "RGBA")
        assert all(plane.dtype == np.float16 for plane in exported.channels.values())
        roto = read_frame(exports(finished) / f"remove.{frame}.exr").picture.channels["A"]
        assert np.array_equal(roto, read_frame(finished.footage.roto.path(frame)).picture.channels["A"])


def test_settings_that_change_during_a_job_are_those_of_the_next_one(finished):
    assert job_of(finished).feather == 4


def test_loaders_are_placed_at_free_positions_beside_the_plate(finished):
    positions = [tuple(tool.position) for tool in finished.comp.tools]
    assert len(set(positions)) == len(positions)
    x, y = finished.loader("result").position
    assert abs(x) + abs(y) <= 3


def test_the_window_shows_progress_and_the_report(finished_job):
    _, lines, _ = finished_job
    assert lines[0] == "No job yet." and len(set(lines)) > 3
    assert lines[-1].startswith(f"{len(FRAMES)} frames in ") and "propagate" in lines[-1]


def test_the_next_result_is_shown_in_the_same_loaders_with_their_trim(finished):
    first = finished.state()
    with finished.fake.building():
        result = finished.loader("result")
        for name, value in (("ClipTimeStart", 1), ("ClipTimeEnd", 5), ("HoldLastFrame", 3), ("Depth", 4)):
            result.SetInput(name, value)
        result.SetInput("GlobalOut", FRAMES[0] + 11)
        result.SetInput("GlobalIn", FRAMES[0] + 3)
        result.SetInput("ClipTimeStart", 1)
        result.SetInput("HoldFirstFrame", 0)
        result.SetInput("GlobalOut", FRAMES[0] + 7)
    before = dict(result.inputs)
    result.position = (4.0, 7.0)
    finished.run_window(finished.submit_and_wait)
    after = dict(finished.loader("result").inputs)
    assert (finished.loader("result") is result, result.position) == (True, (4.0, 7.0))
    assert len([tool for tool in finished.comp.tools if tool.id == "Loader"]) == 3
    assert Path(after.pop("Clip")).parent.name == V2 and Path(before.pop("Clip")).parent.name == V1
    assert after == before and finished.state().id != first.id


def test_a_shorter_result_keeps_the_trim_of_its_loader(finished):
    with finished.fake.building():
        finished.loader("result").SetInput("GlobalIn", FRAMES[0] + 1)  # which trims the clip by one frame

    def steps(user):
        user.choose("frames_from", "custom")
        user.type("frames", "1003-1006")
        finished.submit_and_wait(user)

    finished.run_window(steps)
    inputs = finished.loader("result").inputs
    names = ("GlobalIn", "GlobalOut", "ClipTimeStart", "ClipTimeEnd")
    assert [inputs[name] for name in names] == [1004, 1006, 1, 3]


def test_the_comparison_is_a_movie(finished):
    def steps(user):
        user.click("compare")
        user.until(lambda: "compare.mp4" in user.text("status"))

    finished.run_window(steps)
    assert (finished.folder / "void" / V1 / f"{V1}_compare.mp4").stat().st_size > 1000


def test_reload_shows_the_frames_again(finished):
    with finished.fake.building() as comp:
        comp.remove(finished.loader("result"))

    def steps(user):
        user.click("reload")
        assert finished.loader("result") is not None

    finished.run_window(steps)


def test_frames_that_are_gone_are_not_shown(finished, tmp_path):
    version = finished.folder / "void" / V1
    version.rename(tmp_path / V1)

    def steps(user):
        user.click("reload")
        assert f"frames are no longer at {finished.state().output}" in user.text("status")

    try:
        finished.run_window(steps)
    finally:
        (tmp_path / V1).rename(version)


def test_a_job_whose_composition_is_lost_is_found_again(finished, tmp_path):
    id = finished.state().id
    other = FusionShot(finished.footage, tmp_path)

    def steps(user):
        user.click("find_jobs")
        user.until(other.shows_result)

    other.fake.answers.append(lambda dialog: {"job": next(t for t in dialog["job"]["Options"].values() if id in t)})
    other.run_window(steps)
    assert other.state().id == id and Path(other.loader("result").inputs["Clip"]).parent.name == V1


def test_settings_and_colour_reach_the_job(shot):
    def steps(user):
        user.type("prompt", "an empty\n wall")
        user.set("seed", 3)
        user.set("feather", 0)
        user.choose("frames_from", "custom")
        user.type("frames", "1003-1004")
        user.set("handles", 2)
        user.set("invert_affected", True)
        user.choose("tool_keep", "shadow")
        user.choose("depth", "float")
        shot.submit_and_cancel(user)

    shot.run_window(steps)
    job = job_of(shot)
    assert (job.prompt, job.seed, job.feather, str(job.frames), job.handles) == ("an empty wall", 3, 0, "1003-1004", 2)
    assert (job.colour.space, job.colour.config.startswith("ocio://")) == ("Linear Rec.709 (sRGB)", True)
    assert (job.remove.invert, job.affected.invert, job.keep.invert) == (False, True, False)
    written = sorted(path.name for path in exports(shot).glob("plate.*"))
    assert written == [f"plate.{frame}.exr" for frame in range(1001, 1007)]
    assert read_frame(exports(shot) / "plate.1003.exr").picture.channels["R"].dtype == np.float32


def test_frames_with_gaps_are_rendered_as_they_are_asked_for(shot):
    def steps(user):
        user.choose("frames_from", "custom")
        user.type("frames", "1001-1007x2")
        shot.submit_and_wait(user)

    shot.run_window(steps)
    written = sorted(path.name for path in exports(shot).glob("plate.*"))
    assert written == [f"plate.{frame}.exr" for frame in range(1001, 1008, 2)]
    assert shot.state().ready == "1001-1007x2"
    loader = shot.loader("result")
    assert (loader.inputs["GlobalIn"], loader.inputs["GlobalOut"]) == (1001, 1007)


def test_overscan_is_kept(served, tmp_path):
    wide = make_footage(tmp_path / "wide", overscan=8)
    shot = FusionShot(wide, tmp_path)
    shot.run_window(shot.submit_and_wait)
    exported = read_frame(exports(shot) / "plate.1002.exr").picture
    own = read_frame(wide.plate.path(1002)).picture
    assert (exported.data_window, exported.display_window) == (own.data_window, own.display_window)
    assert shot.loader("result").picture(1002).domain == own.data_window
    assert_restored(shot)


def test_the_alpha_of_a_picture_can_be_a_matte(shot):
    with shot.fake.building():
        shot.add_loader("matte", 4, shot.footage.roto)
    shot.comp.selected = ["plate", "matte"]
    shot.run_window(shot.submit_and_cancel)
    for frame in FRAMES:
        exported = read_frame(exports(shot) / f"remove.{frame}.exr").picture.channels["A"]
        assert np.array_equal(exported, read_frame(shot.footage.roto.path(frame)).picture.channels["A"])


def test_a_preview_goes_through_the_colour_space(shot):
    def steps(user):
        user.type("colorspace", "ACEScg")
        user.click("preview")
        user.until(lambda: "<img" in user.text("picture"))

    shot.comp.CurrentTime = 1003.0
    shot.run_window(steps)
    (picture,) = (shot.folder / "void" / "exports" / "sh010_comp_plate_preview").glob("*.png")
    assert picture.name == "preview.1003.png" and picture.stat().st_size > 1000
    assert_restored(shot)
    assert shot.state().phase == "none" and list((shot.folder / "void").iterdir()) == [shot.folder / "void" / "exports"]


def test_the_server_is_checked_and_freed(shot):
    def steps(user):
        user.click("check_server")
        user.until(lambda: "propagate" in user.text("status"))
        user.click("free_gpu")
        user.until(lambda: "release their GPU memory" in user.text("status"))

    shot.run_window(steps)


def test_browse_writes_the_chosen_folder_into_its_field(shot):
    def steps(user):
        shot.fake.chosen_path = "/shows/results"
        user.click("browse_folder")
        assert user.text("folder") == "/shows/results"
        shot.fake.chosen_path = None  # cancelled
        user.click("browse_folder")
        assert user.text("folder") == "/shows/results"

    shot.run_window(steps)


def test_use_selected_tools_takes_the_selection(shot):
    def steps(user):
        with shot.fake.building():
            shot.add_loader("other", 4, shot.footage.plate)
        shot.comp.selected = ["other"]
        user.click("use_selection")
        assert user.item("tool_plate").entries[user.item("tool_plate").CurrentIndex] == "other"

    shot.run_window(steps)
