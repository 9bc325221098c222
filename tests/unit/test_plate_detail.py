from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import pytest

from gpu_server.engines.base import rng
from gpu_server.picture_quality import display, psnr
from tests.support.model_frames import (
    CANVAS,
    PLATE,
    Scene,
    code,
    enlarge,
    fine,
    grain_of,
    grainy,
    linear,
    moved_away,
    shadow,
    shrunk,
)
from void_bridge.pixels.box import Box
from void_bridge.pixels.cut_off import CutOff, cut_off_warning, find_cut_off
from void_bridge.pixels.grain import Grain, no_grain
from void_bridge.pixels.integration import (
    IntegratedFrame,
    PlateFrame,
    integrate,
    make_full_fill,
    measure_on_canvas,
    with_neighbours,
)
from void_bridge.pixels.mattes import AFFECTED, KEEP
from void_bridge.pixels.plate_detail import Detail, choose_detail, restore, shift_change
from void_bridge.pixels.plate_grain import measure_grain

FRAMES = 3
WHOLE = Box(0, 0, *PLATE)
TINTED = (1.13, 1.1, 1.05)


def keep_area(scene: Scene) -> np.ndarray:
    return enlarge((scene.quadmask == KEEP).astype(np.float32)) > 0.99


def plate_frame(scene: Scene, frame: int, grain: Grain, box: Box = WHOLE) -> PlateFrame:
    def enlarged(image: np.ndarray) -> np.ndarray:
        return enlarge(image)[box.slices]

    ceiling = np.full(box.shape, 4, np.float32)
    return PlateFrame(scene.plate(frame)[box.slices], ceiling, enlarged, linear, code, grain, 0.0)


def looks_of(scene: Scene, gain: tuple[float, ...] = (1.0,), frames: int = FRAMES) -> list:
    factor = np.array(gain, np.float32)
    return [
        measure_on_canvas(
            scene.made(i, factor), scene.reconstruction(i), code(shrunk(scene.plate(i))), scene.quadmask, linear, code
        )
        for i in range(frames)
    ]


@lru_cache(maxsize=8)
def prepared(name: str, gain: tuple[float, ...] = (1.0,)) -> tuple[Scene, list, Grain]:
    """Return a short clip: shadow, hard shadow, or a thing that moved away, textured or flat."""
    make = {"shadow": shadow, "hard": lambda: shadow(8), "moved": moved_away, "flat": lambda: moved_away(False)}
    scene = make[name]()
    grain = measure_grain([(scene.plate(0), scene.plate(1), keep_area(scene))], 0.0)
    return scene, list(with_neighbours(looks_of(scene, gain))), grain


@lru_cache(maxsize=16)
def done(name: str, frame: int = 1, gain: tuple[float, ...] = (1.0,)) -> tuple[Scene, IntegratedFrame]:
    scene, windows, grain = prepared(name, gain)
    window, at = windows[frame]
    return scene, integrate(window, at, plate_frame(scene, frame, grain), rng(1, "grain", frame))


def unchanged(scene: Scene) -> np.ndarray:
    """Return the affected pixels in which and near which nothing happened."""
    near = cv2.dilate(scene.zone.astype(np.uint8), np.ones((61, 61), np.uint8)) > 0
    thing = cv2.dilate((scene.quadmask < AFFECTED).astype(np.uint8), np.ones((17, 17), np.uint8)).astype(np.float32)
    return (enlarge((scene.quadmask == AFFECTED).astype(np.float32)) > 0.99) & ~near & (enlarge(thing) < 0.01)


@pytest.mark.parametrize("gain", [(1.0,), TINTED])
def test_a_wall_without_its_shadow_has_the_plates_texture(gain):
    scene, frame = done("shadow", 1, gain)
    truth = grainy(scene.truth, 1)  # grain as in the plate's frame
    enlarged = psnr(enlarge(linear(scene.made(1))), truth, scene.zone)
    assert psnr(frame.rgb, truth, scene.zone) > enlarged + 7
    assert frame.plate_share[scene.zone].mean() > 0.95


def test_nothing_of_a_removed_shadow_is_left():
    scene, frame = done("shadow")
    error = (display(frame.rgb) - display(scene.truth))[scene.zone].mean()
    assert abs(error) < 0.003 < 0.05 < abs((display(scene.dirty) - display(scene.truth))[scene.zone].mean())


@pytest.mark.parametrize("name", ["shadow", "hard", "moved", "flat"])
def test_unchanged_pixels_are_the_plate_bit_for_bit(name):
    scene, frame = done(name)
    same = (frame.rgb == scene.plate(1)).all(axis=2)
    assert same[unchanged(scene)].mean() > 0.95


