"""Interpolation between two frames along their flow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gpu_server.engines.void.flow import make_flow
from gpu_server.engines.void.frame_interpolation import interpolate_frame
from tests.support.model_frames import code, wall

HEIGHT, WIDTH, RADIUS = 192, 320, 40


def scene(time: float, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a textured disc that crosses a panning wall at `speed` pixels a frame, and its mask."""

    def moved(picture: np.ndarray, right: float, down: float) -> np.ndarray:
        how = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REFLECT}
        return cv2.warpAffine(picture, np.array([[1, 0, right], [0, 1, down]], np.float32), (WIDTH, HEIGHT), **how)

    far = moved(code(wall(1)), -8 - 2 * time, -8)
    near = moved(code(wall(9, 0.5) * np.array([1.8, 1, 0.4], np.float32)), -20 + speed * time, -10 + 0.3 * speed * time)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    disc = np.clip(RADIUS + 0.5 - np.hypot(x - 90 - speed * time, y - 80 - 0.3 * speed * time), 0, 1)
    return far + disc[..., None] * (near - far), disc


def psnr(result: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean(np.square(result - truth)[where])))


@pytest.mark.parametrize(("speed", "gain"), [(1, 4), (6, 6), (12, 5)])
def test_an_interpolated_frame_beats_a_cross_fade(speed, gain):
    (before, m0), (truth, m1), (after, m2) = (scene(t, speed) for t in (0, 1, 2))
    around = cv2.dilate(np.maximum(np.maximum(m0, m1), m2), np.ones((9, 9))) > 0
    everywhere = np.ones_like(around)
    between = interpolate_frame(before, after, 0.5, make_flow())
    faded = (before + after) / 2
    assert psnr(between, truth, around) > psnr(faded, truth, around) + gain
    assert psnr(between, truth, everywhere) > psnr(faded, truth, everywhere) + gain


def test_the_position_between_the_frames_counts():
    (before, _), (after, _) = scene(0, 4), scene(4, 4)
    truth, _ = scene(1, 4)
    all_ = np.ones(truth.shape[:2], bool)
    flow = make_flow()
    assert psnr(interpolate_frame(before, after, 0.25, flow), truth, all_) > 3 + psnr(
        interpolate_frame(before, after, 0.5, flow), truth, all_
    )


def test_a_still_frame_stays_as_it_is():
    still, _ = scene(0, 0)
    np.testing.assert_allclose(interpolate_frame(still, still, 0.5, make_flow()), still, atol=2e-3)


def test_a_cut_gives_finite_pixels():
    before, _ = scene(0, 0)
    result = interpolate_frame(before, np.zeros_like(before), 0.5, make_flow())
    assert np.isfinite(result).all() and 0 < result.mean() < before.mean()
