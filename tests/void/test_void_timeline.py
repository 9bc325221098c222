"""The frames of a clip that the model is given."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gpu_server.engines.void.timeline import make_timeline, sampled_frames


@pytest.mark.parametrize(
    ("frames", "rate", "model_fps", "expected"),
    [
        (1, Fraction(24), "12", (0,)),
        (2, Fraction(24), "12", (0, 1)),
        (5, Fraction(24), "12", (0, 2, 4)),
        (6, Fraction(24), "12", (0, 2, 5)),
        (4, Fraction(24000, 1001), "12", (0, 2, 3)),
        (11, Fraction(60), "12", (0, 5, 10)),
        (4, Fraction(12), "12", (0, 1, 2, 3)),
        (4, Fraction(10), "12", (0, 1, 2, 3)),
        (4, Fraction(60), "native", (0, 1, 2, 3)),
        (3, Fraction(1000), "12", (0, 2)),
    ],
)
def test_short_clips_are_sampled_at_the_expected_frames(frames, rate, model_fps, expected):
    assert sampled_frames(frames, rate, model_fps) == expected


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30), Fraction(60)])
@pytest.mark.parametrize("frames", [3, 10, 85, 86, 197, 1000])
def test_the_first_and_last_frames_are_sampled_and_the_rest_evenly(frames, rate):
    indices = sampled_frames(frames, rate, "12")
    assert indices[0] == 0 and indices[-1] == frames - 1
    steps = np.diff(indices)
    assert steps.min() >= 1 and steps.max() - steps.min() <= 1
    if frames > 20:
        assert float(rate / 12) == pytest.approx(steps.mean(), rel=0.06)


def test_a_timeline_pads_the_sampled_frames_and_finds_the_neighbours_of_others():
    timeline = make_timeline(9, Fraction(24), "12", "even")
    assert timeline.sampled == (0, 2, 4, 6, 8) and timeline.order == (0, 1, 2, 3, 4) and timeline.latents == 2
    assert timeline.neighbours(4) == (2, 2, 0.0) and timeline.neighbours(5) == (2, 3, 0.5)
