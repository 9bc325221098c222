from __future__ import annotations

import cv2
import numpy as np
import pytest

from gpu_server.engines.base import rng
from void_bridge.pixels.grain import GrainSampler, no_grain

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
