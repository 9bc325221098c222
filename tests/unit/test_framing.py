import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from void_bridge.pixels.box import Box
from void_bridge.pixels.framing import Framing, hold_framing
from void_bridge.pixels.resample import resample

CANVAS = (384, 672)
UHD = Box(0, 0, 2160, 3840)


def ramp(height, width):
    """Return an image whose pixels hold their own position: x, y and both mixed. Shape [h, w, 3]."""
    y, x = np.indices((height, width), np.float32)
    return np.stack([x, y, 0.3 * x - 0.7 * y], axis=2)


def holds(outer, inner):
    return outer & inner == inner


# --- where the crop is -------------------------------------------------------------------------


def test_a_small_region_goes_through_the_model_one_to_one():
    framing = hold_framing(UHD, Box(1000, 2000, 1030, 2050), CANVAS)
    assert framing.crop.shape == CANVAS and framing.enlargement == 1.0
    assert holds(framing.crop, Box(1000, 2000, 1030, 2050))


def test_a_region_gets_context_at_the_canvas_aspect():
    framing = hold_framing(UHD, Box(1000, 1500, 1400, 2000), CANVAS)
    assert framing.crop == Box(800, 1050, 1600, 2450)
    assert framing.enlargement == pytest.approx(800 / 384)


def test_context_can_be_chosen():
    assert hold_framing(UHD, Box(1000, 1500, 1800, 2000), CANVAS, context=0.0).crop.height == 800


def test_at_the_border_the_crop_moves_inside():
    framing = hold_framing(UHD, Box(1900, 3600, 2160, 3840), CANVAS)
    assert framing.crop.y1 == 2160 and framing.crop.x1 == 3840
    assert framing.inside == framing.crop


def test_a_large_region_takes_the_whole_plate_fitted_as_the_model_was_trained():
    framing = hold_framing(UHD, Box(100, 100, 2000, 3000), CANVAS)
    assert framing.crop == UHD


def test_context_gives_way_before_the_crop_leaves_the_raster():
    scope = Box(0, 0, 1716, 4096)
    region = Box(600, 300, 1200, 2900)
    framing = hold_framing(scope, region, CANVAS)
    assert framing.crop.shape == (1716, 3003) and holds(framing.crop, region) and holds(scope, framing.crop)


def test_a_region_too_wide_for_the_aspect_is_padded_on_both_sides():
    scope = Box(0, 0, 1716, 4096)
    framing = hold_framing(scope, Box(600, 0, 1200, 4096), CANVAS)
    assert framing.crop == Box(-312, 0, 2029, 4096)
    assert framing.inside == scope


def test_pixels_are_square_on_the_canvas():
    anamorphic = Box(0, 0, 1556, 1828)
    crop = hold_framing(anamorphic, Box(500, 500, 900, 900), CANVAS, pixel_aspect=2.0).crop
    assert crop.width * 2 / crop.height == pytest.approx(672 / 384, rel=0.002)


def test_a_raster_below_the_canvas_is_enlarged_without_padding():
    framing = hold_framing(Box(0, 0, 360, 544), Box(100, 100, 200, 200), CANVAS)
    assert holds(Box(0, 0, 360, 544), framing.crop)
    assert framing.enlargement < 1


def test_no_region_is_the_whole_raster():
    assert hold_framing(UHD, Box(0, 0, 0, 0), CANVAS).crop == UHD


def test_a_raster_may_lie_anywhere():
    raster = Box(-100, -50, 2060, 3790)
    region = Box(-100, -50, -60, 0)
    framing = hold_framing(raster, region, CANVAS)
    assert (framing.crop.y0, framing.crop.x0) == (-100, -50)


@settings(max_examples=200)
@given(data=st.data())
def test_the_crop_always_holds_the_region_in_square_pixels(data):
    height, width = data.draw(st.integers(20, 3000)), data.draw(st.integers(20, 5000))
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    region = Box(y0, x0, data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width)))
    raster = Box(0, 0, height, width)
    framing = hold_framing(raster, region, CANVAS)
    assert holds(framing.crop, region)
    if framing.crop != raster:
        across, down = framing.crop.width, framing.crop.height
        assert abs(across - down * 1.75) <= 1.75


# --- there and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(384, 672), (501, 877), (800, 1400), (1000, 1751), (311, 544), (2160, 3840)])
def test_a_ramp_stays_the_ramp(shape):
    framing = Framing(Box(0, 0, *shape), Box(0, 0, *shape), CANVAS)
    image = ramp(*shape)
    margin = 4 + 4 * max(1, shape[0] // CANVAS[0])
    inner = slice(margin, -margin), slice(margin, -margin)
    canvas = framing.to_canvas(image)
    y, x = np.indices(CANVAS)
    assert np.abs(canvas[..., 0] - ((x + 0.5) * shape[1] / CANVAS[1] - 0.5))[inner].max() < 1e-3
    assert np.abs(canvas[..., 1] - ((y + 0.5) * shape[0] / CANVAS[0] - 0.5))[inner].max() < 1e-3
    assert np.abs(framing.from_canvas(canvas) - image)[inner].max() < 3e-3


def test_one_to_one_every_bit_comes_back():
    image = np.random.default_rng(1).normal(0, 1e4, (*CANVAS, 3)).astype(np.float32)
    framing = hold_framing(UHD, Box(1000, 2000, 1030, 2050), CANVAS)
    assert np.array_equal(framing.from_canvas(framing.to_canvas(image)).view(np.uint32), image.view(np.uint32))


def test_padding_mirrors_the_plate_and_is_cut_off_again():
    framing = Framing(Box(0, 0, 100, 300), Box(-50, 0, 150, 300), (200, 300))
    image = ramp(100, 300)
    canvas = framing.to_canvas(image)
    assert np.array_equal(canvas[:50], image[:50][::-1]) and np.array_equal(canvas[150:], image[50:][::-1])
    assert np.array_equal(framing.from_canvas(canvas), image)


def test_whole_factors_average_whole_blocks():
    image = np.random.default_rng(2).random((12, 20), np.float32)
    assert np.allclose(resample(image, 4, 5), image.reshape(4, 3, 5, 4).mean(axis=(1, 3)), atol=1e-6)


@pytest.mark.parametrize("size", [(96, 168), (117, 205), (500, 900)])
def test_a_flat_image_stays_flat_to_its_edges(size):
    assert np.abs(resample(np.full((200, 350), 40.0, np.float32), *size) - 40).max() < 1e-4


def test_averaging_lets_no_fine_pattern_through():
    stripes = np.tile(np.array([0, 1], np.float32), (384, 672))
    assert np.abs(resample(stripes, 384, 420) - 0.5).max() < 0.2


def test_planes_without_channels_keep_their_shape():
    framing = Framing(Box(0, 0, 40, 70), Box(0, 0, 40, 70), (16, 28))
    assert framing.to_canvas(np.zeros((40, 70), np.float32)).shape == (16, 28)
    assert framing.from_canvas(np.zeros((16, 28), np.float32)).shape == (40, 70)
