"""The whole loop from (a fake of) Fusion: real EXR, a real server with its real engine, and back into Loaders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.hosts.fusion_shots import V1, V2, Shot, as_was, rgb
from tests.hosts.shots_on_disk import FRAMES, make_footage
from void_bridge.job import JobFile
from void_bridge.pixels.exr import read_frame


@pytest.fixture
def shot(served, footage, tmp_path):
    return Shot(footage, tmp_path)


def removed(shot: Shot) -> None:
    def steps(user):
        shot.submit(user)
        user.until(shot.is_home)

    shot.use(steps)


def test_a_shot_goes_out_and_comes_back_into_loaders(shot):
    removed(shot)
    result, paste = shot.loader("result"), shot.loader("paste")
    assert (result.name, paste.name) == ("VOID_plate", "VOID_plate_paste")
    for frame in FRAMES:
        shown, plate = rgb(result.picture(frame)), rgb(shot.comp.tool("plate").picture(frame))
        weight = paste.picture(frame).rgba
        assert np.array_equal(weight[..., 0], weight[..., 3])
        assert np.array_equal(shown[weight[..., 3] == 0], plate[weight[..., 3] == 0])
        x, y, r, t = shot.footage.boxes[frame - FRAMES[0]]
        assert (weight[y:t, x:r, 3] == 1).any() and np.abs(shown - plate)[y:t, x:r].max() > 0.05
        assert np.array_equal(result.picture(frame).rgba[..., 3], shot.comp.tool("plate").picture(frame).rgba[..., 3])
    as_was(shot)
    assert not list(shot.folder.glob("final*"))


def test_what_is_exported_is_the_plate_bit_for_bit_and_each_matte_as_a_sequence(shot):
    removed(shot)
    job = JobFile.read(shot.folder / "void" / V1 / "job.json").job
    exports = shot.folder / "void" / "exports" / V1
    assert job.plate == str(exports / "plate.####.exr")
    assert {role: matte.sequence for role, matte in job.mattes.items()} == {
        "remove": str(exports / "remove.####.exr"),
        "affected": str(exports / "affected.####.exr"),
    }
    assert {path.name.partition(".")[0] for path in exports.iterdir()} == {"plate", "remove", "affected"}
    for frame in FRAMES:
        mine = read_frame(exports / f"plate.{frame}.exr").picture
        own = read_frame(shot.footage.plate.path(frame)).picture.channels
        assert all(np.array_equal(mine.channels[name], own[name]) for name in "RGBA")
        assert all(plane.dtype == np.float16 for plane in mine.channels.values())
        roto = read_frame(exports / f"remove.{frame}.exr").picture.channels["A"]
        assert np.array_equal(roto, read_frame(shot.footage.roto.path(frame)).picture.channels["A"])


def test_the_next_submission_goes_into_the_same_loaders_with_their_trim(shot):
    removed(shot)
    first = shot.state()
    with shot.fake.building():
        result = shot.loader("result")
        for name, value in (("ClipTimeStart", 1), ("ClipTimeEnd", 5), ("HoldLastFrame", 3), ("Depth", 4)):
            result.SetInput(name, value)
        result.SetInput("GlobalOut", FRAMES[0] + 11)
        result.SetInput("GlobalIn", FRAMES[0] + 3)
        result.SetInput("ClipTimeStart", 1)
        result.SetInput("HoldFirstFrame", 0)
        result.SetInput("GlobalOut", FRAMES[0] + 7)
    before = dict(result.inputs)
    result.place = (4.0, 7.0)

    def steps(user):
        shot.submit(user)
        user.until(lambda: shot.is_home(first.id))

    shot.use(steps)
    after = dict(shot.loader("result").inputs)
    assert (shot.loader("result") is result, result.place) == (True, (4.0, 7.0))
    assert len([tool for tool in shot.comp.tools if tool.id == "Loader"]) == 3
    assert Path(after.pop("Clip")).parent.name == V2 and Path(before.pop("Clip")).parent.name == V1
    assert after == before


def test_loaders_take_an_empty_place_beside_the_plate(shot):
    shot.comp.tool("roto").place = (1.0, 0.0)
    removed(shot)
    places = [tool.place for tool in shot.comp.tools]
    assert len(set(places)) == len(places)
    x, y = shot.loader("result").place
    assert abs(x) + abs(y) <= 3


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
        shot.submit(user)
        user.until(lambda: shot.is_home)
        user.until(shot.is_home)

    shot.use(steps)
    job = JobFile.read(shot.folder / "void" / V1 / "job.json").job
    assert (job.prompt, job.seed, job.feather, str(job.frames), job.handles) == ("an empty wall", 3, 0, "1003-1004", 2)
    assert (job.colour.space, job.colour.config.startswith("ocio://")) == ("Linear Rec.709 (sRGB)", True)
    assert (job.remove.invert, job.affected.invert, job.keep.invert) == (False, True, False)
    exports = shot.folder / "void" / "exports" / V1
    assert sorted(path.name for path in exports.glob("plate.*")) == [
        f"plate.{frame}.exr" for frame in range(1001, 1007)
    ]
    assert read_frame(exports / "plate.1003.exr").picture.channels["R"].dtype == np.float32


def test_frames_with_gaps_are_rendered_as_they_are_asked_for(shot):
    def steps(user):
        user.choose("frames_from", "custom")
        user.type("frames", "1001-1007x2")
        shot.submit(user)
        user.until(shot.is_home)

    shot.use(steps)
    exports = shot.folder / "void" / "exports" / V1
    assert sorted(path.name for path in exports.glob("plate.*")) == [
        f"plate.{frame}.exr" for frame in range(1001, 1008, 2)
    ]
    assert shot.state().ready == "1001-1007x2"
    loader = shot.loader("result")
    assert (loader.inputs["GlobalIn"], loader.inputs["GlobalOut"]) == (1001, 1007)


def test_overscan_is_kept(served, tmp_path):
    wide = make_footage(tmp_path / "wide", overscan=8)
    shot = Shot(wide, tmp_path)
    removed(shot)
    exported = read_frame(shot.folder / "void" / "exports" / V1 / "plate.1002.exr").picture
    own = read_frame(wide.plate.path(1002)).picture
    assert (exported.data_window, exported.display_window) == (own.data_window, own.display_window)
    assert shot.loader("result").picture(1002).domain == own.data_window
    as_was(shot)


def test_a_picture_with_an_alpha_is_a_matte_too(shot):
    with shot.fake.building():
        matte = shot._tool("Loader", "matte", 4)
        matte.SetInput("Clip", str(shot.footage.roto.path(FRAMES[0])))
    shot.comp.selected = ["plate", "matte"]
    removed(shot)
    exports = shot.folder / "void" / "exports" / V1
    for frame in FRAMES:
        exported = read_frame(exports / f"remove.{frame}.exr").picture.channels["A"]
        assert np.array_equal(exported, read_frame(shot.footage.roto.path(frame)).picture.channels["A"])


def test_another_session_finds_the_job_and_its_frames(shot):
    def steps(user):
        shot.submit(user)
        user.until(lambda: shot.state().phase in ("queued", "running", "done"))

    shot.use(steps)
    before = shot.state()
    shot.fake.reopen()
    shot.comp.selected = []
    shot.use(lambda user: user.until(shot.is_home))
    assert shot.state().id == before.id and shot.state().phase == "done"
    assert shot.loader("result").picture(FRAMES[2]) is not None


def test_the_window_shows_how_things_stand_and_the_report(shot):
    seen = []

    def steps(user):
        assert user.text("status") == "No job yet."
        shot.submit(user)
        user.until(lambda: seen.append(user.text("status")) or shot.is_home())
        assert user.text("status").startswith(f"{len(FRAMES)} frames in ")
        assert "propagate" in user.text("status")

    shot.use(steps)
    assert len(set(seen)) > 2


def test_a_preview_goes_through_the_colour_space(shot):
    def steps(user):
        user.type("colorspace", "ACEScg")
        user.click("preview")
        user.until(lambda: "<img" in user.text("picture"))

    shot.comp.CurrentTime = 1003.0
    shot.use(steps)
    (picture,) = (shot.folder / "void" / "exports" / "sh010_comp_plate_preview").glob("*.png")
    assert picture.name == "preview.1003.png" and picture.stat().st_size > 1000
    as_was(shot)
    assert shot.state().phase == "none" and list((shot.folder / "void").iterdir()) == [shot.folder / "void" / "exports"]


def test_comparing_and_asking_the_server(shot):
    def steps(user):
        user.click("check_server")
        user.until(lambda: "propagate" in user.text("status"))
        user.click("free_gpu")
        user.until(lambda: "give their GPU memory back" in user.text("status"))
        shot.submit(user)
        user.until(shot.is_home)
        user.click("compare")
        user.until(lambda: "compare.mp4" in user.text("status"))

    shot.use(steps)
    assert (shot.folder / "void" / V1 / f"{V1}_compare.mp4").stat().st_size > 1000


def test_a_job_whose_composition_is_gone_is_found_again(shot, footage, tmp_path):
    removed(shot)
    id = shot.state().id
    other = Shot(footage, tmp_path / "other")

    def steps(user):
        user.click("find_jobs")
        user.until(lambda: other.is_home())

    other.fake.answers.append(lambda dialog: {"job": next(t for t in dialog["job"]["Options"].values() if id in t)})
    other.use(steps)
    assert other.state().id == id and Path(other.loader("result").inputs["Clip"]).parent.name == V1
