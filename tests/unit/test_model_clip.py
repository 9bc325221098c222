"""A shot as a model sees it, and its mapping back to the plate: through real files, as in a worker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gpu_server.engines.base import SilentContext
from gpu_server.worker.clips import open_shot, store_clip
from gpu_server.worker.model_clip import FramedClip
from tests.support.shots import files_of, make_job
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import write_simple
from void_bridge.pixels.mattes import KEEP, OBJECT
from void_bridge.pixels.model_domain import bound_highlights
from void_bridge.sequence import Sequence

FRAMES = range(1001, 1025)
WINDOW = Box(-20, 17, 140, 317)  # the plate's data window, off the origin of its format
FORMAT = Box(0, 0, 150, 330)
CANVAS = (48, 80)


def pattern(pixel_aspect, canvas_pixel):
    """Return waves of a dozen canvas pixels over the data window, each channel its own: [H, W, 3], float32."""
    y, x = np.indices(WINDOW.shape, np.float64)
    x *= pixel_aspect
    turns = [(0.9, 0.4), (-0.3, 1.0), (0.7, -0.8)]
    waves = [np.sin(2 * np.pi * (a * x + b * y) / (12 * canvas_pixel)) for a, b in turns]
    return (0.4 + 0.2 * np.stack(waves, axis=2)).astype(np.float32)


def mover(height, width, step):
    """Return the matte's box in a frame, in pixels of the format: it moves from left to right."""
    return lambda frame: Box(60, 40, 60 + height, 40 + width).moved(0, step * (frame - FRAMES[0]))


def framed(folder, plate, drawn, pixel_aspect=1.0, frames=FRAMES, **job):
    """Write a shot and return its framed clip.

    Args:
        plate: returns a frame's pixels, shape [H, W, 3] of WINDOW.
        drawn: returns a frame's matte as a box, possibly empty.
    """
    plates, roto = Sequence.parse(str(folder / "plate.####.exr")), Sequence.parse(str(folder / "roto.####.exr"))
    shared = {"display_window": FORMAT, "header": {"pixelAspectRatio": pixel_aspect}, "compression": "none"}
    for frame in frames:
        rgb, box = plate(frame), drawn(frame)
        write_simple(plates.path(frame), {n: rgb[..., i] for i, n in enumerate("RGB")}, data_window=WINDOW, **shared)
        matte = np.zeros((1, 1), np.float16) if box.empty else np.ones(box.shape, np.float16)
        window = Box(0, 0, 1, 1) if box.empty else box
        write_simple(roto.path(frame), {"A": matte}, data_window=window, **shared)
    job = {"canvas": "48x80", "framing": "moving", **job}
    shot = open_shot(make_job(plates, frames, roto, **job), files_of(plates, roto))
    with ThreadPoolExecutor(2) as pool:
        stored = store_clip(shot, list(range(len(frames))), SilentContext(shot.job, folder), pool, 2)
    return FramedClip(stored, shot)


def returned(clip, index):
    """Return a frame of a model that changes nothing: linear, shape of `clip.inside(index)`."""
    return clip.linear(clip.framings[index].from_canvas(clip.plate(index)))


def displacement(moved, still):
    """Return how far `moved` is from `still`, in pixels down and across, by least squares on its slopes."""
    slopes = np.stack([*np.gradient(still, axis=(0, 1)), still - still.mean(), np.ones_like(still)], axis=-1)
    solution, *_ = np.linalg.lstsq(slopes.reshape(-1, 4), (moved - still).ravel(), rcond=None)
    return -solution[:2]


# --- back to the plate ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pixel_aspect", [1.0, 2.0])
@pytest.mark.parametrize("framing", ["moving", "held"])
def test_a_patch_goes_back_to_where_it_came_from(tmp_path, framing, pixel_aspect):
    plate = pattern(pixel_aspect, 1.7 if framing == "moving" else 3.4)
    clip = framed(tmp_path, lambda _: plate, mover(40, 30, 6), pixel_aspect, framing=framing)
    assert clip.report()["framing"] == framing
    boxes = set()
    for index in clip.wanted:
        back = returned(clip, index)
        margin = 4 * round(clip.report()["enlargement"] + 1)
        inner = slice(margin, -margin), slice(margin, -margin)
        assert (
            np.abs(displacement(back[inner], plate[clip.inside(index).slices][inner])).max() < 0.002
        )  # pixels of the plate
        boxes.add(clip.inside(index))
    assert (len(boxes) > 12) == (framing == "moving")


