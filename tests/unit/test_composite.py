import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from void_bridge.pixels.composite import paste

SHAPE = (7, 9)
BITS = {np.dtype("f2"): np.uint16, np.dtype("f4"): np.uint32, np.dtype("u4"): np.uint32}


def bits(channel):
    return channel.view(BITS[channel.dtype])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint32])
@settings(max_examples=40)
@given(data=st.data())
def test_where_the_weight_is_0_the_stored_bits_stay(dtype, data):
    raw = data.draw(hnp.arrays(BITS[np.dtype(dtype)], SHAPE))
    plate = raw.view(dtype)  # any bits at all: NaN payloads, infinities, -0.0, subnormals
    weight = data.draw(hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0, 0, 0.25, 1]), fill=st.nothing()))
    patch = np.full(SHAPE, 3.0, np.float32)
    result = paste(plate, patch, weight)
    assert result.dtype == dtype
    assert np.array_equal(bits(result)[weight == 0], raw[weight == 0])
    assert np.array_equal(bits(plate), raw)
    assert (result[weight == 1] == patch.astype(dtype)[weight == 1]).all()


def test_every_half_stays_as_it_is_or_becomes_a_number():
    raw = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    weight = np.zeros((256, 256), np.float32)
    weight[:, ::2], weight[::2, ::2] = 0.5, 1
    result = paste(raw.view(np.float16), np.full((256, 256), 3.0, np.float32), weight)
    assert np.array_equal(bits(result)[:, 1::2], raw[:, 1::2])
    assert np.isfinite(result[:, ::2]).all()


def test_the_mix_is_linear():
    plate, patch = np.full(SHAPE, 8.0, np.float16), np.full(SHAPE, 40.0, np.float32)
    assert (paste(plate, patch, np.full(SHAPE, 0.25, np.float32)) == 16.0).all()


def test_without_weight_the_plate_itself_comes_back():
    plate = np.ones(SHAPE, np.float16)
    assert paste(plate, np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)) is plate


@pytest.mark.parametrize("value, held", [(1e9, 65504.0), (-1e9, -65504.0), (65519.0, 65504.0), (-0.5, -0.5)])
def test_half_holds_what_it_can(value, held):
    result = paste(np.zeros(SHAPE, np.float16), np.full(SHAPE, value, np.float32), np.ones(SHAPE, np.float32))
    assert (result == np.float16(held)).all()


def test_float_is_not_clipped():
    result = paste(np.zeros(SHAPE, np.float32), np.full(SHAPE, 1e9, np.float32), np.ones(SHAPE, np.float32))
    assert (result == np.float32(1e9)).all()


@pytest.mark.parametrize("value, held", [(-3.0, 0), (2.6, 3), (1e12, 4294967295)])
def test_integers_are_rounded_and_clipped(value, held):
    result = paste(np.full(SHAPE, 7, np.uint32), np.full(SHAPE, value, np.float32), np.ones(SHAPE, np.float32))
    assert (result == held).all()


def test_large_integers_mix_without_losing_digits():
    plate = np.full(SHAPE, 4_000_000_001, np.uint32)
    result = paste(plate, np.full(SHAPE, 1.0, np.float32), np.full(SHAPE, 0.5, np.float32))
    assert (result == 2_000_000_001).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_pixel_under_any_weight_takes_the_patch(broken):
    plate = np.full(SHAPE, broken, np.float16)
    result = paste(plate, np.full(SHAPE, 2.0, np.float32), np.full(SHAPE, 0.5, np.float32))
    assert (result == 2.0).all()


def test_a_window_of_a_larger_channel_can_be_pasted():
    plate = np.arange(400, dtype=np.float16).reshape(20, 20)
    window = plate[3:10, 5:14]
    result = paste(window, np.zeros(SHAPE, np.float32), np.eye(7, 9, dtype=np.float32))
    assert (result == window * (1 - np.eye(7, 9))).all()
