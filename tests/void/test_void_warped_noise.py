"""Warped noise: white in every frame, and carried along by the motion."""

from __future__ import annotations

import tracemalloc
from itertools import count, islice, repeat

import cv2
import numpy as np
import pytest

from gpu_server.benchmarks.void.warped_noise import affine, statistics, swirl, tour, turn
from gpu_server.engines.void.flow import DenseInverseSearch
from gpu_server.engines.void.noise_field import NoiseField
from gpu_server.engines.void.warped_noise import flow_sequence, noise_of_frames, warped_noise
from void_bridge.errors import InputError, SizeMismatch

FULL = (48, 84)
SMALL = (24, 32)
SEED = 11


def shift(x: float, y: float, shape: tuple[int, int] = SMALL) -> np.ndarray:
    return affine(shape, np.eye(2), (x, y))


def last(flows, frames: int, shape: tuple[int, int] = SMALL) -> tuple[np.ndarray, np.ndarray]:
    """Return the noise of the first frame and of the one `frames` later."""
    field = NoiseField(shape, SEED)
    first = field.latents()
    for flow in islice(flows, frames):
        field.move(flow)
    return first, field.latents()


def related(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def assert_white(noise: np.ndarray) -> None:
    found = statistics(noise)
    assert 0.98 < found.std < 1.02
    assert 2.9 < found.kurtosis < 3.1
    assert max(abs(found.lag_x), abs(found.lag_y), abs(found.between_channels)) < 0.03


def test_every_frame_is_white_over_pan_zoom_rotation_and_swirl():
    frames = 0
    for noise in noise_of_frames(tour(FULL, 84), FULL, SEED):
        assert noise.shape == (16, *FULL)
        assert noise.dtype == np.float32
        assert_white(noise)
        frames += 1
    assert frames == 85


@pytest.mark.parametrize(
    "flow",
    [
        affine(FULL, 1.4 * np.eye(2)),
        affine(FULL, 0.55 * np.eye(2)),
        affine(FULL, [[1.3, 0.4], [0, 0.7]]),
        affine(FULL, turn(50)),
        np.random.default_rng(0).normal(0, 30, (384, 672, 2)).astype(np.float32),
    ],
    ids=["zoom in", "zoom out", "shear", "spin", "disorder"],
)
def test_noise_is_white_under_violent_motion(flow):
    for noise in noise_of_frames(repeat(flow, 4), FULL, SEED):
        assert_white(noise)


def test_new_noise_differs_from_frame_to_frame():
    noise = list(noise_of_frames(repeat(shift(1e4, 0), 3), SMALL, SEED))
    for k in range(3):
        assert abs(related(noise[k], noise[k + 1])) < 0.05
    assert abs(related(noise[1], noise[3])) < 0.05


def test_noise_is_unchanged_without_motion():
    first, then = last(repeat(np.zeros((192, 256, 2), np.float32)), 20)
    assert then.tobytes() == first.tobytes()


@pytest.mark.parametrize(("x", "y"), [(1, 0), (-1, 0), (0, 2), (2, -1), (-3, 1)])
def test_motion_by_whole_cells_is_bit_exact(x, y):
    before = None
    for noise in noise_of_frames(repeat(shift(8 * x, 8 * y), 4), SMALL, SEED):
        if before is not None:
            np.testing.assert_array_equal(overlap(noise, x, y), overlap(before, -x, -y))
        before = noise


def overlap(noise: np.ndarray, x: int, y: int) -> np.ndarray:
    """Return `noise` without the x columns and y rows on the side where the motion brings in new noise."""
    rows = slice(max(y, 0), noise.shape[1] + min(y, 0))
    return noise[:, rows, max(x, 0) : noise.shape[2] + min(x, 0)]


def test_small_steps_add_up_to_whole_cells():
    first, then = last(repeat(shift(-0.4, 0.2)), 40)
    np.testing.assert_allclose(overlap(then, -2, 1), overlap(first, 2, -1), atol=1e-5)


@pytest.mark.parametrize("step", [(0.3, 0), (0, 0.3), (-0.3, 0), (0.3, -0.3), (0.21, 0.11)])
def test_motion_below_a_pixel_adds_up(step):
    first, then = last(repeat(shift(*step)), 84)
    error = displacement(first, then) * 8 - 84 * np.array(step)
    assert np.abs(error).max() < 1.0


def displacement(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return x and y in cells: the peak of the cross-correlation, band-limited and sampled finely."""
    spectrum = (np.conj(np.fft.fft2(first)) * np.fft.fft2(then)).sum(axis=0)
    down, across = (np.fft.fftfreq(side) for side in first.shape[1:])
    spectrum *= (np.abs(down) < 0.25)[:, None] & (np.abs(across) < 0.25)
    at = np.arange(-5, 5, 0.05)
    map_ = np.exp(2j * np.pi * np.outer(at, down)) @ spectrum @ np.exp(2j * np.pi * np.outer(across, at))
    y, x = np.unravel_index(map_.real.argmax(), map_.shape)
    return at[[x, y]]


def test_a_quarter_turn_turns_the_noise():
    first, then = last(repeat(affine((24, 24), turn(90 / 60))), 60, (24, 24))
    middle = np.s_[:, 5:19, 5:19]
    assert related(np.rot90(first, -1, (1, 2))[middle], then[middle]) > 0.97


def test_stretched_noise_keeps_its_sum():
    first, then = last(repeat(affine(SMALL, 4 ** (1 / 40) * np.eye(2))), 40)
    assert related(blocks(then, 4), first[:, 9:15, 12:20]) > 0.9


def test_squeezed_noise_is_summed():
    first, then = last(repeat(affine(SMALL, 2 ** (-1 / 40) * np.eye(2))), 40)
    assert related(blocks(first, 2), then[:, 6:18, 8:24]) > 0.9


def blocks(noise: np.ndarray, side: int) -> np.ndarray:
    """Return the noise over squares of `side` cells, N(0, 1)."""
    channels, height, width = noise.shape
    return noise.reshape(channels, height // side, side, width // side, side).sum(axis=(2, 4)) / side


def test_motion_there_and_back_restores_the_noise():
    there, back = affine(SMALL, 1.05 * turn(2)), affine(SMALL, np.linalg.inv(1.05 * np.asarray(turn(2))))
    first, then = last([there] * 10 + [back] * 10, 20)
    assert related(first[:, 8:16, 10:22], then[:, 8:16, 10:22]) > 0.97


def test_an_object_carries_its_noise_over_a_still_ground():
    first, then = last(passing_squares(), 32)
    assert related(first[:, 8:16, 6:13], then[:, 8:16, 14:21]) > 0.95
    np.testing.assert_array_equal(then[:, :7], first[:, :7])
    assert abs(related(first[:, 8:16, 6:13], then[:, 8:16, 6:13])) < 0.1


def passing_squares():
    """Yield the flow of a square of 8 x 8 cells that moves 2 pixels a frame to the right."""
    for k in count():
        flow = np.zeros((192, 256, 2), np.float32)
        flow[64:128, 48 + 2 * k : 112 + 2 * k] = 2, 0
        yield flow


def test_neighbouring_frames_correlate_in_a_swirl():
    noise = list(noise_of_frames(repeat(swirl(SMALL, 1), 8), SMALL, SEED))
    assert min(related(a, b) for a, b in zip(noise, noise[1:], strict=False)) > 0.9


def test_a_latent_has_the_noise_of_its_first_frame():
    every_frame = list(noise_of_frames(tour(SMALL, 12), SMALL, SEED))
    np.testing.assert_array_equal(warped_noise(tour(SMALL, 12), 4, SMALL, SEED), every_frame[::4])


def test_one_latent_needs_no_flow():
    assert_white(warped_noise([], 1, FULL, SEED)[0])


def test_the_number_of_threads_does_not_change_the_noise():
    before, results = cv2.getNumThreads(), set()
    try:
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            results.add(warped_noise(tour(SMALL, 8), 3, SMALL, SEED).tobytes())
    finally:
        cv2.setNumThreads(before)
    assert len(results) == 1


def test_another_seed_gives_other_noise():
    one, other = (warped_noise(tour(SMALL, 4), 2, SMALL, seed) for seed in (1, 2))
    assert abs(related(one, other)) < 0.03


def test_the_layout_of_a_flow_does_not_matter():
    flow = tour(SMALL, 1)
    (plain,) = flow
    planes = np.moveaxis(np.ascontiguousarray(np.moveaxis(plain.astype(np.float64), -1, 0)), 0, -1)
    np.testing.assert_array_equal(last([planes], 1)[1], last([plain], 1)[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -1e9])
def test_noise_is_new_where_the_flow_is_not_finite(bad):
    flow = np.zeros((384, 672, 2), np.float32)
    flow[80:160, 80:160] = bad
    first, then = last(repeat(flow), 2, FULL)
    assert_white(then)
    assert abs(related(first[:, 11:19, 11:19], then[:, 11:19, 11:19])) < 0.1
    then[:, 9:21, 9:21] = first[:, 9:21, 9:21]
    np.testing.assert_array_equal(then, first)


def test_noise_is_new_after_everything_has_left():
    first, then = last(repeat(np.full((384, 672, 2), np.nan, np.float32)), 2, FULL)
    assert_white(then)
    assert abs(related(first, then)) < 0.02


def test_memory_does_not_grow_with_the_clip():
    tracemalloc.start()
    try:
        for _ in noise_of_frames(repeat(affine(SMALL, 0.8 * np.eye(2)), 20), SMALL, SEED):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    particles = 8 / 4 * (192 + 16) * (256 + 16)
    assert peak < 5 * particles * 16 * 4


def test_only_the_needed_flows_are_read():
    flows = tour(SMALL, 9)
    warped_noise(flows, 3, SMALL, SEED)
    assert len(list(flows)) == 1


def test_too_few_flows_are_refused():
    with pytest.raises(InputError, match="got 7 flows for 3 latents, expected 8"):
        warped_noise(tour(SMALL, 7), 3, SMALL, SEED)


@pytest.mark.parametrize("shape", [(192, 255, 2), (24, 32, 2), (192, 256)])
def test_a_flow_of_another_size_is_refused(shape):
    with pytest.raises(SizeMismatch, match=r"expected \(192, 256, 2\)"):
        warped_noise([np.zeros(shape, np.float32)] * 4, 2, SMALL, SEED)


def panning(frames: int) -> list[np.ndarray]:
    spots = np.random.default_rng(0).random((220, 320, 3), np.float32)
    world = cv2.normalize(cv2.GaussianBlur(spots, (0, 0), 3), None, 0, 1, cv2.NORM_MINMAX)
    return [world[10 : 10 + 192, 50 - 3 * k : 50 - 3 * k + 256] for k in range(frames)]


def test_noise_follows_the_images():
    noise = warped_noise(flow_sequence(panning(9), DenseInverseSearch()), 3, SMALL, SEED)
    assert related(noise[2][:, 2:-2, 5:-2], noise[0][:, 2:-2, 2:-5]) > 0.85


def test_flows_come_in_order_one_fewer_than_frames():
    frames, flow = panning(9), DenseInverseSearch()
    alone = [flow.between(a, b) for a, b in zip(frames, frames[1:], strict=False)]
    np.testing.assert_array_equal(list(flow_sequence(iter(frames), flow)), alone)
    assert list(flow_sequence(frames[:1], flow)) == []


def test_an_error_of_a_flow_reaches_the_caller():
    frames = panning(5)
    frames[3] = frames[3][:-8]
    flows = flow_sequence(frames, DenseInverseSearch())
    next(flows), next(flows)
    with pytest.raises(cv2.error):
        next(flows)