@pytest.mark.parametrize("name", ["moved", "flat"])
def test_a_thing_that_moved_away_leaves_no_ghost(name):
    scene, frame = done(name)
    inside = cv2.erode(scene.zone.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    thing = (display(scene.dirty) - display(scene.truth))[inside]
    left = (display(frame.rgb) - display(frame.generated))[inside]
    assert frame.plate_share[inside].mean() < 0.04
    assert abs(float((thing * left).sum() / (thing**2).sum())) < 0.01
    thing = fine(display(scene.dirty))[inside]
    left = fine(display(frame.rgb) - display(frame.generated))[inside]
    assert abs(float((thing * left).sum() / (thing**2).sum())) < 0.08


@pytest.mark.parametrize("name", ["shadow", "hard", "moved"])
def test_grain_is_that_of_the_plate_everywhere(name):
    scene, frame = done(name)
    ends = [done(name, 0)[1], done(name, 2)[1]]
    pair = [end.rgb for end in ends]
    outside = grain_of(pair, keep_area(scene))
    made = scene.zone & (frame.plate_share < 0.02)
    relit = scene.zone & (frame.plate_share > 0.98)
    for where in (scene.zone, made, relit):
        if where.sum() > 2000:
            assert 0.8 < grain_of(pair, where) / outside < 1.25
    assert grain_of(
        [make_full_fill(end, plate_frame(scene, i, prepared(name)[2]), rng(1, i)) for i, end in enumerate(ends)],
        keep_area(scene),
    ) / outside == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("name", ["shadow", "moved"])
def test_decisions_do_not_flicker_with_grain(name):
    scene = shadow() if name == "shadow" else moved_away()
    windows = with_neighbours([one.change for one in looks_of(scene, frames=8)])
    details = [choose_detail(window, at) for window, at in windows]
    plate_share = np.std([d.kept + (1 - d.kept) * d.shaded for d in details], axis=0)
    assert plate_share.mean() < 0.004
    assert np.quantile(plate_share, 0.99) < 0.08


def test_a_frame_does_not_depend_on_those_made_before():
    scene, frame = done("shadow")
    _, _, grain = prepared("shadow")
    again = integrate(looks_of(scene), 1, plate_frame(scene, 1, grain), rng(1, "grain", 1))
    np.testing.assert_array_equal(again.rgb, frame.rgb)


def test_a_part_of_a_frame_is_as_in_the_whole():
    scene, _ = done("moved")
    window, at = prepared("moved")[1][1]
    box = Box(100, 330, 300, 520)
    whole, part = (integrate(window, at, plate_frame(scene, 1, no_grain(), b), None) for b in (WHOLE, box))
    np.testing.assert_array_equal(part.rgb, whole.rgb[box.slices])


def test_the_unmasked_fill_equals_the_frame_where_no_pixel_is_the_plates():
    scene, frame = done("moved")
    _, _, grain = prepared("moved")
    made = frame.plate_share == 0
    unmasked = make_full_fill(frame, plate_frame(scene, 1, grain), rng(1, "grain", 1))
    np.testing.assert_allclose(unmasked[made], frame.rgb[made], rtol=5e-3)


def test_a_crop_that_moves_has_its_neighbours_decisions_in_place():
    rolled = (3, -5)  # rows and columns by which the second crop is further on
    window, _ = prepared("moved")[1][1]
    here = window[0].change
    there = shift_change(here, *rolled)
    np.testing.assert_array_equal(there.size[10:60, 20:100], here.size[13:63, 15:95])
    np.testing.assert_array_equal(there.log_gain[10:60, 20:100], here.log_gain[13:63, 15:95])
    assert shift_change(here, 0.3, -0.4) is here


def test_without_a_reconstruction_every_pixel_is_the_models():
    scene = shadow()
    one = measure_on_canvas(scene.made(0), None, code(shrunk(scene.plate(0))), scene.quadmask, linear, code)
    result = integrate([one], 0, plate_frame(scene, 0, no_grain()), None)
    np.testing.assert_array_equal(result.rgb, result.generated)
    assert not result.plate_share.any()


def test_negatives_and_highlights_of_the_plate_come_back():
    plate = np.full((32, 48, 3), 0.1, np.float32)
    plate[4, 4], plate[8, 8] = 40.0, -0.02
    ones, zeros = np.ones((32, 48), np.float32), np.zeros((32, 48), np.float32)
    doubled = Detail(zeros, ones, np.full((32, 48, 3), np.log(2), np.float32), dark=0.0)
    result = restore(plate, np.zeros_like(plate), doubled, lambda image: image, no_grain(), 0.0)
    np.testing.assert_allclose(result.rgb, 2 * plate, rtol=1e-4)
    kept = Detail(ones, zeros, np.zeros_like(plate), dark=0.0)
    result = restore(plate, np.ones_like(plate), kept, lambda image: image, no_grain(), 0.0)
    np.testing.assert_array_equal(result.rgb, plate)


def test_every_frame_has_its_neighbours():
    windows = list(with_neighbours(range(7), reach=2))
    assert [w[at] for w, at in windows] == list(range(7))
    assert windows[0] == ([0, 1, 2], 0) and windows[3] == ([1, 2, 3, 4, 5], 2) and windows[6] == ([4, 5, 6], 2)
    assert list(with_neighbours([], reach=2)) == [] and list(with_neighbours("a", reach=2)) == [(["a"], 0)]


@pytest.mark.parametrize(("drawn", "share"), [(slice(0, 168), 0.0), (slice(0, 95), 0.5)])
def test_changes_that_the_matte_cuts_off_are_measured(drawn, share):
    scene = shadow()
    paste = np.zeros(CANVAS, np.float32)
    paste[12:84, drawn] = 1
    cut = find_cut_off(looks_of(scene, frames=1)[0].change, paste)
    assert cut.share == pytest.approx(share, abs=0.25 if share else 0.01)
    if share:
        assert 95 < cut.box.x0 < 110 and 125 < cut.box.x1 < 145


def test_the_warning_names_frames_and_place():
    cuts = {1001: CutOff(0.0, Box(0, 0, 0, 0)), 1002: CutOff(0.1, Box(1, 2, 3, 4)), 1003: CutOff(0.4, Box(5, 6, 7, 8))}
    line = cut_off_warning(cuts)
    assert line is not None
    assert "frames 1002-1003" in line and "most in 1003, 40% of the change outside the object, x 6-8, y 5-7" in line
    assert cut_off_warning({1001: cuts[1001]}) is None
