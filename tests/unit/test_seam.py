from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.support.model_frames import CANVAS, shrunk, wall
from void_bridge.pixels.seam import LARGEST_LOG_GAIN, average_matches, match

OFF = np.array([1.1, 1.06, 1.0], np.float32)


def picture() -> np.ndarray:
    return shrunk(wall(1))


def hole() -> np.ndarray:
    inside = np.zeros(CANVAS, bool)
    inside[24:72, 40:120] = True
    return inside


def step(result: np.ndarray, target: np.ndarray) -> float:
    """Return the largest mean difference, relative, just inside the border of the pasted area."""
    rim = hole() & ~(cv2.erode(hole().astype(np.uint8), np.ones((7, 7), np.uint8)) > 0)
    return float(np.abs(result[rim].mean(axis=0) / target[rim].mean(axis=0) - 1).max())


def test_exposure_and_tint_meet_at_the_border():
    target = picture()
    made = target * OFF
    result = match(made, target, ~hole()).apply(made)
    assert step(made, target) > 0.09
    assert step(result, target) < 0.005
    np.testing.assert_allclose(result[hole()].mean(axis=0), target[hole()].mean(axis=0), rtol=0.01)


def test_an_error_that_varies_over_the_picture_is_followed():
    target = picture()
    made = target * np.linspace(0.9, 1.1, CANVAS[1], dtype=np.float32)[None, :, None]
    assert np.abs(match(made, target, ~hole()).apply(made) / target - 1).mean() < 0.015


def test_a_new_light_inside_stays():
    target = picture()
    made = target * OFF
    made[hole()] *= 1.5
    result = match(made, target, ~hole()).apply(made)
    assert result[hole()].mean() / target[hole()].mean() == pytest.approx(1.5, rel=0.01)


def test_a_change_of_light_beyond_the_bound_stays():
    target = picture()
    gain = np.exp(match(target * 4, target, ~hole()).log_gain)
    assert np.abs(np.log(gain)).max() <= LARGEST_LOG_GAIN + 1e-6


def test_changes_outside_the_mattes_do_not_mislead_a_match():
    target = picture()
    made = target * OFF
    made[30:60, 125:150] *= 2.2  # a shadow that went beyond what was drawn
    result = match(made, target, ~hole()).apply(made)
    left = hole() & (np.arange(CANVAS[1]) < 110)
    assert np.abs(result[left].mean(axis=0) / target[left].mean(axis=0) - 1).max() < 0.02


def test_a_match_of_equals_changes_next_to_nothing():
    target = picture()
    np.testing.assert_allclose(match(target, target, ~hole()).apply(target), target, rtol=1e-4, atol=1e-6)


def test_dark_zero_and_negative_pixels_can_be_matched():
    target = picture() * np.float32(0.2)
    target[:20], target[20:30] = 0, -0.01
    made = target + np.float32(0.002)
    result = match(made, target, ~hole()).apply(made)
    assert np.isfinite(result).all()
    assert np.abs(result - target)[:20].mean() < np.abs(made - target)[:20].mean()


@pytest.mark.parametrize("trusted", [np.zeros(CANVAS, bool), np.arange(168) + 0 * np.arange(96)[:, None] < 1])
def test_few_trusted_pixels_change_little_or_nothing(trusted):
    target = picture()
    result = match(target * OFF, target, trusted).apply(target * OFF)
    assert np.isfinite(result).all()
    if not trusted.any():
        np.testing.assert_array_equal(result, target * OFF)


def test_matches_are_averaged_over_neighbours():
    draw, target = np.random.default_rng(1), picture()
    matches = [match(target * np.float32(1 + 0.02 * draw.standard_normal()) * OFF, target, ~hole()) for _ in range(9)]
    single = np.std([m.log_gain.mean() for m in matches])
    steady = np.std([average_matches(matches[i : i + 5]).log_gain.mean() for i in range(5)])
    assert steady < 0.6 * single
