"""Patterns of files, and which of their frames are on disk."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from void_bridge.errors import MissingFrames, UnreadableFile, UsageError
from void_bridge.frames import FrameRange
from void_bridge.sequence import Sequence, output_sequence


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


@pytest.mark.parametrize(
    "text, pattern, frame_1001",
    [
        ("/p/name.####.exr", "/p/name.####.exr", "/p/name.1001.exr"),
        ("/p/name.%04d.exr", "/p/name.####.exr", "/p/name.1001.exr"),
        ("/p/name.1001-1046#.exr", "/p/name.####.exr", "/p/name.1001.exr"),
        ("/p/name.1001-1046####.exr", "/p/name.####.exr", "/p/name.1001.exr"),
        ("/p/name.1001-1046%04d.exr", "/p/name.####.exr", "/p/name.1001.exr"),
        ("/p/name.#####.exr", "/p/name.#####.exr", "/p/name.01001.exr"),
        ("/p/name.%06d.exr", "/p/name.######.exr", "/p/name.001001.exr"),
        ("/p/name.%d.exr", "/p/name.#.exr", "/p/name.1001.exr"),
        ("/p/name.#.exr", "/p/name.#.exr", "/p/name.1001.exr"),
        ("/p/name_####.exr", "/p/name_####.exr", "/p/name_1001.exr"),
        ("/p/name####.exr", "/p/name####.exr", "/p/name1001.exr"),
        ("/p/####.exr", "/p/####.exr", "/p/1001.exr"),
        ("####.exr", "####.exr", "1001.exr"),
        ("/p/sh_010-020.####.exr", "/p/sh_010-020.####.exr", "/p/sh_010-020.1001.exr"),
        ("/p/1001-1010/x.####.exr", "/p/1001-1010/x.####.exr", "/p/1001-1010/x.1001.exr"),
        ("/p/take#2/x.####.exr", "/p/take#2/x.####.exr", "/p/take#2/x.1001.exr"),
        ("/p/a b/näme v1 (copy).####.exr", "/p/a b/näme v1 (copy).####.exr", "/p/a b/näme v1 (copy).1001.exr"),
        ("/p/[x].####_left.exr", "/p/[x].####_left.exr", "/p/[x].1001_left.exr"),
        ("C:\\shots\\a b\\n.####.exr", "C:\\shots\\a b\\n.####.exr", "C:\\shots\\a b\\n.1001.exr"),
        ("//server/share/n.####.exr", "//server/share/n.####.exr", "//server/share/n.1001.exr"),
        ("/p/name.1001.exr", "/p/name.1001.exr", "/p/name.1001.exr"),
        ("/p/name_v003.exr", "/p/name_v003.exr", "/p/name_v003.exr"),
        ("/p/name.1001-1046.exr", "/p/name.1001-1046.exr", "/p/name.1001-1046.exr"),
        ("/p/name", "/p/name", "/p/name"),
    ],
)
def test_patterns_are_read(text, pattern, frame_1001):
    sequence = Sequence.parse(text)
    assert str(sequence) == sequence.pattern == pattern
    assert str(sequence.path(1001)) == frame_1001
    assert Sequence.parse(pattern) == sequence


@pytest.mark.parametrize(
    "text",
    [
        5,
        None,
        b"name.exr",
        "",
        "/p/",
        "/p/..",
        ".",
        "C:\\shots\\",
        "/p/a#b.####.exr",
        "/p/%04d.####.exr",
        "/p/n.<UDIM>.exr",
    ],
)
def test_what_names_no_files_is_refused(text):
    with pytest.raises(UsageError, match=r"name.####.exr"):
        Sequence.parse(text)


def test_frames_named_in_the_pattern_are_kept():
    assert Sequence.parse("/p/n.1001-1010x3#.exr").frames_in_name == FrameRange.parse("1001-1010x3")
    assert Sequence.parse("/p/n.-5-5#.exr").frames_in_name == FrameRange(range(-5, 6))
    assert Sequence.parse("/p/n.####.exr").frames_in_name is None


@pytest.mark.parametrize(
    "frame, name", [(-3, "n.-003.exr"), (-1234, "n.-1234.exr"), (0, "n.0000.exr"), (12345, "n.12345.exr")]
)
def test_numbers_are_written_as_c_writes_them(frame, name):
    assert Sequence.parse("/p/n.%04d.exr").path(frame).name == name == "n." + "%04d" % frame + ".exr"  # noqa: UP031


@given(st.text("ab.c_-1 ü", max_size=12), st.integers(1, 8), st.integers(-(10**9), 10**9))
def test_every_pattern_reads_back(base, digits, frame):
    sequence = Sequence("/p/", base.rstrip("0123456789-"), digits, ".exr")
    again = Sequence.parse(sequence.pattern)
    assert again == sequence
    assert again.path(frame) == sequence.path(frame)


def test_frames_on_disk_are_those_that_match_the_pattern(tmp_path):
    touch(tmp_path, *(f"plate.{n:04d}.exr" for n in (-3, 0, 999, 1001, 1002, 10001)))
    touch(tmp_path, "plate.1003.exr.tmp", "xplate.1004.exr", "plate.1005.jpg", "plate.A006.exr", "plate.exr")
    found = Sequence.parse(f"{tmp_path}/plate.####.exr").frames_on_disk()
    assert found == FrameRange([-3, 0, 999, 1001, 1002, 10001])


def test_numbers_of_another_padding_are_not_of_the_sequence(tmp_path):
    touch(tmp_path, "n.-0003.exr", "n.01001.exr", "n.999.exr", "n.-000.exr", "n.1001.exr")
    assert Sequence.parse(f"{tmp_path}/n.####.exr").frames_on_disk() == FrameRange([1001])


def test_frames_without_padding_are_found_on_disk(tmp_path):
    touch(tmp_path, "n.-3.exr", "n.7.exr", "n.1001.exr", "n.08.exr")
    assert Sequence.parse(f"{tmp_path}/n.%d.exr").frames_on_disk() == FrameRange([-3, 7, 1001])


@pytest.mark.parametrize("name", ["pläte v1 (copy)", "a[b]*?", "a+b.c", "日本"])
def test_names_are_taken_as_they_are(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    touch(folder, f"{name}.0007.exr", "abc.0008.exr")
    assert Sequence.parse(f"{folder}/{name}.####.exr").frames_on_disk() == FrameRange([7])


def test_a_folder_that_is_not_there_has_no_frames(tmp_path):
    (tmp_path / "file").touch()
    assert not Sequence.parse(f"{tmp_path}/gone/n.####.exr").frames_on_disk()
    assert not Sequence.parse(f"{tmp_path}/file/n.####.exr").frames_on_disk()


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UnreadableFile, match=r"cannot list .*loop"):
        Sequence.parse(f"{loop}/n.####.exr").frames_on_disk()


def test_frames_in_the_current_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "n.0007.exr")
    sequence = Sequence.parse("n.####.exr")
    assert sequence.frames_on_disk() == FrameRange([7])
    assert sequence.absolute().path(7) == tmp_path / "n.0007.exr"


def test_frames_that_are_there_are_enough(tmp_path):
    touch(tmp_path, *(f"n.{n:04d}.exr" for n in range(1001, 1011)))
    Sequence.parse(f"{tmp_path}/n.####.exr").require(FrameRange.parse("1001-1010x3"))


def test_missing_frames_are_named_as_a_range(tmp_path):
    touch(tmp_path, *(f"plate.{n}.exr" for n in range(1001, 1047) if n not in (1004, 1010, 1011, 1012)))
    with pytest.raises(MissingFrames) as caught:
        Sequence.parse(f"{tmp_path}/plate.####.exr").require(FrameRange.parse("1001-1046"))
    assert str(caught.value) == (
        f"missing 1004,1010-1012 of 1001-1046 in {tmp_path}/plate.####.exr;"
        " the folder has 1001-1003,1005-1009,1013-1046: render them or give other --frames"
    )


def test_a_sequence_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingFrames, match=r"missing 1-3 of 1-3 in .*n.####.exr; no frame of it is on disk"):
        Sequence.parse(f"{tmp_path}/n.####.exr").require(FrameRange.parse("1-3"))


def test_a_still_stands_for_every_frame(tmp_path):
    touch(tmp_path, "matte.exr", "matte.1001.exr")
    still = Sequence.parse(f"{tmp_path}/matte.exr")
    assert still.is_still
    assert {still.path(frame) for frame in (-3, 1, 1001)} == {tmp_path / "matte.exr"}
    still.require(FrameRange.parse("1001-1046"))


def test_a_still_has_the_frame_of_its_name(tmp_path):
    touch(tmp_path, "plate.1001.exr", "plate.1002.exr", "matte.exr")
    assert Sequence.parse(f"{tmp_path}/plate.1001.exr").frames_on_disk() == FrameRange([1001])
    assert Sequence.parse(f"{tmp_path}/matte.exr").frames_on_disk() == FrameRange([1])


def test_a_still_that_is_not_there_is_named(tmp_path):
    still = Sequence.parse(f"{tmp_path}/matte.exr")
    assert not still.frames_on_disk()
    with pytest.raises(MissingFrames, match=r"missing 7-8 of 7-8 in .*matte.exr; no frame of it is on disk"):
        still.require(FrameRange.parse("7-8"))


def test_absolute_keeps_links_and_other_systems_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert str(Sequence.parse("link/../link/n.####.exr").absolute()) == f"{tmp_path}{os.sep}link{os.sep}n.####.exr"
    for there in ("C:\\shots\\n.####.exr", "\\\\server\\share\\n.####.exr", "//server/share/n.####.exr"):
        assert str(Sequence.parse(there).absolute()) == there


PLATE = Sequence.parse("/shots/sh010_plate.#####.exr")


@pytest.mark.parametrize(
    "argument, plate, output",
    [
        ("/out/clean.####.exr", PLATE, "/out/clean.####.exr"),
        ("/out/clean.%04d.EXR", PLATE, "/out/clean.####.EXR"),
        ("/out", PLATE, "/out/sh010_plate_void.#####.exr"),
        ("/out/", PLATE, "/out/sh010_plate_void.#####.exr"),
        ("out.v002", PLATE, "out.v002/sh010_plate_void.#####.exr"),
        ("D:\\out", PLATE, "D:\\out\\sh010_plate_void.#####.exr"),
        ("/out", Sequence.parse("/shots/####.exr"), "/out/plate_void.####.exr"),
        ("/out", Sequence.parse("/shots/still.exr"), "/out/still_void.####.exr"),
        ("/out/clean.exr", Sequence.parse("/shots/still.exr"), "/out/clean.exr"),
    ],
)
def test_output_is_a_pattern_or_a_folder(argument, plate, output):
    assert str(output_sequence(argument, plate)) == output


@pytest.mark.parametrize("argument", ["", "/out/clean.mov", "/out/clean.####.png", "/out/clean.####", "/out/clean.exr"])
def test_output_that_cannot_hold_the_frames_is_refused(argument):
    with pytest.raises(UsageError, match=r"expected .*name\.####\.exr"):
        output_sequence(argument, PLATE)


def test_sequences_are_values():
    assert hash(Sequence.parse("/p/n.%04d.exr")) == hash(Sequence.parse("/p/n.1-9#.exr"))
    assert len({Sequence.parse("/p/n.%04d.exr"), Sequence.parse("/p/n.1-9#.exr")}) == 1


def test_a_still_whose_name_is_too_long_is_missing():
    still = Sequence.parse("ä" * 200 + ".exr")
    assert not still.frames_on_disk()
    with pytest.raises(MissingFrames):
        still.require(FrameRange([1]))
