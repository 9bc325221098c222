from __future__ import annotations

import cv2
import numpy as np
import pytest

from gpu_server.engines.base import rng
from void_bridge.pixels.grain import GrainSampler, no_grain
from void_bridge.pixels.plate_grain import measure_grain, regrain, relight

SHAPE = (256, 256, 3)
STD = 0.02


def grain_like(seed: int, sigma: float = 0.7) -> np.ndarray:
    white = np.random.default_rng(seed).standard_normal(SHAPE, np.float32)
    soft = cv2.GaussianBlur(white, (0, 0), sigma) if sigma else white
    return soft * np.float32(STD / soft.std())


def ramp() -> np.ndarray:
    return np.repeat(np.linspace(0.2, 0.8, SHAPE[1], dtype=np.float32)[None, :, None], SHAPE[0], 0) * np.ones(
        3, np.float32
    )


def measured(sigma: float = 0.7):
    sampler = GrainSampler()
    for pair in range(3):
        here, there = ramp() + grain_like(2 * pair, sigma), ramp() + grain_like(2 * pair + 1, sigma)
        sampler.add(here, there, np.ones(SHAPE[:2], bool), exact=True)
    return sampler.result()


def neighbours_alike(picture: np.ndarray) -> float:
    return float(np.corrcoef(picture[:, 1:].ravel(), picture[:, :-1].ravel())[0, 1])


def test_strength_is_that_of_the_plate():
    assert measured().strength(ramp()).mean() == pytest.approx(STD, rel=0.06)


def test_strength_follows_the_tone():
    sampler = GrainSampler()
    louder = 1 + 2 * ramp()
    for pair in range(3):
        here, there = (ramp() + louder * grain_like(2 * pair + i) for i in range(2))
        sampler.add(here, there, np.ones(SHAPE[:2], bool), exact=True)
    strength = sampler.result().strength(ramp())
    assert strength[:, 220:].mean() / strength[:, :36].mean() == pytest.approx(2.5 / 1.5, rel=0.15)


@pytest.mark.parametrize("sigma", [0.0, 0.7, 1.0])
def test_made_grain_is_as_strong_and_as_soft(sigma):
    made = measured(sigma).make(ramp(), np.ones(SHAPE[:2], np.float32), rng(3, 1))
    assert made.std() == pytest.approx(STD, rel=0.08)
    assert neighbours_alike(made) == pytest.approx(neighbours_alike(grain_like(9, sigma)), abs=0.08)


def test_only_what_is_missing_is_made():
    grain, missing = measured(), np.zeros(SHAPE[:2], np.float32)
    missing[:, 128:] = 0.25
    made = grain.make(ramp(), missing, rng(3, 1))
    assert not made[:, :128].any()
    assert made[:, 128:].std() == pytest.approx(STD / 2, rel=0.1)


def test_draws_are_keyed_by_seed_and_frame():
    grain, missing = measured(), np.ones(SHAPE[:2], np.float32)
    first = grain.make(ramp(), missing, rng(3, 1001))
    np.testing.assert_array_equal(first, grain.make(ramp(), missing, rng(3, 1001)))
    for other in (grain.make(ramp(), missing, rng(3, 1002)), grain.make(ramp(), missing, rng(4, 1001))):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.02


def test_what_moved_between_the_frames_is_not_taken_for_grain():
    sampler = GrainSampler()
    here, there = ramp() + grain_like(0), ramp() + grain_like(1)
    there[:64] += 0.3 * (np.indices((64, 256)).sum(0) % 7 > 3)[..., None]
    sampler.add(here, there, np.ones(SHAPE[:2], bool), exact=True)
    assert sampler.result().strength(ramp()).mean() == pytest.approx(STD, rel=0.15)


def test_without_takes_grain_and_leaves_edges():
    clean = ramp()
    clean[:, 128:] += 0.5
    calm = measured().without(clean + grain_like(5))
    assert (calm - clean)[:, 20:100].std() < 0.6 * STD
    assert (calm[:, 128] - calm[:, 127]).mean() > 0.45


