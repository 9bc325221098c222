"""Holes that no frame shows: texture and structure go on, and everything else stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gpu_server.engines.propagate.synthesis import synthesise
from void_bridge.pixels.membrane import membrane, poisson

pytestmark = pytest.mark.slow

SIDE = 128


def grid(side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return y, x


def disc(radius: float, side: int = SIDE) -> np.ndarray:
    y, x = grid(side)
    return np.hypot(y - side / 2, x - side / 2) < radius


def stripes() -> np.ndarray:
    y, x = grid()
    wave = 0.3 + 0.2 * np.sin(2 * np.pi * (x + 0.5 * y) / 16)
    return np.stack([wave, 0.8 * wave, 0.5 * wave], -1).astype(np.float32)


def pebbles(level: float = 0.2) -> np.ndarray:
    noise = np.random.default_rng(5).normal(size=(SIDE, SIDE)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.repeat(level * np.exp(0.5 * smooth / smooth.std())[..., None], 3, 2).astype(np.float32)


def telea(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    scale = 255 / image[~hole].max()
    small = np.clip(image * scale, 0, 255).astype(np.uint8)
    return cv2.inpaint(small, hole.astype(np.uint8), 5, cv2.INPAINT_TELEA).astype(np.float32) / scale


def rms(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a[where] - b[where]) ** 2)))


def fill(image: np.ndarray, hole: np.ndarray, seed: int = 1) -> np.ndarray:
    hidden = np.where(hole[..., None], np.float32(9), image)
    return synthesise(hidden, hole, ~hole, seed)


def test_stripes_go_on_across_a_hole():
    image, hole = stripes(), disc(20)
    assert rms(fill(image, hole), image, hole) < 0.25 * rms(telea(image, hole), image, hole)


def test_an_edge_goes_on_across_a_hole():
    y, x = grid()
    image = np.repeat(np.where(y + 0.25 * x > 78, 0.5, 0.1)[..., None], 3, 2).astype(np.float32)
    hole = disc(18)
    assert rms(fill(image, hole), image, hole) < 0.5 * rms(telea(image, hole), image, hole)


def test_texture_keeps_its_variance_where_inpainting_loses_it():
    image, hole = pebbles(), disc(28)
    within = disc(24)
    variance = np.log(image[~hole]).var()
    assert 0.6 < np.log(fill(image, hole)[within]).var() / variance < 1.4
    assert np.log(telea(image, hole)[within]).var() / variance < 0.4


def test_grain_keeps_its_strength():
    y, _ = grid()
    grain = np.random.default_rng(3).normal(scale=0.02, size=(SIDE, SIDE, 3))
    image = (0.2 + 0.002 * y[..., None] + grain).astype(np.float32)
    hole = disc(24)
    filled = fill(image, hole)
    high = filled - cv2.GaussianBlur(filled, (0, 0), 2)
    assert 0.8 < high[disc(20)].std() / high[~disc(32)].std() < 1.25


def test_brightness_ramps_across_the_hole():
    _, x = grid()
    image = np.repeat((0.05 * np.exp(x / 60))[..., None], 3, 2).astype(np.float32) * pebbles(1.0) ** 0.2
    hole = disc(28)
    blurred, wanted = (cv2.GaussianBlur(np.log(one), (0, 0), 6) for one in (fill(image, hole), image))
    assert np.abs(blurred - wanted)[hole].max() < 0.25


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    image, hole = pebbles(), disc(16)
    first = fill(image, hole, seed=7)
    assert first.tobytes() == fill(image, hole, seed=7).tobytes()
    assert first.tobytes() != fill(image, hole, seed=8).tobytes()


def test_what_is_hidden_in_the_hole_plays_no_part():
    image, hole = pebbles(), disc(16)
    other = np.where(hole[..., None], np.float32(-50), image)
    np.testing.assert_array_equal(fill(image, hole), synthesise(other, hole, ~hole, 1))


@pytest.mark.parametrize("size", [20, 40])
def test_outside_the_hole_every_bit_stays(size):
    image, hole = pebbles(), disc(size)
    filled = fill(image, hole)
    assert filled[~hole].tobytes() == image[~hole].tobytes()
    assert filled.dtype == np.float32


def test_only_source_pixels_are_copied():
    image, hole = pebbles(), disc(16)
    image[:, 80:] += 20
    source = ~hole
    source[:, 64:] = False
    filled = synthesise(image, hole, source, 1)
    assert filled[hole].max() <= image[source].max()


def test_values_stay_in_the_range_of_the_source():
    image, hole = pebbles(), disc(20)
    image[20:24, 20:60] = 1000
    image[100:104, 20:60] = -0.3
    filled = fill(image, hole)
    assert image.min() <= filled.min()
    assert filled.max() <= 1000
    assert np.isfinite(filled).all()


def test_highlights_are_copied_whole():
    y, x = grid()
    image = np.where((y // 8 + x // 8) % 2 < 1, 40.0, 0.1)[..., None].repeat(3, 2).astype(np.float32)
    hole = disc(16)
    assert np.median(fill(image, hole)[hole & (image[..., 0] > 1)]) > 30


def test_an_empty_hole_changes_nothing():
    image = pebbles()
    assert fill(image, np.zeros((SIDE, SIDE), bool)).tobytes() == image.tobytes()


def test_a_hole_over_everything_is_black():
    hole = np.ones((40, 50), bool)
    assert not synthesise(np.ones((40, 50, 3), np.float32), hole, ~hole, 1).any()


def test_a_hole_that_touches_two_borders_is_filled_with_texture():
    image, hole = pebbles(), np.zeros((SIDE, SIDE), bool)
    hole[:40, :50] = True
    filled = fill(image, hole)
    assert 0.6 < np.log(filled[5:35, 5:45]).var() / np.log(image[~hole]).var() < 1.5


@pytest.mark.parametrize("count", [0, 6])
def test_without_a_patch_of_source_the_rim_goes_on_smoothly(count):
    _, x = grid()
    image, hole = np.repeat((0.1 + x / SIDE)[..., None], 3, 2).astype(np.float32), disc(20)
    source = np.zeros_like(hole)
    source[:count, :count] = True
    np.testing.assert_allclose(synthesise(image, hole, source, 1)[hole], image[hole], rtol=0.1)


def test_a_flat_picture_stays_flat():
    image = np.full((SIDE, SIDE, 3), -0.02, np.float32)
    np.testing.assert_allclose(fill(image, disc(30)), image, rtol=1e-3)


def test_hairlines_and_specks_are_filled():
    image = stripes()
    hole = np.zeros((SIDE, SIDE), bool)
    hole[30, 5:120] = hole[90:110, 70] = hole[127, 127] = hole[60, 0] = True
    assert rms(fill(image, hole), image, hole) < 0.03


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (5, 4), (9, 8)])
def test_tiny_pictures_are_filled(shape):
    hole = np.zeros(shape, bool)
    hole[0, : shape[1] // 2] = True
    filled = synthesise(np.full((*shape, 3), 0.5, np.float32), hole, ~hole, 1)
    np.testing.assert_allclose(filled, 0.5, rtol=1e-3)


def test_more_than_is_matched_at_full_resolution_is_still_copied(monkeypatch):
    monkeypatch.setattr("gpu_server.engines.propagate.synthesis._MOST_HOLE", 400)
    image, hole = pebbles(), disc(24)
    filled = fill(image, hole)
    assert 0.6 < np.log(filled[hole]).var() / np.log(image[~hole]).var() < 1.4


def test_a_source_too_thin_for_the_coarse_levels_leaves_the_smooth_continuation(monkeypatch):
    monkeypatch.setattr("gpu_server.engines.propagate.synthesis._MOST_HOLE", 400)
    image, hole = np.full((SIDE, SIDE, 3), 0.3, np.float32), np.zeros((SIDE, SIDE), bool)
    hole[8:-8, 8:-8] = True
    np.testing.assert_allclose(fill(image, hole), image, rtol=1e-3)


def test_the_membrane_of_a_harmonic_function_is_that_function():
    y, x = (axis / SIDE for axis in grid())
    values = np.stack([x * x - y * y, x * y], -1).astype(np.float32)
    filled = membrane(np.where(disc(40)[..., None], np.float32(7), values), ~disc(40))
    np.testing.assert_allclose(filled, values, atol=0.01)


def test_the_membrane_keeps_what_is_known_and_its_range():
    values = np.random.default_rng(1).normal(scale=300, size=(61, 47, 2)).astype(np.float32)
    known = np.random.default_rng(2).random((61, 47)) < 0.1
    filled = membrane(values, known)
    assert filled[known].tobytes() == values[known].tobytes()
    for channel in range(2):
        assert values[known][:, channel].min() <= filled[..., channel].min()
        assert filled[..., channel].max() <= values[known][:, channel].max()


def test_the_membrane_of_nothing_is_nothing():
    assert not membrane(np.ones((9, 9, 1), np.float32), np.zeros((9, 9), bool)).any()


def test_poisson_restores_a_picture_from_its_differences():
    picture = cv2.GaussianBlur(pebbles(), (0, 0), 2)
    hole = disc(40)
    cross = np.array([[0, 0.25, 0], [0.25, -1, 0.25], [0, 0.25, 0]], np.float32)
    differences = cv2.filter2D(picture, -1, cross, borderType=cv2.BORDER_REPLICATE)
    restored = poisson(np.where(hole[..., None], np.float32(0), picture), hole, differences)
    assert rms(restored, picture, hole) < 0.2 * picture[hole].std()
