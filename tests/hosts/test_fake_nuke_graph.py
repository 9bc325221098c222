"""The fake of Nuke: images through the node graph."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import OpenEXR
import pytest

from tests.hosts.fake_nuke import Box, FakeNuke
from tests.support import exrs
from void_bridge.pixels.box import Box as Rows
from void_bridge.pixels.exr import write_simple

RED, GREEN, BLUE, ALPHA = "rgba.red", "rgba.green", "rgba.blue", "rgba.alpha"


@pytest.fixture
def fake():
    with FakeNuke() as session:
        session.nuke.root()["format"].setValue("8 6 1 tiny")
        yield session


@pytest.fixture
def nuke(fake):
    return fake.nuke


@pytest.fixture
def layer(nuke):
    return nuke.Layer("void_bridge", ["void_bridge.remove", "void_bridge.paste"])


def constant(nuke, red, green=0.0, blue=0.0, alpha=1.0):
    return nuke.nodes.Constant(color=[red, green, blue, alpha], channels="rgba")


def box_matte(fake, box=(2, 1, 5, 4)):
    roto = fake.nuke.nodes.Roto()
    fake.draw(roto, lambda frame: box)
    return roto


def in_box(box=(2, 1, 5, 4), shape=(6, 8)):
    """1 inside a box with its origin at the bottom left, as an array with the top row first."""
    x, y, r, t = box
    plane = np.zeros(shape, np.float32)
    plane[shape[0] - t : shape[0] - y, x:r] = 1
    return plane


class TestSources:
    def test_constant(self, fake, nuke):
        image = fake.render(constant(nuke, 0.25, 40.0))
        assert image.box == (0, 0, 8, 6) and set(image.channels) == {RED, GREEN, BLUE, ALPHA}
        assert np.array_equal(image.rgb(), np.full((6, 8, 3), [0.25, 40.0, 0.0], np.float32))

    def test_checkerboard(self, fake, nuke):
        board = nuke.nodes.CheckerBoard2(boxsize=2, color0=0.0, color1=1.0)
        red = fake.render(board).plane(RED)
        assert red[0, 0] == red[1, 1] == red[2, 2] == 0 and red[0, 2] == red[2, 0] == 1

    def test_roto_draws_boxes_by_frame(self, fake, nuke):
        roto = nuke.nodes.Roto()
        fake.draw(roto, {1: (0, 0, 2, 2), 3: (2, 1, 5, 4)})
        assert np.array_equal(fake.render(roto, 1).plane(ALPHA), in_box((0, 0, 2, 2)))
        assert not fake.render(roto, 2).plane(ALPHA).any()
        assert np.array_equal(fake.render(roto, 3).plane(ALPHA), in_box())

    def test_roto_over_an_image(self, fake, nuke):
        roto = nuke.nodes.Roto(inputs=[constant(nuke, 0.5, alpha=0.0)])
        fake.draw(roto, lambda frame: (2, 1, 5, 4))
        image = fake.render(roto)
        assert np.array_equal(image.plane(ALPHA), in_box()) and image.plane(RED).min() == 0.5

    def test_nothing_connected_is_black_in_the_projects_format(self, fake, nuke):
        image = fake.render(nuke.nodes.NoOp())
        assert image.box == (0, 0, 8, 6) and not image.rgb().any()

    def test_an_unknown_setting_is_refused(self, fake, nuke):
        with pytest.raises(RuntimeError, match="over"):
            fake.render(nuke.nodes.Merge2(operation="screen"))
        with pytest.raises(RuntimeError, match="the fake"):
            fake.render(nuke.nodes.Grade(gamma=2.0))


class TestOperations:
    def test_copy(self, fake, nuke, layer):
        copy = nuke.nodes.Copy(inputs=[constant(nuke, 0.5), box_matte(fake)])
        copy["to0"].setValue("void_bridge.remove")
        image = fake.render(copy)
        assert np.array_equal(image.plane("void_bridge.remove"), in_box())
        assert image.plane(ALPHA).min() == 1.0 and image.plane(RED).min() == 0.5

    @pytest.mark.parametrize(
        ("side", "expected"), [("union", (-2, 0, 8, 6)), ("B", (0, 0, 8, 6)), ("A", (-2, 1, 5, 4))]
    )
    def test_bounding_boxes(self, fake, nuke, side, expected):
        roto = nuke.nodes.Crop(inputs=[constant(nuke, 1.0)], box=[-2, 1, 5, 4])
        for made in (nuke.nodes.Copy(), nuke.nodes.Keymix(maskChannel="none")):
            made.setInput(0, nuke.nodes.Constant())
            made.setInput(1, roto)
            made["bbox"].setValue(side)
            assert fake.render(made).box == expected

    def test_keymix(self, fake, nuke):
        below, above = constant(nuke, 0.25, 0.5), constant(nuke, 1.0, 2.0, alpha=0.0)
        keymix = nuke.nodes.Keymix(inputs=[below, above, box_matte(fake)], channels="rgb")
        image, matte = fake.render(keymix), in_box()
        assert np.array_equal(image.plane(RED), np.where(matte, 1.0, 0.25).astype(np.float32))
        assert image.plane(ALPHA).min() == 1.0  # not among its channels
        keymix["invertMask"].setValue(True)
        assert np.array_equal(fake.render(keymix).plane(GREEN), np.where(matte, 0.5, 2.0).astype(np.float32))

    def test_keymix_is_exact_where_the_other_side_is_not_finite(self, fake, nuke):
        below, above = constant(nuke, 0.25), constant(nuke, float("inf"))
        keymix = nuke.nodes.Keymix(inputs=[below, above, box_matte(fake)])
        red = fake.render(keymix).plane(RED)
        assert np.array_equal(red, np.where(in_box(), np.inf, 0.25).astype(np.float32))

    def test_keymix_half_way(self, fake, nuke):
        keymix = nuke.nodes.Keymix(inputs=[constant(nuke, 0.0), constant(nuke, 1.0)], maskChannel="none", mix=0.25)
        assert np.allclose(fake.render(keymix).plane(RED), 0.25)

    def test_switch_computes_only_what_it_shows(self, fake, nuke):
        broken = nuke.nodes.Read(file="/nowhere/a.exr")
        switch = nuke.nodes.Switch(inputs=[constant(nuke, 0.5), broken])
        assert fake.render(switch).plane(RED).min() == 0.5
        switch["which"].setValue(1)
        with pytest.raises(RuntimeError, match="nowhere"):
            fake.render(switch)
        switch["which"].setValue(-3)
        assert fake.render(switch).plane(RED).min() == 0.5

    def test_expression(self, fake, nuke, layer):
        source = nuke.nodes.Copy(inputs=[constant(nuke, 0.5), box_matte(fake)], to0="void_bridge.paste")
        made = nuke.nodes.Expression(inputs=[source], channel0="alpha", expr0="void_bridge.paste > 0 ? r * 2 : 0")
        assert np.array_equal(fake.render(made).plane(ALPHA), in_box())
        assert np.array_equal(fake.render(made).plane(RED), np.full((6, 8), 0.5, np.float32))

    def test_expression_of_a_layer_that_is_not_there_is_zero(self, fake, nuke, layer):
        made = nuke.nodes.Expression(inputs=[constant(nuke, 0.5)], channel0="alpha", expr0="void_bridge.paste > 0")
        assert not fake.render(made).plane(ALPHA).any()

    def test_expression_by_position(self, fake, nuke):
        made = nuke.nodes.Expression(inputs=[constant(nuke, 0.5)], expr0="x", expr1="y")
        image = fake.render(made)
        assert image.plane(RED)[0, :3].tolist() == [0, 1, 2] and image.plane(GREEN)[-3:, 0].tolist() == [2, 1, 0]

    def test_assert(self, fake, nuke):
        guard = nuke.nodes.Assert(inputs=[constant(nuke, 0.5)], message="no frame [frame]")
        assert fake.render(guard).plane(RED).min() == 0.5
        guard["expression"].setExpression("frame < 10")
        fake.render(guard, 9)
        with pytest.raises(RuntimeError, match="no frame 10"):
            fake.render(guard, 10)
        guard["disable"].setValue(True)
        fake.render(guard, 10)

    def test_merge_over(self, fake, nuke):
        above = nuke.nodes.Premult(inputs=[nuke.nodes.Roto(inputs=[constant(nuke, 1.0, alpha=0.0)])])
        fake.draw(above.input(0), lambda frame: (2, 1, 5, 4))
        merged = nuke.nodes.Merge2(inputs=[constant(nuke, 0.25), above])
        assert np.array_equal(fake.render(merged).plane(RED), np.where(in_box(), 1.0, 0.25).astype(np.float32))

    def test_grade_invert_and_remove(self, fake, nuke):
        source = constant(nuke, 0.5, 0.25)
        grade = nuke.nodes.Grade(inputs=[source], multiply=2.0, add=-0.75)
        assert fake.render(grade).rgb()[0, 0].tolist() == [0.25, 0.0, 0.0]
        grade["black_clamp"].setValue(False)
        assert fake.render(grade).rgb()[0, 0].tolist() == [0.25, -0.25, -0.75]
        assert fake.render(nuke.nodes.Invert(inputs=[source])).rgb()[0, 0].tolist() == [0.5, 0.75, 1.0]
        removed = nuke.nodes.Remove(inputs=[source], channels="alpha")
        assert set(fake.render(removed).channels) == {RED, GREEN, BLUE}
        removed["operation"].setValue("keep")
        assert set(fake.render(removed).channels) == {ALPHA}

    def test_crop_and_reformat(self, fake, nuke):
        crop = nuke.nodes.Crop(inputs=[constant(nuke, 1.0)], box=[2, 1, 5, 4])
        image = fake.render(crop)
        assert image.box == (2, 1, 5, 4) and np.array_equal(image.plane(RED), in_box())
        crop["reformat"].setValue(True)
        image = fake.render(crop)
        assert image.box == (0, 0, 3, 3) and (image.format.width(), image.format.height()) == (3, 3)
        moved = nuke.nodes.Reformat(inputs=[constant(nuke, 1.0)], format="12 10 2 wide", resize="none")
        image = fake.render(moved)
        assert image.box == (2, 2, 10, 8) and image.format.pixelAspect() == 2
        with pytest.raises(RuntimeError, match="resize"):
            fake.render(nuke.nodes.Reformat(format="12 10 2 wide"))

    def test_time_offset(self, fake, nuke):
        roto = nuke.nodes.Roto()
        fake.draw(roto, {5: (2, 1, 5, 4)})
        offset = nuke.nodes.TimeOffset(inputs=[roto], time_offset=10)
        assert fake.render(offset, 15).plane(ALPHA).any() and not fake.render(offset, 5).plane(ALPHA).any()

    def test_black_outside(self, fake, nuke):
        image = fake.render(nuke.nodes.BlackOutside(inputs=[constant(nuke, 1.0)]))
        assert image.box == (-1, -1, 9, 7) and image.black_outside
        assert image.plane(RED, image.box)[0].max() == 0 and image.plane(RED).min() == 1

    def test_views(self, fake, nuke):
        nuke.addView("right")
        joined = nuke.nodes.JoinViews(inputs=[constant(nuke, 0.25), constant(nuke, 0.75)])
        assert [fake.render(joined, view=view).plane(RED).min() for view in nuke.views()] == [0.25, 0.75]
        one = nuke.nodes.OneView(inputs=[joined], view="right")
        assert fake.render(one, view="main").plane(RED).min() == 0.75
        with pytest.raises(ValueError, match="'main', 'right'"):
            one["view"].setValue("left")

    def test_groups(self, fake, nuke):
        group = nuke.nodes.Group()
        with group:
            first = nuke.nodes.Input(name="first")
            nuke.nodes.Input(name="second")
            grade = nuke.nodes.Grade(inputs=[first])
            grade["multiply"].setExpression("parent.gain")
            nuke.nodes.Output(inputs=[grade])
        group.addKnob(nuke.Double_Knob("gain"))
        group["gain"].setValue(3)
        group.setInput(0, constant(nuke, 0.25))
        assert fake.render(group).plane(RED).min() == 0.75
        assert (group.firstFrame(), group.format().width(), group.input(1)) == (1, 8, None)

    def test_a_group_without_output(self, fake, nuke):
        with pytest.raises(RuntimeError, match="Output"):
            fake.render(nuke.nodes.Group())


class TestRead:
    @pytest.fixture
    def folder(self, tmp_path):
        for frame in (1001, 1002, 1003):
            red = np.full((6, 8), frame - 1000, np.float16)
            write_simple(tmp_path / f"plate.{frame}.exr", {"R": red, "G": red * 0, "B": red * 0})
        return tmp_path

    @pytest.fixture
    def read(self, nuke, folder):
        return nuke.nodes.Read(file=f"{folder.as_posix()}/plate.%04d.exr", first=1001, last=1003)

    def reds(self, fake, read, *frames):
        return [float(fake.render(read, frame).plane(RED)[0, 0]) for frame in frames]

    def test_frames_and_holds(self, fake, read):
        assert self.reds(fake, read, 1000, 1001, 1002, 1003, 1010) == [1, 1, 2, 3, 3]

    @pytest.mark.parametrize(
        ("policy", "expected"), [("black", [0, 0]), ("loop", [3, 1]), ("bounce", [1, 3]), ("hold", [1, 3])]
    )
    def test_before_and_after(self, fake, read, policy, expected):
        read["before"].setValue(policy)
        read["after"].setValue(policy)
        assert self.reds(fake, read, 1000, 1004) == expected

    @pytest.mark.parametrize(
        ("mode", "text", "frame", "expected"),
        [
            ("start at", "1", 2, 2),
            ("offset", "1000", 3, 3),
            ("expression", "frame + 1000", 1, 1),
            ("offset", "", 1002, 2),
        ],
    )
    def test_frame_modes(self, fake, read, mode, text, frame, expected):
        read["frame_mode"].setValue(mode)
        read["frame"].setValue(text)
        assert self.reds(fake, read, frame) == [expected]

    def test_frame_ranges(self, nuke, read):
        assert (read.firstFrame(), read.lastFrame(), str(read.frameRange())) == (1001, 1003, "1001-1003")
        read["frame_mode"].setValue("start at")
        read["frame"].setValue("1")
        assert (read.firstFrame(), read.lastFrame()) == (1, 3)
        assert nuke.nodes.TimeOffset(inputs=[read], time_offset=10).firstFrame() == 11
        read["frame_mode"].setValue("offset")
        read["frame"].setValue("1000")
        assert (read.firstFrame(), read.lastFrame()) == (1, 3)
        assert (nuke.nodes.Constant().firstFrame(), nuke.nodes.Constant().lastFrame()) == (1, 100)

    def test_a_missing_file(self, fake, nuke, read, folder):
        (folder / "plate.1002.exr").unlink()
        with pytest.raises(RuntimeError, match=r"plate\.1002\.exr: No such file"):
            fake.render(read, 1002)
        read["on_error"].setValue("black")
        assert self.reds(fake, read, 1002) == [0]
        read["on_error"].setValue("nearest frame")
        assert self.reds(fake, read, 1002) == [1]
        read["on_error"].setValue("checkerboard")
        assert fake.render(read, 1002).plane(GREEN).max() == 0.5
        nuke.frame(1002)
        read["on_error"].setValue("error")
        assert read.hasError() and nuke.nodes.NoOp(inputs=[read]).treeHasError()

    def test_no_file_and_no_exr(self, fake, nuke, tmp_path):
        with pytest.raises(RuntimeError, match="no file name"):
            fake.render(nuke.nodes.Read())
        (tmp_path / "a.png").write_bytes(b"")
        with pytest.raises(RuntimeError, match="EXR only"):
            fake.render(nuke.nodes.Read(file=str(tmp_path / "a.png")))

    def test_a_damaged_file(self, fake, read, folder):
        (folder / "plate.1002.exr").write_bytes(b"nothing")
        with pytest.raises(RuntimeError, match="1002"):
            fake.render(read, 1002)

    def test_new_files_are_seen_after_a_reload(self, fake, read, folder):
        (folder / "plate.1002.exr").unlink()
        with pytest.raises(RuntimeError):
            fake.render(read, 1002)
        write_simple(folder / "plate.1002.exr", {"R": np.full((6, 8), 9, np.float16)})
        with pytest.raises(RuntimeError):
            fake.render(read, 1002)
        read["reload"].execute()
        assert self.reds(fake, read, 1002) == [9]

    def test_without_caches_they_are_seen_at_once(self, folder):
        with FakeNuke(caches=False) as fake:
            read = fake.nuke.nodes.Read(file=f"{folder.as_posix()}/plate.%04d.exr", first=1001, last=1003)
            self.reds(fake, read, 1002)
            write_simple(folder / "plate.1002.exr", {"R": np.full((6, 8), 9, np.float16)})
            assert self.reds(fake, read, 1002) == [9]

    def test_looking_at_the_files_sets_range_and_format(self, nuke, folder):
        path = f"{folder.as_posix()}/plate.%04d.exr"
        made = nuke.createNode("Read", f"file {{{path}}}")
        assert [made[name].value() for name in ("first", "last", "origfirst", "origlast")] == [1001, 1003] * 2
        assert made["format"].value().width() == 8
        other = nuke.nodes.Read()
        other["file"].setValue(path)
        assert (other["first"].value(), other["last"].value()) == (1, 1)
        other["file"].fromUserText(f"{path} 1001-1002")
        assert (other["first"].value(), other["last"].value()) == (1001, 1002)
        other["rescan_range"].execute()
        assert other["last"].value() == 1003

    def test_a_button_that_the_fake_does_not_know(self, nuke, read):
        with pytest.raises(AssertionError, match="swap"):
            read["swap"].execute()

    def test_channels_are_named_as_in_nuke(self, nuke, tmp_path):
        names = ["R", "A", "void_bridge.paste", "spec.R", "2deep.x", "Z", "left.eye.G", "solo", "odd-name.b"]
        path = tmp_path / "a.exr"
        write_simple(path, {name: exrs.plane((6, 8)) for name in names})
        assert nuke.nodes.Read(file=str(path)).channels() == sorted(
            [
                RED,
                ALPHA,
                "void_bridge.paste",
                "spec.red",
                "deep.x",
                "depth.Z",
                "left_eye.green",
                "other.solo",
                "odd_name.blue",
            ]
        )

    def test_windows(self, fake, nuke, tmp_path):
        path = tmp_path / "a.exr"
        plane = exrs.plane((4, 5))
        plane[~np.isfinite(plane)] = 0
        header = {"pixelAspectRatio": 2.0}
        write_simple(path, {"R": plane}, Rows(0, 0, 6, 8), Rows(-1, -2, 3, 3), header)
        read = nuke.nodes.Read(file=str(path))
        image = fake.render(read)
        # The rows -1 to 2 of a picture of 6 rows; one black pixel around, for the windows differ.
        assert image.box == Box(-2, 3, 3, 7).grown(1) and image.black_outside
        assert np.array_equal(image.plane(RED, (-2, 3, 3, 7)), plane.astype(np.float32))
        assert not image.plane(RED, image.box)[0].any()
        assert (read.width(), read.height(), read.pixelAspect()) == (8, 6, 2.0)
        found = read.bbox()
        assert (found.x(), found.y(), found.w(), found.h()) == (-3, 2, 7, 6)
        read["edge_pixels"].setValue("repeat")
        assert fake.render(read).box == (-2, 3, 3, 7)

    def test_a_display_window_that_does_not_start_at_zero(self, fake, nuke, tmp_path):
        path = tmp_path / "a.exr"
        plane = np.arange(48, dtype=np.float32).reshape(6, 8)
        write_simple(path, {"R": plane}, Rows(2, -3, 8, 5))
        read = nuke.nodes.Read(file=str(path))
        image = fake.render(read)
        assert np.array_equal(image.plane(RED, (3, 2, 11, 8)), plane)
        assert (image.format.width(), image.format.height()) == (8, 6)
        assert read.metadata("exr/displayWindow") == [-3, 2, 4, 7]

    def test_metadata(self, nuke, tmp_path):
        header = {
            "timeCode": OpenEXR.TimeCode(1, 2, 3, 4, *[0] * 14),
            "framesPerSecond": Fraction(24000, 1001),
            "camera": "A",
            "nuke/node_hash": "abc",
        }
        write_simple(tmp_path / "a.exr", {"R": exrs.plane((6, 8), np.float32)}, header=header)
        read = nuke.nodes.Read(file=str(tmp_path / "a.exr"))
        assert read.metadata("input/timecode") == "01:02:03:04"
        assert read.metadata("input/frame_rate") == pytest.approx(23.976, abs=1e-3)
        assert read.metadata("input/bitsperchannel") == "32-bit float"
        assert read.metadata("exr/camera") == "A" and read.metadata("nuke/node_hash") == "abc"
        assert read.metadata("exr/dataWindow") == [0, 0, 7, 5]
        assert read.metadata("nothing") is None and "exr/camera" in nuke.nodes.NoOp(inputs=[read]).metadata()

    def test_auto_alpha(self, fake, read):
        assert ALPHA not in fake.render(read, 1001).channels
        read["auto_alpha"].setValue(True)
        assert fake.render(read, 1001).plane(ALPHA).min() == 1

    def test_hashes_change_with_what_is_upstream(self, nuke, read):
        after = nuke.nodes.Grade(inputs=[read])
        first = after.opHashes()
        read.setXYpos(10, 10)
        assert after.opHashes() == first
        read["raw"].setValue(True)
        assert after.opHashes() != first

    def test_samples(self, nuke, read):
        nuke.frame(1002)
        assert (read.sample("red", 0.5, 0.5), read.sample(RED, 100, 0), read.sample("green", 1, 1)) == (2, 0, 0)
