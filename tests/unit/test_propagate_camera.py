"""Camera motion, residual flow, and the frames that show a hidden pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gpu_server.engines.base import Array, ArrayClip, SilentContext
from gpu_server.engines.propagate.camera import Camera, apply_map, corner_shift, simplest_motion, solve_camera
from gpu_server.engines.propagate.flow import complete_field, residual_flow
from gpu_server.engines.propagate.moving_objects import find_moving_objects
from gpu_server.engines.propagate.sources import choose_sources, find_unseen
from gpu_server.engines.propagate.survey import Survey, make_survey
from gpu_server.footage import make_clip
from tests.support.clips import footage_clip, memory_job
from void_bridge.pixels.box import Box

SIZE = {"height": 180, "width": 320}


def solved(clip: ArrayClip, scratch) -> tuple[Survey, Camera]:
    context = SilentContext(memory_job(len(clip.plates)), scratch)
    survey = make_survey(clip, context)
    return survey, solve_camera(survey, context)


def scattered(count: int = 200) -> Array:
    return np.random.default_rng(0).uniform((0, 0), (320, 180), (count, 2))


@pytest.mark.parametrize(
    "truth",
    [
        np.eye(3),
        np.array([[1, 0, 3.3], [0, 1, -1.2], [0, 0, 1]]),
        np.array([[1.02, -0.03, 5], [0.03, 1.02, 1], [0, 0, 1]]),
        np.array([[1.02, 0.05, 5], [-0.01, 0.97, 1], [0, 0, 1]]),
        np.array([[1.02, 0.05, 5], [-0.01, 0.97, 1], [2e-4, -1e-4, 1]]),
    ],
    ids=["none", "shift", "similarity", "affine", "homography"],
)
def test_the_simplest_motion_that_fits_is_found(truth):
    here = scattered()
    noise = np.random.default_rng(1).normal(0, 0.05, here.shape)
    found = simplest_motion(here, apply_map(truth, here) + noise)
    assert corner_shift((180, 320), found, truth) < 0.15
    assert np.count_nonzero(found == np.eye(3)) >= np.count_nonzero(truth == np.eye(3))


def test_a_few_wrong_tracks_change_nothing():
    here = scattered()
    truth = np.array([[1, 0, 3.3], [0, 1, -1.2], [0, 0, 1]])
    there = apply_map(truth, here)
    there[::10] += 8
    assert corner_shift((180, 320), simplest_motion(here, there), truth) < 0.1


def test_a_locked_off_camera_is_the_identity_exactly(tmp_path):
    _, camera = solved(footage_clip(make_clip(camera="static", frames=5, **SIZE)), tmp_path)
    assert camera.kind == "static"
    assert all(np.array_equal(camera.precise(0, i), np.eye(3)) for i in range(5))


def test_a_moving_camera_is_followed_within_a_fraction_of_a_pixel(tmp_path):
    footage = make_clip(camera="pan_zoom_rotation", frames=10, **SIZE)
    _, camera = solved(footage_clip(footage), tmp_path)
    for target, source in ((0, 9), (8, 2), (4, 5)):
        truth = np.linalg.inv(footage.to_world[source]) @ footage.to_world[target]
        assert corner_shift((180, 320), camera.precise(target, source), truth) < 0.3


def test_frames_without_anything_to_track_are_unsure(tmp_path):
    plates = np.full((3, 90, 160, 3), 0.2, np.float32)
    _, camera = solved(ArrayClip(plates, {}), tmp_path)
    assert camera.kind == "unsure"
    assert np.array_equal(camera.precise(0, 2), np.eye(3))


def test_sources_lie_on_both_sides_in_time(tmp_path):
    survey, camera = solved(footage_clip(make_clip(camera="static", frames=16, **SIZE)), tmp_path)
    taken = choose_sources(survey, camera, 8)
    assert 2 <= len(taken) <= 8 and min(taken) < 8 < max(taken)
    assert not find_unseen(survey, camera, 8, taken).any()


def test_pixels_that_every_frame_hides_are_unseen(tmp_path):
    footage = make_clip(camera="static", frames=4, object_motion="still", **SIZE)
    survey, camera = solved(footage_clip(footage), tmp_path)
    assert choose_sources(survey, camera, 2) == []
    np.testing.assert_array_equal(find_unseen(survey, camera, 2, []), survey.hole(2))


def test_parallax_is_the_residual_flow(tmp_path):
    footage = make_clip(camera="static", frames=2, object_size=0.2, grain=0.0, **SIZE)
    plates = footage.plates.copy()
    plates[1, 90:] = np.roll(plates[1, 90:], 4, axis=1)
    survey, _ = solved(ArrayClip(plates, footage_clip(footage).mattes), tmp_path)
    shifted = np.array([[1, 0, 0.01], [0, 1, 0], [0, 0, 1]])
    flow = residual_flow(survey, 0, 1, shifted, Box(0, 0, 180, 320))
    assert flow is not None
    assert np.median(flow[120:160, 120:260, 0]) == pytest.approx(4, abs=0.3)
    assert np.median(flow[20:60, 120:260, 0]) == pytest.approx(0, abs=0.3)


def test_completion_keeps_what_is_known_and_continues_it():
    ramp = np.linspace(0, 8, 160, dtype=np.float32)[None, :, None] * np.ones((120, 1, 2), np.float32)
    trust = np.ones((120, 160), np.float32)
    trust[30:90, 50:110] = 0
    field = np.where(trust[..., None] > 0, ramp, 99.0).astype(np.float32)
    filled = complete_field(field, trust, 2.5)
    assert np.abs(filled - ramp)[10:-10, 10:30].max() < 0.2
    assert np.abs(filled - ramp)[40:80, 60:100].max() < 1.0


def test_a_hand_before_a_still_camera_is_a_moving_object_and_the_wall_is_not(tmp_path):
    footage = make_clip(camera="static", frames=3, object_size=0.2, **SIZE)
    plates = footage.plates.copy()
    hand = np.random.default_rng(3).uniform(0.3, 0.9, (40, 50, 3)).astype(np.float32)
    for i in range(3):
        cv2.GaussianBlur(hand, (0, 0), 1.0, dst=plates[i, 10:50, 200 + 3 * i : 250 + 3 * i])
    survey, camera = solved(ArrayClip(plates, footage_clip(footage).mattes), tmp_path)
    found = find_moving_objects(survey, camera, 1)
    assert found[15:45, 210:245].mean() > 0.8
    assert found[100:, 200:].mean() < 0.05
