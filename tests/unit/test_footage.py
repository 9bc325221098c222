from __future__ import annotations

import cv2
import numpy as np
import pytest

from gpu_server.footage import Scene, make_clip

SMALL = {"height": 90, "width": 160, "frames": 4}


def test_a_plate_has_scene_referred_values():
    footage = make_clip(camera="pan", **{**SMALL, "height": 180, "width": 320})
    assert footage.plates.dtype == np.float32 and footage.plates.shape == (4, 180, 320, 3)
    assert footage.plates.max() > 10
    assert footage.backgrounds.min() < 0
    assert np.isfinite(footage.plates).all()


def test_plate_is_the_grained_background_where_the_mattes_are_0():
    footage = make_clip(camera="pan_zoom_rotation", **SMALL)
    untouched = np.maximum(footage.remove, footage.affected) == 0
    np.testing.assert_allclose(footage.plates[untouched], footage.backgrounds_grained[untouched], atol=1e-6)
    assert np.abs(footage.plates - footage.backgrounds_grained)[footage.remove > 0.9].mean() > 0.05


def test_a_frame_rendered_alone_is_that_of_the_clip():
    footage = make_clip(camera="pan", seed=5, **SMALL)
    frame = Scene(camera="pan", seed=5, **SMALL).frame(2)
    np.testing.assert_array_equal(frame.plate, footage.plates[2])
    np.testing.assert_array_equal(frame.affected, footage.affected[2])


def test_to_world_is_the_true_motion():
    footage = make_clip(camera="pan_zoom_rotation", height=180, width=320, frames=6)
    step = np.linalg.inv(footage.to_world[3]) @ footage.to_world[0]
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(footage.backgrounds[3], step, (320, 180), flags=flags)
    middle = np.s_[40:140, 60:260]
    apart = np.abs(np.clip(moved[middle], 0, 1) - np.clip(footage.backgrounds[0][middle], 0, 1))
    still = np.abs(np.clip(footage.backgrounds[3][middle], 0, 1) - np.clip(footage.backgrounds[0][middle], 0, 1))
    assert apart.mean() < 0.01 < 0.1 * still.mean() * 10


def test_grain_differs_from_frame_to_frame():
    footage = make_clip(**SMALL)
    grain = footage.backgrounds_grained - footage.backgrounds
    likeness = np.corrcoef(grain[0].ravel(), grain[1].ravel())[0, 1]
    assert abs(likeness) < 0.02
    assert grain.std() > 0.003


@pytest.mark.parametrize("stops", [0.0, 1.0])
def test_exposure_drifts_by_the_stops_asked_for(stops):
    footage = make_clip(exposure_drift=stops, grain=0.0, **SMALL)
    assert footage.backgrounds[-1].mean() / footage.backgrounds[0].mean() == pytest.approx(2**stops, rel=1e-3)


def test_parallax_moves_the_near_layer_against_the_background():
    flat = make_clip(camera="pan", grain=0.0, **SMALL)
    deep = make_clip(camera="pan", grain=0.0, parallax=0.6, **SMALL)
    assert np.abs(flat.backgrounds - deep.backgrounds).mean() > 0.01
