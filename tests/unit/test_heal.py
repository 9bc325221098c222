import numpy as np
import pytest

from void_bridge.pixels.heal import heal


def image(height=20, width=30):
    y, x = np.indices((height, width), np.float32)
    return np.stack([x, y, x + y], axis=2)


def test_a_finite_image_comes_back_as_it_is():
    plate = image()
    assert heal(plate) is plate


def test_finite_values_whose_sum_overflows_are_finite():
    plate = np.full((20, 30, 3), 3e38, np.float32)
    assert heal(plate) is plate


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spot", [(10, 15), (0, 0), (19, 29)])
def test_a_broken_pixel_takes_after_its_neighbours(broken, spot):
    plate = image()
    plate[spot][1] = broken
    healed = heal(plate)
    assert np.abs(healed[spot] - image()[spot]).max() <= 2
    others = np.ones((20, 30), bool)
    others[spot] = False
    assert np.array_equal(healed[others], plate[others])
    assert np.isinf(plate[spot][1]) or np.isnan(plate[spot][1])


def test_a_firefly_beside_it_does_not_grow():
    plate = np.ones((20, 30, 3), np.float32)
    plate[10, 10], plate[10, 11] = np.nan, 60000
    assert (heal(plate)[10, 10] == 1).all()


def test_a_large_hole_is_filled_from_its_rim():
    plate = image()
    plate[4:16, 5:25] = np.nan
    healed = heal(plate)
    assert np.isfinite(healed).all()
    assert healed.min() >= 0 and healed.max() <= image().max()
    assert np.abs(healed[8, 5] - image()[8, 5]).max() <= 2


def test_a_hole_that_leaves_one_pixel_takes_it():
    plate = np.full((20, 30, 3), np.nan, np.float32)
    plate[7, 9] = (1, 2, 3)
    assert (heal(plate) == (1, 2, 3)).all()


def test_infinities_of_both_signs_do_not_hide_each_other():
    plate = image()
    plate[3, 3], plate[9, 9] = np.inf, -np.inf
    assert np.isfinite(heal(plate)).all()


def test_nothing_finite_is_black():
    assert not heal(np.full((20, 30, 3), np.nan, np.float32)).any()
