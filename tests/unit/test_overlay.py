import numpy as np
import pytest

from void_bridge.pixels.box import Box
from void_bridge.pixels.matte_preview import overlay
from void_bridge.pixels.mattes import MattePlanes

SHAPE = (216, 384)
GREY = np.full((*SHAPE, 3), 100, np.uint8)
LEGEND_ROWS = 40
ABOVE_LEGEND = slice(0, SHAPE[0] - LEGEND_ROWS)


SQUARE = Box(20, 50, 80, 120)


def square(value=1.0, box=SQUARE):
    plane = np.zeros(SHAPE, np.float32)
    plane[box.slices] = value
    return plane


def test_without_mattes_the_picture_stays():
    assert np.array_equal(overlay(GREY, MattePlanes(SHAPE)), GREY)


@pytest.mark.parametrize(
    "roles, channels",
    [(("remove",), "R"), (("affected",), "RG"), (("remove", "affected"), "R"), (("keep",), "G"), (("exclude",), "B")],
)
def test_each_role_has_its_colour(roles, channels):
    result = overlay(GREY, MattePlanes(SHAPE, **{role: square() for role in roles}))
    inside = dict(zip("RGB", result[50, 80].astype(int)))
    assert all(inside[c] > 130 for c in channels)
    assert all(inside[c] <= 115 for c in set("RGB") - set(channels))
    assert (result[100, 80] == 100).all()


def test_overlap_differs_from_both():
    apart = overlay(GREY, MattePlanes(SHAPE, remove=square(), affected=square(box=Box(50, 50, 120, 120))))
    assert len({tuple(apart[y, 80]) for y in (30, 65, 100)}) == 3


def test_half_a_matte_tints_half_as_much():
    whole, half = (overlay(GREY, MattePlanes(SHAPE, remove=square(value)))[50, 80, 0] for value in (1.0, 0.5))
    assert int(half) - 100 == pytest.approx((int(whole) - 100) / 2, abs=1)


def test_keep_covers_what_it_wins_over():
    result = overlay(GREY, MattePlanes(SHAPE, remove=square(), keep=square()))
    red, green, _ = result[50, 80].astype(int)
    assert green > red


def test_an_edge_is_outlined():
    result = overlay(GREY, MattePlanes(SHAPE, remove=square()))
    assert tuple(result[20, 80]) == tuple(result[50, 50]) != tuple(result[50, 80])


def test_the_paste_matte_is_drawn_as_a_line():
    result = overlay(GREY, MattePlanes(SHAPE), paste=square(0.2))
    assert tuple(result[20, 80]) == (255, 255, 255) and tuple(result[50, 80]) == (100, 100, 100)


def test_the_models_frame_is_drawn_where_it_is_not_everything():
    part, whole = (overlay(GREY, MattePlanes(SHAPE), seen=box) for box in (Box(10, 20, 110, 200), Box(0, 0, *SHAPE)))
    assert tuple(part[10, 100]) != (100, 100, 100) and tuple(part[60, 100]) == (100, 100, 100)
    assert np.array_equal(whole, GREY)


def test_a_legend_names_what_is_there():
    one = overlay(GREY, MattePlanes(SHAPE, remove=square()))
    two = overlay(GREY, MattePlanes(SHAPE, remove=square(), keep=square(box=Box(90, 50, 100, 60))))
    changed = [(picture != 100).any(axis=2)[-LEGEND_ROWS:].sum() for picture in (one, two)]
    assert 0 < changed[0] < changed[1]


def test_the_picture_given_stays():
    picture = GREY.copy()
    overlay(picture, MattePlanes(SHAPE, remove=square()), paste=square())
    assert np.array_equal(picture, GREY)
