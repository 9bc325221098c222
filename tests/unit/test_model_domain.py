from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from void_bridge.errors import ColourError
from void_bridge.job import Colour
from void_bridge.pixels.colour import resolve_colour
from void_bridge.pixels.model_domain import (
    CURVES,
    Srgb,
    SrgbRolloff,
    bound_highlights,
    from_model,
    get_curve,
    highlight_ceiling,
    to_model,
)


def colour(space: str = "ACEScg", exposure: float = 0.0) -> Colour:
    return dataclasses.replace(resolve_colour(space, env={}), exposure=exposure)


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_every_finite_half_comes_back_bit_for_bit(curve: Srgb | SrgbRolloff) -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    back = curve.decode(curve.encode(halves.astype(np.float32))).astype(np.float16)
    np.testing.assert_array_equal(back.view(np.uint16), halves.view(np.uint16))


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_a_curve_never_falls_and_mirrors_negatives(curve: Srgb | SrgbRolloff) -> None:
    linear = np.linspace(-20, 20, 40_001, dtype=np.float32)
    code = curve.encode(linear)
    assert (np.diff(code) > 0).all()
    np.testing.assert_array_equal(curve.encode(-linear), -code)


def test_ordinary_values_look_as_srgb_does() -> None:
    """The definition of IEC 61966-2-1, in double precision, is the reference."""
    linear = np.linspace(0, 0.7, 1000)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(SrgbRolloff().encode(linear.astype(np.float32)), srgb, atol=2e-7)


def test_highlights_roll_off_without_a_clip() -> None:
    code = SrgbRolloff().encode(array(1, 16, 1000))
    np.testing.assert_allclose(code, [0.905, 1.0, 1.105], atol=5e-4)


def test_the_slope_is_the_same_on_both_sides_of_the_knee() -> None:
    step = 1e-3
    below, knee, above = SrgbRolloff().encode(array(0.7 - step, 0.7, 0.7 + step)).astype(float)
    assert (knee - below) / (above - knee) == pytest.approx(1, abs=0.02)


def test_a_stop_in_the_highlights_is_always_the_same_step() -> None:
    code = SrgbRolloff().encode(np.exp2(np.arange(6, 16)).astype(np.float32))
    np.testing.assert_allclose(np.diff(code), 0.0174, atol=2e-4)


@pytest.mark.parametrize("value", [3.0, 1e6, -1e6])
def test_nothing_a_model_returns_becomes_infinite(value: float) -> None:
    assert np.isfinite(from_model(np.full((1, 1, 3), value, np.float32), colour())).all()


@pytest.mark.parametrize("exposure", [0.0, 3.375, -6.0])
@pytest.mark.parametrize("space", ["ACEScg", "ACES2065-1", "Linear Rec.709 (sRGB)", "Linear ARRI Wide Gamut 4"])
def test_a_plate_sent_round_differs_by_less_than_half_rounding(space: str, exposure: float) -> None:
    """Saturated colours from 2^-12 to 1000, negatives among them; rounding counts at the pixel's largest channel."""
    rng = np.random.default_rng(4)
    brightness = np.exp2(rng.uniform(-12, 9.96, (200, 100, 1)))
    rgb = (brightness * rng.uniform(-1, 1, (200, 100, 3))).astype(np.float32)
    back = from_model(to_model(rgb, colour(space, exposure)), colour(space, exposure))
    largest = np.abs(rgb).max(axis=2, keepdims=True)
    assert (np.abs(back - rgb) / largest).max() < 2**-11 / 10


def test_exposure_shifts_what_the_model_sees() -> None:
    dark = np.full((1, 3), 0.18 / 8, np.float32)
    np.testing.assert_allclose(to_model(dark, colour(exposure=3.0)), np.full((1, 3), 0.4614), atol=1e-4)


def test_an_unknown_curve_is_refused() -> None:
    with pytest.raises(ColourError, match=r"did you mean 'srgb-rolloff'"):
        get_curve("srgb-roloff")


def lamp_plate(lamp: float = 40.0) -> np.ndarray:
    plate = np.full((96, 192, 3), 0.2, np.float32)
    plate[40:44, 20:24] = lamp
    return plate


def test_the_plates_own_highlights_are_never_bounded() -> None:
    plate = np.random.default_rng(5).lognormal(0, 2, (97, 131, 3)).astype(np.float32)
    np.testing.assert_array_equal(bound_highlights(plate, highlight_ceiling(plate)), plate)


def test_a_highlight_near_one_of_the_plate_is_kept_and_far_from_it_is_bounded() -> None:
    plate = lamp_plate()
    generated = plate.copy()
    generated[50, 24] = generated[50, 180] = 39.0
    bounded = bound_highlights(generated, highlight_ceiling(plate))
    np.testing.assert_array_equal(bounded[50, 24], generated[50, 24])
    assert 0.2 < bounded[50, 180].max() < 0.4


def test_a_bounded_highlight_keeps_its_hue_and_the_order_of_brightness() -> None:
    plate = np.full((32, 32, 3), 0.5, np.float32)
    generated = np.linspace(0.1, 20, 32 * 32, dtype=np.float32).reshape(32, 32, 1) * array(1.0, 0.5, -0.1)
    bounded = bound_highlights(generated, highlight_ceiling(plate))
    np.testing.assert_allclose(bounded[..., 1], bounded[..., 0] * 0.5, rtol=1e-5)
    assert (np.diff(bounded[..., 0].ravel()) > 0).all() and bounded.max() < 1.0
    np.testing.assert_array_equal(bounded[generated[..., 0] <= 0.5], generated[generated[..., 0] <= 0.5])


def test_a_light_hidden_in_this_frame_counts_when_another_frame_shows_it() -> None:
    hidden, seen = highlight_ceiling(np.full((96, 192, 3), 0.2, np.float32)), highlight_ceiling(lamp_plate())
    generated = lamp_plate()
    np.testing.assert_array_equal(bound_highlights(generated, np.maximum(hidden, seen)), generated)


def test_an_absurd_value_from_a_model_ends_at_the_ceiling() -> None:
    plate = np.full((16, 16, 3), 0.5, np.float32)
    generated = from_model(np.full((16, 16, 3), 50.0, np.float32), colour())
    assert bound_highlights(generated, highlight_ceiling(plate)).max() == pytest.approx(1.0)
