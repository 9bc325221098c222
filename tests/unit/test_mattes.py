import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from void_bridge.errors import SizeMismatch
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import (
    MattePlanes,
    check_same_format,
    matte_box,
    paste_matte,
    plane_over,
    planes_from_quadmask,
)

RASTER = Box(-2, -3, 8, 9)


def plane(height=40, width=60, **rectangles):
    """Return zeros with rectangles (y0, x0, y1, x1) painted in: `v1` at 1, `v03` at 0.03, `v3` at 0.3."""
    result = np.zeros((height, width), np.float32)
    for name, box in rectangles.items():
        result[Box(*box).slices] = 1.0 if name == "v1" else float(f"0.{name[1:]}")
    return result


def distance_to(area):
    ys, xs = np.nonzero(area)
    y, x = np.indices(area.shape)
    return np.sqrt((y[..., None] - ys) ** 2.0 + (x[..., None] - xs) ** 2.0).min(axis=-1)


# --- planes -------------------------------------------------------------------------------------


def test_a_smaller_window_falls_where_it_belongs():
    channel = np.full((2, 3), 0.5, np.float16)
    got = plane_over(channel, Box(1, 2, 3, 5), RASTER)
    assert got.shape == (10, 12) and got.dtype == np.float32
    assert matte_box(got) == Box(3, 5, 5, 8)
    assert got[3, 5] == 0.5


def test_a_window_that_sticks_out_is_cut():
    got = plane_over(np.ones((30, 30), np.float32), Box(5, 6, 35, 36), RASTER)
    assert matte_box(got) == Box(7, 9, 10, 12)


def test_a_window_elsewhere_leaves_nothing():
    assert not plane_over(np.ones((4, 4), np.float32), Box(100, 100, 104, 104), RASTER).any()


def test_invert_turns_outside_the_window_in():
    got = plane_over(np.ones((2, 3), np.float16), Box(1, 2, 3, 5), RASTER, invert=True)
    assert (got == 0).sum() == 6 and (got == 1).sum() == got.size - 6


def test_values_outside_0_to_1_are_clipped():
    channel = np.array([[np.nan, np.inf, -np.inf], [-0.5, 1.5, 0.25]], np.float16)
    got = plane_over(channel, Box(0, 0, 2, 3), Box(0, 0, 2, 3))
    assert got.tolist() == [[0, 1, 0], [0, 1, 0.25]]


def test_every_half_becomes_a_matte_value():
    channel = np.arange(65536, dtype=np.uint16).reshape(256, 256).view(np.float16)
    got = plane_over(channel, Box(0, 0, 256, 256), Box(0, 0, 256, 256))
    assert ((got >= 0) & (got <= 1)).all()


@pytest.mark.parametrize("nan_bits", [0x7F800001, 0x7FC00000, 0xFF800001])
def test_a_nan_of_any_kind_is_no_matte(nan_bits):
    channel = np.array([[nan_bits] * 3], np.uint32).view(np.float32)
    assert not plane_over(channel, Box(0, 0, 1, 3), Box(0, 0, 1, 3)).any()


def test_integers_are_present_from_one_on():
    got = plane_over(np.array([[0, 1, 4_000_000_000]], np.uint32), Box(0, 0, 1, 3), Box(0, 0, 1, 3))
    assert got.tolist() == [[0, 1, 1]]


def test_the_channel_stays_as_it_was():
    channel = np.full((10, 12), 2.0, np.float32)
    plane_over(channel, RASTER, RASTER, invert=True)
    assert (channel == 2.0).all()


def test_formats_that_differ_are_named_with_a_way_out():
    with pytest.raises(SizeMismatch, match=r"roto.exr is 1920x1080, but plate.exr is 3840x2160; reformat"):
        check_same_format("plate.exr", Box(0, 0, 2160, 3840), "roto.exr", Box(0, 0, 1080, 1920))
    with pytest.raises(SizeMismatch, match=r"1920x1080 at 10,0"):
        check_same_format("plate.exr", Box(0, 0, 1080, 1920), "roto.exr", Box(0, 10, 1080, 1930))


def test_equal_formats_pass():
    check_same_format("plate.exr", Box(0, 0, 9, 16), "roto.exr", Box(0, 0, 9, 16))


# --- made quadmasks -----------------------------------------------------------------------------

DRIFTED = np.array([[0, 31, 32, 63, 95, 96, 127, 191, 192, 255]])
REMOVE = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
AFFECTED = [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]
ROW = Box(0, 0, 1, 10)


@pytest.mark.parametrize(
    "channel",
    [DRIFTED.astype(np.uint32), DRIFTED.astype(np.float32), (DRIFTED / 255).astype(np.float32)],
    ids=["uint", "to 255", "to 1"],
)
def test_a_drifted_quadmask_becomes_remove_and_affected(channel):
    planes = planes_from_quadmask(channel, ROW, ROW)
    assert planes.remove.tolist() == [REMOVE] and planes.affected.tolist() == [AFFECTED]


def test_half_precision_keeps_the_levels():
    levels = (np.array([[0, 63, 127, 255]]) / 255).astype(np.float16)
    planes = planes_from_quadmask(levels, Box(0, 0, 1, 4), Box(0, 0, 1, 4))
    assert planes.remove.tolist() == [[1, 1, 0, 0]] and planes.affected.tolist() == [[0, 1, 1, 0]]


