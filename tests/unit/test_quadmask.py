import numpy as np
import pytest

from void_bridge.pixels.box import Box
from void_bridge.pixels.framing import Framing, hold_framing
from void_bridge.pixels.mattes import AFFECTED, KEEP, OBJECT, OVERLAP, MattePlanes, planes_from_quadmask, requantise
from void_bridge.pixels.quadmask import (
    grid_shape,
    make_quadmask,
    preroll_plan,
    snapped_area,
)

CANVAS = (96, 168)  # a quarter of the usual one, and of a PLATE plate: the same scale, in a sixteenth of the time
PLATE = Box(0, 0, 540, 960)
WHOLE = Framing(PLATE, PLATE, CANVAS)
ONE_TO_ONE = Framing(Box(0, 0, *CANVAS), Box(0, 0, *CANVAS), CANVAS)


def rectangle(box, raster=PLATE, value=1.0):
    plane = np.zeros(raster.shape, np.float32)
    plane[box.slices] = value
    return plane


def planes(**roles):
    return MattePlanes(next(iter(roles.values())).shape, **roles)


@pytest.mark.parametrize("given, level", [(0, 0), (31, 0), (32, 63), (95, 63), (96, 127), (191, 127), (192, 255)])
def test_drift_goes_to_the_nearest_level(given, level):
    assert requantise(np.array([[given]], np.uint8)) == level
    assert requantise(np.array([[given]], np.float32)) == level


def test_nothing_given_is_keep():
    quadmask = make_quadmask(MattePlanes(PLATE.shape), WHOLE)
    assert quadmask.shape == CANVAS and quadmask.dtype == np.uint8 and (quadmask == KEEP).all()


def test_remove_is_exact_to_the_pixel():
    quadmask = make_quadmask(planes(remove=rectangle(Box(10, 20, 33, 47), ONE_TO_ONE.raster)), ONE_TO_ONE)
    assert (quadmask[10:33, 20:47] == OBJECT).all() and np.count_nonzero(quadmask != KEEP) == 23 * 27


@pytest.mark.parametrize("threshold, counts", [(0.5, True), (0.6, False)])
def test_a_matte_counts_from_the_threshold_on(threshold, counts):
    soft = rectangle(Box(100, 100, 300, 300), value=0.5)
    assert (make_quadmask(planes(remove=soft), WHOLE, threshold) == OBJECT).any() == counts


def test_dilation_is_in_pixels_of_the_plate():
    small = rectangle(Box(50, 100, 51, 101), ONE_TO_ONE.raster)
    quadmask = make_quadmask(planes(remove=small), ONE_TO_ONE, dilate=3)
    assert (quadmask[50, 97:104] == OBJECT).all() and np.count_nonzero(quadmask == OBJECT) == 29


@pytest.mark.parametrize("at", range(0, 12, 3))
def test_a_single_pixel_of_a_large_plate_does_not_vanish(at):
    quadmask = make_quadmask(planes(remove=rectangle(Box(at, at, at + 1, at + 1))), WHOLE)
    assert 1 <= np.count_nonzero(quadmask == OBJECT) <= 4


@pytest.mark.parametrize("column", range(250, 257))
def test_a_wire_from_an_object_stays_whole_and_thin(column):
    remove = np.maximum(rectangle(Box(0, column, 375, column + 1)), rectangle(Box(375, 200, 475, 325)))
    objects = make_quadmask(planes(remove=remove), WHOLE) == OBJECT
    wire = objects[: 375 * 96 // 540]
    assert wire.any(axis=1).all()
    assert wire[:-1].sum(axis=1).max() <= 2


def test_an_edge_does_not_grow():
    quadmask = make_quadmask(planes(remove=rectangle(Box(101, 101, 431, 602))), WHOLE)
    ys, xs = np.nonzero(quadmask == OBJECT)
    across, down = 960 / 168, 540 / 96
    assert abs(xs.min() - 101 / across) <= 0.5 and abs(xs.max() + 1 - 602 / across) <= 0.5
    assert abs(ys.min() - 101 / down) <= 0.5 and abs(ys.max() + 1 - 431 / down) <= 0.5


# --- affected and the grid ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "canvas, cells", [((384, 672), (8, 14)), ((480, 720), (8, 12)), ((672, 384), (14, 8)), ((512, 512), (8, 8))]
)
def test_the_grid_has_eight_cells_on_the_short_side(canvas, cells):
    assert grid_shape(canvas) == cells


def test_a_touched_cell_is_filled_and_no_other():
    quadmask = make_quadmask(planes(affected=rectangle(Box(75, 150, 76, 151))), WHOLE)
    expected = np.full(CANVAS, KEEP, np.uint8)
    expected[12:24, 24:36] = AFFECTED  # row 75 of 67.5 a cell, column 150 of 68.6
    assert np.array_equal(quadmask, expected)