def test_one_to_one_every_bit_comes_back_while_the_crop_moves(tmp_path):
    values = np.random.default_rng(3).normal(0.5, 3, (*WINDOW.shape, 3)).astype(np.float32)
    clip = framed(tmp_path, lambda _: values, mover(10, 10, 4))
    framings = clip.framings
    assert clip.report() == {"framing": "moving", "enlargement": 1.0}
    for index in clip.wanted:
        there = values[clip.inside(index).slices]
        back = framings[index].from_canvas(framings[index].to_canvas(there))
        assert np.array_equal(back.view(np.uint32), there.view(np.uint32))


def test_the_crop_lies_where_the_matte_says_in_pixels_of_the_raster(tmp_path):
    drawn = mover(40, 30, 6)
    clip = framed(tmp_path, lambda _: pattern(1.0, 2), drawn)
    for index in clip.wanted:
        box = drawn(clip.frames[index]).relative_to(WINDOW)
        assert clip.inside(index) & box == box
        assert clip.matte("remove", index).mean() == pytest.approx(40 * 30 / np.prod(clip.inside(index).shape), rel=0.1)
        ys, xs = np.nonzero(clip.quadmask(index) == OBJECT)
        scale = clip.inside(index).height / CANVAS[0]
        expected = np.array([box.y0, box.x0]) - [clip.inside(index).y0, clip.inside(index).x0]
        assert np.abs(np.array([ys.min(), xs.min()]) - expected / scale).max() <= 1


def test_the_crop_holds_what_the_paste_matte_grows_by(tmp_path):
    steady = mover(10, 10, 4)

    def hopping(frame):
        return steady(frame).moved(round(12 * np.sin(frame * np.pi / 4)), 0)

    clip = framed(tmp_path, lambda _: pattern(1.0, 2), hopping, dilate=10, feather=4)
    for index in clip.wanted:
        box = hopping(clip.frames[index]).relative_to(WINDOW).grown(14)
        assert clip.inside(index) & box == box


def test_a_snapped_area_goes_with_the_crop(tmp_path):
    clip = framed(tmp_path, lambda _: pattern(1.0, 2), mover(40, 30, 6), paste="snapped")
    for index in clip.wanted:
        assert 1 <= clip.matte("paste", index).sum() / clip.matte("remove", index).sum() < 1.2


def test_the_preroll_is_seen_through_the_framing_of_the_frame_that_it_repeats(tmp_path):
    clip = framed(tmp_path, lambda _: pattern(1.0, 2), mover(40, 30, 6))
    assert clip.frames[0] == clip.frames[1] and clip.inside(0) == clip.inside(1) != clip.inside(2)
    assert np.array_equal(clip.plate(0), clip.plate(1))


def test_without_anything_drawn_the_whole_plate_is_held(tmp_path):
    clip = framed(tmp_path, lambda _: pattern(1.0, 2), lambda _: Box(0, 0, 0, 0), frames=FRAMES[:3])
    assert clip.report()["framing"] == "held"
    assert (clip.quadmask(1) == KEEP).all() and not clip.matte("paste", 1).any() and clip.matte_box("paste", 1).empty


def test_a_held_framing_that_enlarges_suggests_a_moving_one(tmp_path):
    still = np.full((*WINDOW.shape, 3), 0.2, np.float32)
    held = framed(tmp_path, lambda _: still, mover(40, 30, 6), framing="held").report()
    assert held["enlargement"] > 3 and "--framing moving" in held["warnings"][0]
    moving = framed(tmp_path, lambda _: still, mover(40, 30, 6)).report()
    assert moving["enlargement"] < 2 and "--framing" not in moving["warnings"][0]


# --- highlights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["moving", "held"])
def test_a_light_that_another_frame_shows_may_come_back_at_its_brightness(tmp_path, framing):
    lamp = Box(70, 90, 75, 95)

    def plate(frame):
        rgb = np.full((*WINDOW.shape, 3), 0.2, np.float32)
        rgb[lamp.slices] = 40.0 if frame == FRAMES[-1] else 0.2
        return rgb

    clip = framed(tmp_path, plate, mover(40, 30, 6), framing=framing)
    index = len(FRAMES) // 2
    bright = lamp.relative_to(clip.inside(index))
    for made, allowed in ((38.0, (30, 45)), (4000.0, (45, 81))):
        linear = np.full((*clip.inside(index).shape, 3), 0.2, np.float32)
        linear[bright.grown(4).slices] = made
        peak = bound_highlights(linear, clip.ceiling(index))[bright.slices].max()
        assert allowed[0] < peak < allowed[1]
