"""The fake of Nuke: executing Writes, and the EXR files that come of it."""

from __future__ import annotations

import numpy as np
import OpenEXR
import pytest

from tests.hosts.fake_nuke import FakeNuke
from void_bridge.pixels.box import Box as Rows
from void_bridge.pixels.exr import read_frame, write_simple


@pytest.fixture
def fake():
    with FakeNuke() as session:
        session.nuke.root()["format"].setValue("8 6 1 tiny")
        yield session


@pytest.fixture
def nuke(fake):
    return fake.nuke


@pytest.fixture
def board(nuke):
    return nuke.nodes.CheckerBoard2(boxsize=2)


@pytest.fixture
def write(nuke, board, tmp_path):
    return nuke.nodes.Write(inputs=[board], file=f"{tmp_path.as_posix()}/out.%04d.exr", raw=True)


def written(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def part(path):
    return read_frame(path).picture


class TestFiles:
    def test_pixels_windows_and_attributes(self, fake, nuke, board, write, tmp_path):
        nuke.root()["format"].setValue("8 6 2 wide")
        nuke.execute(write, 7, 7)
        found = part(tmp_path / "out.0007.exr")
        assert sorted(found.channels) == ["B", "G", "R"]
        assert all(plane.dtype == np.float16 for plane in found.channels.values())
        expected = fake.render(board).rgb().astype(np.float16)
        assert np.array_equal(np.stack([found.channels[name] for name in "RGB"], -1), expected)
        assert found.data_window == found.display_window == Rows(0, 0, 6, 8)
        assert found.pixel_aspect == 2.0
        assert found.header["compression"] == OpenEXR.ZIPS_COMPRESSION
        assert found.header["nuke/version"] == "17.0v1" and found.header["nuke/node_hash"]

    def test_float_and_other_compression(self, nuke, write, tmp_path):
        write["datatype"].setValue("32 bit float")
        write["compression"].setValue("PIZ Wavelet (32 scanlines)")
        nuke.execute(write, 1, 1)
        found = part(tmp_path / "out.0001.exr")
        assert found.channels["R"].dtype == np.float32
        assert found.header["compression"] == OpenEXR.PIZ_COMPRESSION
        write["compression"].setValue("DWAA")
        with pytest.raises(RuntimeError, match="DWAA"):
            nuke.execute(write, 2, 2)

    def test_layers(self, fake, nuke, write, tmp_path):
        nuke.Layer("void_bridge", ["void_bridge.remove", "void_bridge.keep"])
        roto = nuke.nodes.Roto()
        fake.draw(roto, lambda frame: (2, 1, 5, 4))
        copy = nuke.nodes.Copy(inputs=[nuke.nodes.Constant(), roto], to0="void_bridge.remove")
        write.setInput(0, copy)
        write["channels"].setValue("void_bridge")
        nuke.execute(write, 1, 1)
        found = part(tmp_path / "out.0001.exr")
        assert list(found.channels) == ["void_bridge.remove"]
        expected = np.zeros((6, 8), np.float16)
        expected[2:5, 2:5] = 1
        assert np.array_equal(found.channels["void_bridge.remove"], expected)
        write["channels"].setValue("all")
        nuke.execute(write, 2, 2)
        assert sorted(part(tmp_path / "out.0002.exr").channels) == ["A", "B", "G", "R", "void_bridge.remove"]

    def test_no_channels_is_an_error(self, nuke, write):
        nuke.Layer("empty", ["empty.x"])
        write["channels"].setValue("empty")
        with pytest.raises(RuntimeError, match="No channels"):
            nuke.execute(write, 1, 1)

    def test_overscan_is_the_data_window(self, nuke, board, write, tmp_path):
        write.setInput(0, nuke.nodes.Crop(inputs=[board], box=[-3, 1, 4, 9]))
        nuke.execute(write, 1, 1)
        found = part(tmp_path / "out.0001.exr")
        # Rows count from the top of 6: t = 9 is row -3, y = 1 ends before row 5.
        assert found.data_window == Rows(-3, -3, 5, 4) and found.display_window == Rows(0, 0, 6, 8)

    def test_black_pixels_around_are_left_out(self, nuke, board, write, tmp_path):
        write.setInput(0, nuke.nodes.BlackOutside(inputs=[board]))
        nuke.execute(write, 1, 1)
        assert part(tmp_path / "out.0001.exr").data_window == Rows(0, 0, 6, 8)

    def test_autocrop(self, fake, nuke, write, tmp_path):
        roto = nuke.nodes.Roto()
        fake.draw(roto, lambda frame: (2, 1, 5, 4))
        write.setInput(0, roto)
        write["channels"].setValue("alpha")
        write["autocrop"].setValue(True)
        nuke.execute(write, 1, 1)
        assert part(tmp_path / "out.0001.exr").data_window == Rows(2, 2, 5, 5)

    def test_a_file_comes_through_read_and_write(self, nuke, write, tmp_path):
        header = {"timeCode": OpenEXR.TimeCode(1, 2, 3, 4, *[0] * 14), "camera": "A"}
        rng = np.random.default_rng(5)
        planes = {name: rng.normal(size=(9, 7)).astype(np.float16) for name in ("R", "G", "B", "A")}
        write_simple(tmp_path / "in.exr", planes, Rows(0, 0, 6, 8), Rows(-1, -2, 8, 5), header)
        read = nuke.nodes.Read(file=str(tmp_path / "in.exr"), raw=True)
        write.setInput(0, read)
        write["channels"].setValue("rgba")
        nuke.execute(write, 1, 1)
        found = part(tmp_path / "out.0001.exr")
        assert (found.data_window, found.display_window) == (Rows(-1, -2, 8, 5), Rows(0, 0, 6, 8))
        assert all(found.channels[name].tobytes() == plane.tobytes() for name, plane in planes.items())
        timecode = found.header["timeCode"]
        assert (timecode.hours, timecode.minutes, timecode.seconds, timecode.frame) == (1, 2, 3, 4)
        assert "camera" not in found.header

    def test_metadata_modes(self, nuke, write, tmp_path):
        write_simple(tmp_path / "in.exr", {"R": np.zeros((6, 8), np.float16)}, header={"camera": "A"})
        write.setInput(0, nuke.nodes.Read(file=str(tmp_path / "in.exr")))
        headers = {}
        for mode in ("no metadata", "default metadata and exr/*", "all metadata"):
            write["metadata"].setValue(mode)
            nuke.execute(write, 1, 1)
            headers[mode] = part(tmp_path / "out.0001.exr").header
        assert "nuke/version" not in headers["no metadata"]
        assert headers["default metadata and exr/*"]["camera"] == "A"
        assert headers["all metadata"]["nuke/input/filereader"] == "exr"

    def test_the_hash_changes_with_the_graph(self, nuke, board, write, tmp_path):
        hashes = []
        for size in (2, 4):
            board["boxsize"].setValue(size)
            nuke.execute(write, 1, 1)
            hashes.append(part(tmp_path / "out.0001.exr").header["nuke/node_hash"])
        assert hashes[0] != hashes[1]


class TestExecuting:
    @pytest.mark.parametrize(
        ("call", "frames"),
        [
            (lambda nuke, write: nuke.execute(write, 1, 3), [1, 2, 3]),
            (lambda nuke, write: nuke.execute(write.name(), 1, 5, 2), [1, 3, 5]),
            (lambda nuke, write: nuke.execute(write, nuke.FrameRange("2-3")), [2, 3]),
            (lambda nuke, write: nuke.execute(write, nuke.FrameRanges("2 5-6")), [2, 5, 6]),
            (lambda nuke, write: nuke.executeMultiple((write,), ([1, 3, 2], [7, 7, 1])), [1, 3, 7]),
            (lambda nuke, write: nuke.executeMultiple([write], nuke.FrameRanges("4"), ["main"]), [4]),
            (lambda nuke, write: nuke.render(write, -1, 0), [-1, 0]),
        ],
    )
    def test_forms(self, fake, nuke, write, call, frames):
        call(nuke, write)
        assert [each.frame for each in fake.written] == frames

    def test_several_writes_go_frame_by_frame(self, fake, nuke, board, write, tmp_path):
        other = nuke.nodes.Write(inputs=[board], file=f"{tmp_path.as_posix()}/other.%04d.exr")
        nuke.executeMultiple([write, other], [[1, 2, 1]])
        assert [(each.node, each.frame) for each in fake.written] == [
            *((node, 1) for node in ("Write1", "Write2")),
            *((node, 2) for node in ("Write1", "Write2")),
        ]

    def test_what_cannot_be_executed(self, nuke, board):
        with pytest.raises(RuntimeError, match="cannot be executed"):
            nuke.execute(board, 1, 1)
        with pytest.raises(RuntimeError, match="no node"):
            nuke.execute("nothing", 1, 1)

    def test_a_disabled_write(self, nuke, write):
        write["disable"].setValue(True)
        with pytest.raises(RuntimeError, match="cannot be executed"):
            nuke.execute(write, 1, 1)

    def test_folders_are_made_on_request_only(self, nuke, write, tmp_path):
        write["file"].setValue(f"{tmp_path.as_posix()}/new/out.%04d.exr")
        with pytest.raises(RuntimeError, match="No such file"):
            nuke.execute(write, 1, 1)
        write["create_directories"].setValue(True)
        nuke.execute(write, 1, 1)
        assert written(tmp_path) == ["out.0001.exr"]

    def test_a_file_that_cannot_be_written(self, nuke, write, tmp_path):
        (tmp_path / "out.0001.exr").mkdir()
        with pytest.raises(RuntimeError, match=r"Write1: .*out\.0001\.exr"):
            nuke.execute(write, 1, 1)

    def test_limits(self, fake, nuke, write):
        for knob, value in (("use_limit", True), ("first", 2), ("last", 3)):
            write[knob].setValue(value)
        nuke.execute(write, 1, 5)
        assert [each.frame for each in fake.written] == [2, 3]

    def test_a_cancel_keeps_what_was_written(self, fake, nuke, write, tmp_path):
        fake.cancel_execute_at(3)
        with pytest.raises(RuntimeError, match="Cancelled"):
            nuke.execute(write, 1, 5)
        assert written(tmp_path) == ["out.0001.exr", "out.0002.exr"]
        nuke.execute(write, 3, 3)

    def test_a_cancel_stops_although_errors_do_not(self, fake, nuke, write):
        fake.fail_execute_at(2, "no licence")
        fake.cancel_execute_at(4)
        with pytest.raises(RuntimeError, match="Cancelled"):
            nuke.execute(write, 1, 5, continueOnError=True)
        assert [each.frame for each in fake.written] == [1, 3]

    def test_a_failure(self, fake, nuke, write):
        fake.fail_execute_at(2, "no licence")
        with pytest.raises(RuntimeError, match="no licence"):
            nuke.execute(write, 1, 5)
        assert [each.frame for each in fake.written] == [1]

    def test_an_error_upstream(self, nuke, write):
        guard = nuke.nodes.Assert(inputs=[write.input(0)], message="stale")
        guard["expression"].setExpression("frame != 2")
        write.setInput(0, guard)
        with pytest.raises(RuntimeError, match="stale"):
            nuke.execute(write, 1, 3)

    def test_a_file_that_is_no_exr(self, nuke, write, tmp_path):
        write["file"].setValue(f"{tmp_path.as_posix()}/out.png")
        with pytest.raises(RuntimeError, match="EXR"):
            nuke.execute(write, 1, 1)

    def test_render_callbacks(self, nuke, write):
        seen = []
        nuke.seen = seen
        for occasion in ("BeforeRender", "BeforeFrameRender", "AfterFrameRender", "AfterRender"):
            getattr(nuke, f"add{occasion}")(lambda o=occasion: seen.append((o, nuke.frame())))
        write["beforeRender"].setValue("nuke.seen.append(nuke.thisNode().name())")
        nuke.execute(write, 5, 5)
        assert seen == [
            ("BeforeRender", 1),
            "Write1",
            ("BeforeFrameRender", 5),
            ("AfterFrameRender", 5),
            ("AfterRender", 1),
        ]
        assert nuke.frame() == 1

    def test_expressions_see_the_frame_that_is_rendered(self, nuke, write, tmp_path):
        constant = nuke.nodes.Constant()
        constant["color"].setExpression("frame", 0)
        write.setInput(0, constant)
        nuke.execute(write, 4, 4)
        assert part(tmp_path / "out.0004.exr").channels["R"].max() == 4


class TestMistakes:
    """What the fake does so that a plug-in's mistake shows in the pixels."""

    def test_proxy_mode_makes_small_files(self, nuke, write, tmp_path):
        nuke.root()["proxy"].setValue(True)
        nuke.execute(write, 1, 1)
        assert part(tmp_path / "out.0001.exr").display_window == Rows(0, 0, 3, 4)
        nuke.root()["proxy_type"].setValue("format")
        with pytest.raises(RuntimeError, match="by scale only"):
            nuke.execute(write, 1, 1)

    @pytest.mark.parametrize(
        ("raw", "space", "expected"),
        [(True, "sRGB", 1.0), (False, "default", 1.0), (False, "linear", 1.0), (False, "sRGB", 0.5)],
    )
    def test_another_colour_space_than_the_working_space(self, nuke, write, tmp_path, raw, space, expected):
        write.setInput(0, nuke.nodes.Constant(color=1.0, channels="rgba"))
        write["raw"].setValue(raw)
        write["colorspace"].setValue(space)
        write["channels"].setValue("rgba")
        nuke.execute(write, 1, 1)
        found = part(tmp_path / "out.0001.exr")
        assert found.channels["R"].max() == expected and found.channels["A"].max() == 1.0

    def test_the_default_space_of_the_script_may_be_another(self, nuke, write, tmp_path):
        root = nuke.root()
        root["colorManagement"].setValue("OCIO")
        root["workingSpaceLUT"].setValue("ACEScg")
        root["floatLut"].setValue("ACES2065-1")
        write["raw"].setValue(False)
        write.setInput(0, nuke.nodes.Constant(color=1.0))
        nuke.execute(write, 1, 1)
        assert part(tmp_path / "out.0001.exr").channels["R"].max() == 0.5
        root["floatLut"].setValue("ACEScg")
        nuke.execute(write, 1, 1)
        assert part(tmp_path / "out.0001.exr").channels["R"].max() == 1.0

    def test_a_display_is_no_working_space(self, nuke, write, tmp_path):
        write["raw"].setValue(False)
        write["transformType"].setValue("display")
        write.setInput(0, nuke.nodes.Constant(color=1.0))
        nuke.execute(write, 1, 1)
        assert part(tmp_path / "out.0001.exr").channels["R"].max() == 0.5


class TestViews:
    @pytest.fixture
    def stereo(self, nuke, write):
        nuke.addView("right")
        sides = [nuke.nodes.Constant(color=value) for value in (0.25, 0.75)]
        write.setInput(0, nuke.nodes.JoinViews(inputs=sides))
        return write

    def test_a_file_for_each_view(self, fake, nuke, stereo, tmp_path):
        stereo["file"].setValue(f"{tmp_path.as_posix()}/%V.%04d.exr")
        nuke.execute(stereo, 1, 1)
        assert written(tmp_path) == ["main.0001.exr", "right.0001.exr"]
        assert part(tmp_path / "right.0001.exr").channels["R"].max() == 0.75
        assert [each.view for each in fake.written] == ["main", "right"]
        read = nuke.nodes.Read(file=f"{tmp_path.as_posix()}/%V.%04d.exr")
        assert [fake.render(read, 1, view).plane("rgba.red").max() for view in nuke.views()] == [0.25, 0.75]

    def test_one_view(self, nuke, stereo, tmp_path):
        nuke.execute(stereo, 1, 1, views=["right"])
        assert part(tmp_path / "out.0001.exr").channels["R"].max() == 0.75
        with pytest.raises(RuntimeError, match="no view left"):
            nuke.execute(stereo, 1, 1, views=["left"])

    def test_the_writes_own_choice(self, nuke, stereo, tmp_path):
        stereo["views"].setValue("right")
        nuke.execute(stereo, 1, 1)
        assert part(tmp_path / "out.0001.exr").channels["R"].max() == 0.75
        with pytest.raises(ValueError, match="left"):
            stereo["views"].setValue("left")

    def test_both_views_in_one_file(self, fake, nuke, stereo, tmp_path):
        nuke.execute(stereo, 1, 1)
        found = part(tmp_path / "out.0001.exr")
        assert sorted(found.channels) == ["B", "G", "R", "right.B", "right.G", "right.R"]
        assert list(found.header["multiView"]) == ["main", "right"]
        read = nuke.nodes.Read(file=str(tmp_path / "out.0001.exr"))
        assert [fake.render(read, 1, view).plane("rgba.red").max() for view in nuke.views()] == [0.25, 0.75]