def test_an_inverted_quadmask_reads_the_same():
    planes = planes_from_quadmask(255 - DRIFTED.astype(np.float32), ROW, ROW, invert=True)
    assert planes.remove.tolist() == [REMOVE] and planes.affected.tolist() == [AFFECTED]


@pytest.mark.parametrize("invert", [False, True])
def test_outside_its_window_and_where_it_is_nan_a_quadmask_keeps(invert):
    channel = np.array([[63.0, np.nan]], np.float32)
    planes = planes_from_quadmask(channel, Box(0, 0, 1, 2), Box(0, 0, 1, 5), invert)
    assert not planes.remove[0, 1:].any() and not planes.affected[0, 1:].any()


# --- paste matte --------------------------------------------------------------------------------


def test_absent_mattes_let_nothing_change():
    assert not paste_matte(MattePlanes((40, 60)), dilate=5, feather=5).any()


def test_a_matte_over_everything_changes_everything():
    planes = MattePlanes((40, 60), remove=np.ones((40, 60), np.float32))
    assert (paste_matte(planes, dilate=3, feather=4) == 1).all()


def test_soft_edges_are_replaced_whole():
    planes = MattePlanes((40, 60), remove=plane(v02=(10, 10, 20, 20)), affected=plane(v3=(5, 30, 9, 40)))
    weight = paste_matte(planes)
    assert (weight[10:20, 10:20] == 1).all() and (weight[5:9, 30:40] == 1).all()
    assert np.count_nonzero(weight) == 100 + 40


def test_a_trace_of_matte_is_nothing():
    assert not paste_matte(MattePlanes((40, 60), remove=plane(v009=(10, 10, 20, 20)))).any()


@pytest.mark.parametrize("spot", [(20, 30), (0, 0), (39, 59)], ids=["middle", "corner", "other corner"])
def test_growth_follows_the_distance_from_a_single_pixel(spot):
    remove = np.zeros((40, 60), np.float32)
    remove[spot] = 1
    weight = paste_matte(MattePlanes((40, 60), remove=remove), dilate=3, feather=5)
    distance = distance_to(remove > 0)
    assert (weight[distance <= 3] == 1).all()
    assert (weight[distance > 8] == 0).all()
    fading = (distance > 3) & (distance <= 8)
    assert ((weight[fading] > 0) & (weight[fading] < 1)).all()
    order = np.argsort(distance[fading], kind="stable")
    assert (np.diff(weight[fading][order]) <= 1e-6).all()


def test_keep_wins_over_matte_dilation_and_feather():
    keep = plane(v1=(0, 20, 40, 60))
    planes = MattePlanes((40, 60), remove=plane(v1=(10, 10, 30, 30)), keep=keep)
    weight = paste_matte(planes, dilate=6, feather=6)
    assert (weight[:, 20:] == 0).all() and (weight[10:30, 4:20] == 1).all()


def test_nothing_grows_from_what_keep_hides():
    """An object drawn on behind an actor does not come out at the actor's other side."""
    planes = MattePlanes((40, 60), remove=plane(v1=(10, 10, 30, 40)), keep=plane(v1=(0, 20, 40, 42)))
    assert (paste_matte(planes, dilate=6, feather=6)[:, 42:] == 0).all()


def test_a_soft_keep_edge_shares_the_pixel():
    planes = MattePlanes((40, 60), remove=plane(v1=(10, 10, 30, 30)), keep=plane(v25=(0, 0, 40, 20)))
    weight = paste_matte(planes)
    assert (weight[10:30, 10:20] == 0.75).all() and (weight[10:30, 20:30] == 1).all()


def test_traces_at_either_end_of_keep_count_as_none_and_whole():
    keep = plane()
    keep[:, 30:], keep[:, :30] = 0.9995, 0.0005
    weight = paste_matte(MattePlanes((40, 60), remove=plane(v1=(0, 0, 40, 60)), keep=keep))
    assert (weight[:, 30:] == 0).all() and (weight[:, :30] == 1).all()


def test_the_weight_survives_half_precision():
    planes = MattePlanes((40, 60), remove=plane(v1=(10, 10, 30, 30)), keep=plane(v3=(0, 0, 40, 15)))
    weight = paste_matte(planes, dilate=2, feather=9)
    assert np.array_equal(weight, weight.astype(np.float16).astype(np.float32))


def test_a_snapped_area_joins_what_is_drawn_and_keep_still_wins():
    snapped = plane(v1=(0, 0, 20, 20)) > 0
    planes = MattePlanes((40, 60), remove=plane(v1=(10, 10, 30, 30)), keep=plane(v1=(0, 0, 5, 5)))
    weight = paste_matte(planes, snapped=snapped)
    assert np.count_nonzero(weight) == 400 + 400 - 100 - 25
    assert snapped[:5, :5].all()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 4))
def test_the_weight_is_0_beyond_the_growth_and_1_over_the_matte(seed, dilate, feather):
    remove = (np.random.default_rng(seed).random((17, 23)) > 0.97).astype(np.float32)
    weight = paste_matte(MattePlanes((17, 23), remove=remove), dilate, feather)
    assert (weight[remove > 0] == 1).all()
    if remove.any():
        assert (weight[distance_to(remove > 0) > dilate + feather] == 0).all()


def test_the_box_of_nothing_is_empty():
    assert matte_box(plane()).empty
    assert matte_box(plane(v1=(3, 4, 5, 9))) == Box(3, 4, 5, 9)