@pytest.mark.parametrize("rounding", [np.floor, np.rint, np.ceil])
def test_a_quadmask_made_on_the_training_grid_comes_through_unchanged(rounding):
    cells = np.zeros((8, 14), np.uint8)
    cells[2:5, 3:7] = cells[7, 13] = cells[0, 0] = 1
    rows, columns = (rounding(np.arange(count + 1) * size / count).astype(int) for count, size in ((8, 540), (14, 960)))
    made = np.repeat(np.repeat(cells, np.diff(rows), axis=0), np.diff(columns), axis=1)
    values = np.where(made, 127, 255).astype(np.float32)
    quadmask = make_quadmask(planes_from_quadmask(values, PLATE, PLATE), WHOLE, from_quadmask=True)
    assert np.array_equal(quadmask == AFFECTED, np.kron(cells, np.ones((12, 12))) > 0)


def test_soft_edges_of_a_made_object_are_not_affected():
    values = np.full(PLATE.shape, 255.0, np.float32)
    values[200:401, 200:401], values[201:400, 201:400] = 120, 0
    quadmask = make_quadmask(planes_from_quadmask(values, PLATE, PLATE), WHOLE, from_quadmask=True)
    assert set(np.unique(quadmask)) == {OBJECT, KEEP}


def test_object_inside_affected_is_overlap():
    given = planes(remove=rectangle(Box(135, 138, 270, 205)), affected=rectangle(Box(135, 138, 200, 205)))
    quadmask = make_quadmask(given, WHOLE)
    assert (quadmask[24:36, 25:35] == OVERLAP).all() and (quadmask[37:47, 25:35] == OBJECT).all()


def test_the_preroll_has_no_affected_area():
    given = planes(remove=rectangle(Box(0, 0, 70, 70)), affected=rectangle(Box(0, 0, 140, 140)))
    levels = set(np.unique(make_quadmask(given, WHOLE, clear_affected=True)))
    assert levels == {OBJECT, KEEP}


def test_odd_canvases_are_filled_to_the_last_pixel():
    canvas = (112, 176)
    framing = Framing(Box(0, 0, *canvas), Box(0, 0, *canvas), canvas)
    assert (make_quadmask(planes(affected=np.ones(canvas, np.float32)), framing) == AFFECTED).all()


# --- keep ---------------------------------------------------------------------------------------


def test_keep_wins_over_everything():
    everything = np.ones(PLATE.shape, np.float32)
    given = planes(remove=everything, affected=everything, keep=rectangle(Box(135, 240, 270, 480)))
    quadmask = make_quadmask(given, WHOLE)
    assert (quadmask[24:48, 42:84] == KEEP).all()
    assert np.count_nonzero(quadmask == KEEP) == 24 * 42 and (quadmask[quadmask != KEEP] == OVERLAP).all()


def test_what_keep_hides_touches_no_cell():
    given = planes(affected=rectangle(Box(75, 150, 78, 153)), keep=rectangle(Box(70, 145, 85, 160)))
    assert (make_quadmask(given, WHOLE) == KEEP).all()


# --- framings and their inverse ------------------------------------------------------------------


def test_the_crop_is_what_counts():
    raster = Box(-50, 100, 490, 1060)
    region = Box(100, 700, 130, 740)
    framing = hold_framing(raster, region, CANVAS)
    plane = np.zeros(raster.shape, np.float32)
    plane[region.relative_to(raster).slices] = 1
    objects = make_quadmask(planes(remove=plane), framing) == OBJECT
    assert framing.enlargement == 1.0
    expected = np.zeros(CANVAS, bool)
    expected[region.relative_to(framing.crop).slices] = True
    assert np.array_equal(objects, expected)


def test_a_snapped_area_covers_the_cells_on_the_plate():
    quadmask = make_quadmask(planes(affected=rectangle(Box(75, 150, 76, 151))), WHOLE)
    ys, xs = np.nonzero(snapped_area(quadmask, WHOLE))
    assert (ys.min(), ys.max() + 1) == (67, 135)  # 67.5 is where the cell begins
    assert abs(xs.min() - 2 * 960 / 14) <= 1 and abs(xs.max() + 1 - 3 * 960 / 14) <= 1


def test_a_snapped_area_ends_with_the_raster():
    raster = Box(10, 20, 110, 320)
    framing = Framing(raster, Box(-40, 20, 160, 320), (96, 144))
    area = snapped_area(np.zeros((96, 144), np.uint8), framing)
    assert area.shape == (100, 300) and area.all()


def test_a_head_handle_is_the_preroll():
    assert preroll_plan([998, 999, 1001, 1002], {1001, 1002}) == (0, 1, 2, 3)


def test_without_a_handle_the_first_frame_is_held():
    assert preroll_plan([1001, 1003, 1005], (1001, 1003, 1005)) == (0, 0, 1, 2)