def test_nothing_valid_means_no_grain():
    sampler = GrainSampler()
    sampler.add(ramp(), ramp() + grain_like(0), np.zeros(SHAPE[:2], bool), exact=True)
    assert not sampler.result().strength(ramp()).any()
    assert not no_grain().make(ramp(), np.ones(SHAPE[:2], np.float32), rng(1)).any()


def scenery(seed: int, shift: float = 0.0) -> np.ndarray:
    """Return flat and textured parts, linear, with grain of 5 % and a camera that pans."""
    draw = np.random.default_rng(0)
    coarse = draw.standard_normal((24, 24), np.float32)
    texture = cv2.GaussianBlur(cv2.resize(coarse, (560, 560), interpolation=cv2.INTER_CUBIC), (0, 0), 2)
    texture[:, :200] = 0
    clean = 0.18 * np.exp(0.4 * texture)
    clean = cv2.warpAffine(
        clean, np.array([[1, 0, shift], [0, 1, 0]], np.float32), (512, 512), flags=cv2.INTER_LANCZOS4
    )
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((512, 512, 3), np.float32), (0, 0), 0.6)
    return np.asarray(clean[..., None] * (1 + 0.05 * noise / noise.std()), np.float32)


def true_strength() -> float:
    """Return 0.05 of a value of 0.18, in the encoded domain."""
    return 0.05 * 9 / 10 / np.log(51)


@pytest.mark.parametrize("shift", [0.0, -3.0, -3.4, None])
def test_grain_is_measured_without_known_motion(shift):
    there = None if shift is None else scenery(2, shift)
    grain = measure_grain([(scenery(1), there, np.ones((512, 512), bool))], 0.0)
    flat = np.full((64, 64, 3), np.log(10) / np.log(51), np.float32)
    assert grain.strength(flat).mean() == pytest.approx(true_strength(), rel=0.15)


def test_mattes_are_no_scenery():
    here, there = scenery(1), scenery(2)
    here[:, :256] *= 1 + 0.5 * np.random.default_rng(1).standard_normal((512, 256, 1)).astype(np.float32)
    scenery_alone = np.ones((512, 512), bool)
    scenery_alone[:, :256] = False
    grain = measure_grain([(here, there, scenery_alone)], 0.0)
    flat = np.full((64, 64, 3), np.log(10) / np.log(51), np.float32)
    assert grain.strength(flat).mean() == pytest.approx(true_strength(), rel=0.15)


def test_only_generated_pixels_are_regrained():
    grain = measure_grain([(scenery(1), scenery(2), np.ones((512, 512), bool))], 0.0)
    smooth, plate_share = np.full((128, 128, 3), 0.18, np.float32), np.ones((128, 128), np.float32)
    plate_share[:, 64:] = 0
    result = regrain(smooth, plate_share, grain, 0.0, rng(1, 2))
    np.testing.assert_array_equal(result[:, :64], smooth[:, :64])
    assert (result[:, 64:] / 0.18).std() == pytest.approx(0.05, rel=0.15)
    np.testing.assert_array_equal(result, regrain(smooth, plate_share, grain, 0.0, rng(1, 2)))


def test_a_relit_plate_has_the_grain_of_its_new_tone():
    """Grain like a sensor's: in the shade it is stronger against the light than it is in the sun."""

    def plate(seed: int, level: float) -> np.ndarray:
        noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((256, 256, 3), np.float32), (0, 0), 0.6)
        return np.asarray(level + 0.01 * np.sqrt(level) * noise / noise.std(), np.float32)

    everything = np.ones((256, 256), bool)
    pairs = [(plate(i, level), plate(i + 10, level), everything) for i, level in enumerate((0.04, 0.08, 0.16, 0.32))]
    grain = measure_grain(pairs, 0.0)
    shade, gain = plate(30, 0.04), np.full((256, 256, 3), 8, np.float32)
    result = relight(shade, gain, 0.0, grain, 0.0)
    assert result.mean() == pytest.approx(0.32, rel=0.01)
    assert result.std() == pytest.approx(plate(31, 0.32).std(), rel=0.25)
    assert (8 * shade).std() > 2.5 * plate(31, 0.32).std()
