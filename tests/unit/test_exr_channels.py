"""Channels found by the names that people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.exrs import FLOAT, HALF, frame, part, planes, rgba
from void_bridge.errors import NoSuchChannel
from void_bridge.pixels.exr_channels import channel_places, find_in_frame, picture_index, rgb_names

SHAPE = (3, 4)
COMP = ["A", "B", "G", "R", "depth.Z", "mask.a", "void_bridge.affected", "void_bridge.remove"]


def named(*names):
    return planes(SHAPE, **dict.fromkeys(names, HALF))


def found_name(names, wanted):
    return find_in_frame(frame(part(named(*names))), wanted, "the file")[1]


@pytest.mark.parametrize(
    "names, wanted, found",
    [
        (["matte.x"], "", "matte.x"),
        (["R", "G", "B", "A"], "", "A"),
        (["R", "G", "B"], "", "R"),
        (["rgba.red", "rgba.alpha"], "", "rgba.alpha"),
        (["Y", "a"], "", "a"),
        (COMP, "void_bridge.remove", "void_bridge.remove"),
        (COMP, "VOID_BRIDGE.Remove", "void_bridge.remove"),
        (COMP, "alpha", "A"),
        (COMP, "a", "A"),
        (COMP, "red", "R"),
        (COMP, "rgba.alpha", "A"),
        (COMP, "rgb.red", "R"),
        (COMP, "mask.alpha", "mask.a"),
        (COMP, "depth.depth", "depth.Z"),
        (["rgba.red", "rgba.alpha"], "A", "rgba.alpha"),
        (["Roto.A", "roto.a"], "roto.a", "roto.a"),
        (["main.left.A", "left.A"], "main.left.alpha", "main.left.A"),
    ],
)
def test_a_channel_is_found_as_people_name_it(names, wanted, found):
    assert found_name(names, wanted) == found


@pytest.mark.parametrize(
    "names, wanted, message",
    [
        (["G", "B"], "", "G, B, but neither A nor R; name one"),
        (COMP, "void_bridge.removed", "did you mean 'void_bridge.remove'"),
        (["R", "G"], "zzzzzz", "no channel 'zzzzzz' in the file; it has R, G"),
        (["Roto.A", "roto.a"], "ROTO.A", "could be Roto.A or roto.a; give one of them"),
        ([f"layer{i}.x" for i in range(30)], "", "layer11.x and 18 more, but"),
    ],
)
def test_none_or_several_is_an_error_that_helps(names, wanted, message):
    with pytest.raises(NoSuchChannel, match=message):
        found_name(names, wanted)


@given(st.lists(st.text("abrgAR.xyz", min_size=1, max_size=6), min_size=1, unique=True), st.data())
def test_every_channel_is_found_by_its_own_name(names, data):
    wanted = data.draw(st.sampled_from(names))
    assert found_name(names, wanted) == wanted


PARTS = frame(
    part(named("R", "G", "B", "A"), "rgba"),
    part(named("R", "G", "B"), "diffuse"),
    part(named("Z"), "depth"),
    part(named("matte.remove", "matte.keep"), "matte"),
)


@pytest.mark.parametrize(
    "wanted, place",
    [
        ("", (0, "A")),
        ("R", (0, "R")),
        ("rgba.R", (0, "R")),
        ("diffuse.R", (1, "R")),
        ("diffuse.red", (1, "R")),
        ("Z", (2, "Z")),
        ("depth.Z", (2, "Z")),
        ("depth.depth", (2, "Z")),
        ("matte.remove", (3, "matte.remove")),
    ],
)
def test_a_part_is_a_layer(wanted, place):
    assert find_in_frame(PARTS, wanted) == place


def test_a_part_name_is_not_put_twice_before_a_channel():
    assert "matte.matte.remove" not in channel_places(PARTS)


def test_the_only_channel_of_a_named_part_needs_no_name():
    assert find_in_frame(frame(part(named("Z"), "depth")), "") == (0, "Z")


def test_the_file_is_named_where_a_channel_is_not_found():
    with pytest.raises(NoSuchChannel, match=r"in roto.1001.exr; did you mean 'matte.remove'"):
        find_in_frame(PARTS, "matte.remov", "roto.1001.exr")


@pytest.mark.parametrize(
    "parts, index, names",
    [
        ([part(rgba(SHAPE))], 0, "R G B"),
        ([part(named("r", "g", "b"))], 0, "r g b"),
        ([part(named("Red", "Green", "Blue"))], 0, "Red Green Blue"),
        ([part(named("R", "G", "B", "beauty.R", "beauty.G", "beauty.B"))], 0, "R G B"),
        ([part(named("rgba.R", "rgba.G", "rgba.B"))], 0, "rgba.R rgba.G rgba.B"),
        ([part(named("beauty.red", "beauty.green", "beauty.blue"))], 0, "beauty.red beauty.green beauty.blue"),
        ([part(named("Z"), "depth"), part(rgba(SHAPE), "left")], 1, "R G B"),
        ([part(rgba(SHAPE), "diffuse"), part(rgba(SHAPE), "Beauty")], 1, "R G B"),
        ([part(rgba(SHAPE), "left"), part(rgba(SHAPE), "right")], 0, "R G B"),
        ([part(named("rgba.R", "rgba.G", "rgba.B"), "a"), part(rgba(SHAPE), "b")], 1, "R G B"),
    ],
)
def test_the_picture_is_the_rgb(parts, index, names):
    assert rgb_names(frame(*parts)) == tuple(names.split())
    assert picture_index(frame(*parts)) == index
    assert frame(*parts).picture is parts[index]


@pytest.mark.parametrize("names", [["Y"], ["R", "G"], ["A"], ["diffuse.R", "diffuse.G", "diffuse.B"]])
def test_a_plate_without_rgb_is_refused(names):
    with pytest.raises(NoSuchChannel, match=f"in plate.exr; it has {names[0]}.*: render the plate as RGB"):
        rgb_names(frame(part(named(*names))), "plate.exr")


def test_without_rgb_the_first_part_counts():
    assert picture_index(frame(part(planes(SHAPE, Z=FLOAT), "a"), part(named("A"), "b"))) == 0
