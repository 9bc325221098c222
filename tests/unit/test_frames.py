"""Frame ranges: read, printed, extended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from void_bridge.errors import FrameRangeError
from void_bridge.frames import FrameRange

FRAMES = st.sets(st.integers(-20_000, 20_000), min_size=1, max_size=60)


@pytest.mark.parametrize(
    "text, frames",
    [
        ("7", [7]),
        ("-7", [-7]),
        ("1001-1003", [1001, 1002, 1003]),
        (" 1001-1003 ", [1001, 1002, 1003]),
        ("1-9x4", [1, 5, 9]),
        ("1-10x4", [1, 5, 9]),
        ("1-9y4", [2, 3, 4, 6, 7, 8]),
        ("1-3:2", [1, 2, 3]),
        ("-5--3", [-5, -4, -3]),
        ("-1-1", [-1, 0, 1]),
        ("5-3", [3, 4, 5]),
        ("3,1,2,1", [1, 2, 3]),
        ("1-2,7,10-14x2", [1, 2, 7, 10, 12, 14]),
        ("0001-0003", [1, 2, 3]),
    ],
)
def test_ranges_are_read(text, frames):
    assert list(FrameRange.parse(text)) == frames


@pytest.mark.parametrize(
    "text",
    [
        5,
        None,
        b"1001",
        "",
        " ",
        "a",
        "1-",
        "1-2-3",
        "1001-1046 fast",
        "1..5",
        "1-10x0",
        "1.5",
        "1-2x0.5",
        "1-10x2garbage",
        "٣x",
        "1\n2",
        "1001 1046",
        "1-5 7",
    ],
)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(FrameRangeError, match="expected"):
        FrameRange.parse(text)


@pytest.mark.parametrize("text", ["1-1000001", "1-99999999999"])
def test_more_than_a_million_frames_are_refused(text):
    with pytest.raises(FrameRangeError):
        FrameRange.parse(text)


@given(FRAMES)
def test_every_range_reads_back(frames):
    written = FrameRange(frames)
    assert FrameRange.parse(str(written)) == written
    assert written.frames == tuple(sorted(frames))


@given(FRAMES)
def test_the_same_frames_print_the_same(frames):
    assert str(FrameRange(sorted(frames))) == str(FrameRange(sorted(frames, reverse=True)))


def test_ranges_print_short():
    assert str(FrameRange([1, 3, 5, 7, 10])) == "1-7x2,10"
    assert str(FrameRange([])) == ""
    assert repr(FrameRange([2, 1])) == "FrameRange('1-2')"


def test_a_range_is_a_value():
    frames = FrameRange([3, 1, 2])
    assert (frames.first, frames.last, len(frames)) == (1, 3, 3)
    assert (2 in frames, 4 in frames) == (True, False)
    assert frames == FrameRange.parse("1-3") != FrameRange.parse("1-4")
    assert hash(frames) == hash(FrameRange.parse("1-3"))
    with pytest.raises(AttributeError, match="create another"):
        frames.first_frame = 7


@pytest.mark.parametrize(
    "frames, count, available, extended",
    [
        ("10-20", 3, range(100), "7-23"),
        ("10-20", 0, range(100), "10-20"),
        ("10-20", 3, range(9, 22), "9-21"),
        ("10-20", 3, [], "10-20"),
        ("10-20", 3, [*range(7, 9), *range(10, 24)], "10-23"),
        ("10-20x5", 2, range(100), "0-30x5"),
        ("10-20x5", 2, [5, 10, 15, 20, 30], "5-20x5"),
        ("10", 2, range(100), "8-12"),
        ("1,3,10", 1, range(-5, 30), "-1,1,3,10,17"),
        ("-2-2", 2, range(-4, 5), "-4-4"),
    ],
)
def test_handles_go_on_at_the_step_of_each_end_as_far_as_the_disk(frames, count, available, extended):
    assert FrameRange.parse(frames).with_handles(count, available) == FrameRange.parse(extended)


def test_negative_handles_are_refused():
    with pytest.raises(FrameRangeError, match="got handles -1, expected 0 or more"):
        FrameRange.parse("1-3").with_handles(-1, range(9))


@given(FRAMES, st.integers(0, 5), st.sets(st.integers(-100, 100)))
def test_handles_add_only_what_is_available(frames, count, available):
    extended = FrameRange(frames).with_handles(count, available)
    added = set(extended) - frames
    assert frames <= set(extended)
    assert added <= available
    assert len(added) <= 2 * count
