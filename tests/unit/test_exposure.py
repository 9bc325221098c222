from __future__ import annotations

import numpy as np
import pytest

from void_bridge.pixels.exposure import LARGEST_CORRECTION_STOPS, measure_exposure


def shot(average: float, shape: tuple[int, int] = (60, 80)) -> list[np.ndarray]:
    rng = np.random.default_rng(6)
    return [(average * np.exp2(rng.normal(0, 1.5, (*shape, 3)))).astype(np.float32) for _ in range(3)]


@pytest.mark.parametrize("average", [0.05, 0.12, 0.18, 0.3])
def test_a_normal_shot_is_left_alone(average: float) -> None:
    assert measure_exposure(shot(average)) == 0.0


@pytest.mark.parametrize(("average", "expected"), [(0.03 / 16, 4.0), (0.4 * 16, -4.0)])
def test_a_dark_or_bright_shot_is_brought_to_the_nearer_edge(average: float, expected: float) -> None:
    assert measure_exposure(shot(average)) == pytest.approx(expected, abs=0.75)


def test_the_number_is_whole_eighths_of_a_stop() -> None:
    assert (measure_exposure(shot(0.0007)) * 8) % 1 == 0


def test_a_shot_a_stop_darker_gets_a_stop_more() -> None:
    frames = shot(0.004)
    assert measure_exposure(f / 2 for f in frames) == measure_exposure(frames) + 1


def test_the_correction_is_bounded() -> None:
    assert measure_exposure(shot(0.18 * 2**20)) == -LARGEST_CORRECTION_STOPS


def test_black_negative_and_broken_pixels_do_not_count() -> None:
    (frame, *_) = shot(0.002)
    spoiled = np.concatenate([frame, np.zeros_like(frame), np.full_like(frame, -1), np.full_like(frame, np.nan)])
    spoiled[0, 0] = np.inf
    assert measure_exposure([spoiled]) == measure_exposure([frame])


def test_a_black_shot_gets_none() -> None:
    assert measure_exposure([np.zeros((8, 8, 3), np.float32)]) == 0.0


def test_half_float_frames_are_welcome() -> None:
    frames = shot(0.002)
    assert measure_exposure(f.astype(np.float16) for f in frames) == pytest.approx(measure_exposure(frames), abs=0.125)


def test_a_large_frame_is_sampled_and_agrees_with_a_small_one() -> None:
    assert measure_exposure(shot(0.002, (1200, 1600))) == pytest.approx(measure_exposure(shot(0.002)), abs=0.125)
