"""A crop that moves: its content, its path, and when it is held instead."""

import numpy as np
import pytest

from void_bridge.pixels.box import Box
from void_bridge.pixels.framing import hold_framing
from void_bridge.pixels.framing_path import ACCELERATION, FOLLOW, SPEED, move_framing, smoothest_path

CANVAS = (384, 672)
UHD = Box(0, 0, 2160, 3840)
NOTHING = Box(0, 0, 0, 0)


def mover(frames, begin=0, end=3700, top=1000, height=160, width=120):
    """Return boxes around an object that crosses at a constant speed."""
    lefts = np.linspace(begin, end, frames).round().astype(int).tolist()
    return [Box(top, left, top + height, left + width) for left in lefts]


def hopping(drawn, reach):
    """Return the same boxes, up and down every 16 frames: too fast to be followed."""
    return [box.moved(round(reach * np.sin(2 * np.pi * t / 16)), 0) for t, box in enumerate(drawn)]


def holds(framings, drawn):
    return all(framing.crop & box == box for framing, box in zip(framings, drawn) if not box.empty)


def corners(framings):
    return np.array([(framing.crop.y0, framing.crop.x0) for framing in framings])


def is_held(framings, raster, drawn, pixel_aspect=1.0):
    held = hold_framing(raster, Box.around(drawn), CANVAS, pixel_aspect)
    return framings == (held,) * len(drawn)


# --- following -------------------------------------------------------------------------------------


def test_a_mover_that_crosses_the_plate_goes_one_to_one():
    drawn = mover(120)
    assert hold_framing(UHD, Box.around(drawn), CANVAS).enlargement > 5
    framings = move_framing(UHD, drawn, CANVAS)
    assert holds(framings, drawn)
    assert {framing.crop.shape for framing in framings} == {CANVAS}


def test_a_steady_mover_is_followed_steadily_also_at_both_ends():
    framings = move_framing(UHD, mover(120, 900, 2500), CANVAS)
    assert np.abs(np.diff(corners(framings)[:, 1], 2)).max() <= 2  # rounding to whole pixels alone
    assert np.ptp(corners(framings)[:, 0]) == 0


def test_a_faster_mover_gets_a_larger_crop():
    heights = [move_framing(UHD, mover(frames), CANVAS)[0].crop.height for frames in (120, 60, 24)]
    assert heights == sorted(heights) and len(set(heights)) == 3
    assert heights[-1] < hold_framing(UHD, Box.around(mover(24)), CANVAS).crop.height / 2


def test_shaking_is_not_followed():
    rng = np.random.default_rng(7)
    drawn = [box.moved(*rng.integers(-15, 16, 2).tolist()) for box in mover(100, 300, 2500)]
    path = corners(move_framing(UHD, drawn, CANVAS))
    shaken = np.array([(box.y0, box.x0) for box in drawn])
    assert np.diff(path, 2, axis=0).std() < np.diff(shaken, 2, axis=0).std() / 20


def test_context_stays_on_both_sides_where_the_raster_has_it():
    drawn = hopping(mover(60, 1000, 2600, height=400, width=400), 150)
    for framing, box in zip(move_framing(UHD, drawn, CANVAS), drawn):
        assert framing.crop & box.grown(100) == box.grown(100)


def test_growth_of_what_may_change_is_held_too():
    drawn = hopping(mover(60, 1000, 2600, height=100, width=100), 100)
    for framing, box in zip(move_framing(UHD, drawn, CANVAS, growth=90), drawn):
        assert framing.crop & box.grown(90) == box.grown(90)


def test_frames_without_a_matte_go_on_between_their_neighbours():
    begin, end = mover(30, 600, 1200), mover(30, 1800, 2400)
    gone = [NOTHING, *begin, *[NOTHING] * 30, *end, NOTHING]
    path = corners(move_framing(UHD, gone, CANVAS))
    assert np.diff(path[30:62, 1]).min() > 10 and np.diff(path[30:62, 1]).max() < 30
    assert path[0, 1] <= path[1, 1] and path[-1, 1] >= path[-2, 1]


# --- held is better --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "drawn",
    [
        [Box(500, 500, 700, 800)],
        [Box(500, 500, 700, 800)] * 2,
        mover(2),
        mover(50, 1000, 1030),
        [NOTHING] * 3,
        mover(50, 0, 3700, top=0, height=2160),
        [*mover(30, 0, 10), *mover(30, 3600, 3610)],
    ],
    ids=["one frame", "still", "two frames", "hardly moving", "nothing drawn", "as high as the plate", "a jump"],
)
def test_where_a_path_wins_nothing_the_crop_is_the_held_one(drawn):
    assert is_held(move_framing(UHD, drawn, CANVAS), UHD, drawn)


def test_a_region_too_wide_for_the_raster_is_mirrored_as_when_held():
    scope = Box(0, 0, 1716, 4096)
    drawn = [Box(300 + t, 0, 900 + t, 4096) for t in range(0, 200, 4)]
    framings = move_framing(scope, drawn, CANVAS)
    assert is_held(framings, scope, drawn) and framings[0].crop.y0 < 0


def test_a_scope_plate_is_not_mirrored_when_each_frame_alone_fits():
    scope = Box(10, -50, 1726, 4046)
    drawn = [box.moved(10, -50) for box in mover(120, 0, 3896, height=200, width=200)]
    framings = move_framing(scope, drawn, CANVAS)
    assert hold_framing(scope, Box.around(drawn), CANVAS).crop.y0 < scope.y0
    assert all(framing.inside == framing.crop for framing in framings) and holds(framings, drawn)


# --- always ----------------------------------------------------------------------------------------


def any_shot(seed):
    """A raster, boxes drawn in it on their way through, some of them shaking or absent, and a pixel aspect."""
    rng = np.random.default_rng(seed)
    shape = rng.integers([300, 500], [2400, 4200])
    frames = int(rng.choice([3, 40, 90]))
    size = rng.uniform(0.01, rng.choice([0.05, 0.3]), 2) * shape + 1
    places = np.linspace(*(rng.uniform(-0.1, 1, (2, 2)) * shape), frames)
    places += rng.normal(0, rng.choice([0.5, 10]), (frames, 2))
    begins = np.clip(places, 0, shape - 1).astype(int)
    ends = np.minimum(begins + size.astype(int), shape)
    gone = rng.random(frames) < rng.choice([0, 0.3])
    corner, (height, width) = rng.integers(-200, 200, 2).tolist(), shape.tolist()
    boxes = [Box(*begin, *end).moved(*corner) for begin, end in zip(begins.tolist(), ends.tolist())]
    drawn = [NOTHING if absent else box for absent, box in zip(gone, boxes)]
    return Box(0, 0, height, width).moved(*corner), drawn, float(rng.choice([1.0, 2.0, 0.5]))


@pytest.mark.parametrize("seeds", [range(15), range(15, 30), range(30, 45)], ids=str)
def test_the_crop_holds_what_is_drawn_and_moves_calmly_inside_the_raster(seeds):
    moving = 0
    for seed in seeds:
        raster, drawn, pixel_aspect = any_shot(seed)
        framings = move_framing(raster, drawn, CANVAS, pixel_aspect)
        assert len(framings) == len(drawn) and holds(framings, drawn), seed
        moves = not is_held(framings, raster, drawn, pixel_aspect)
        assert not moves or is_calm_and_inside(framings, raster, drawn, pixel_aspect), seed
        moving += moves
    assert moving >= 4


def is_calm_and_inside(framings, raster, drawn, pixel_aspect):
    (shape,) = {framing.crop.shape for framing in framings}
    (inside,) = {framing.inside.shape for framing in framings}
    path = corners(framings)
    return (
        shape[0] < hold_framing(raster, Box.around(drawn), CANVAS, pixel_aspect).crop.height
        and abs(shape[1] * pixel_aspect / shape[0] - 1.75) < 0.03
        and inside == tuple(np.minimum(shape, raster.shape))
        and (np.abs(np.diff(path, axis=0)) <= np.multiply(shape, SPEED) + 1).all()
        and (np.abs(np.diff(path, 2, axis=0)) <= np.multiply(shape, ACCELERATION) + 2).all()
    )


@pytest.mark.parametrize("frames", [1, 2, 3, 50, 1000])
def test_the_path_is_the_best_one(frames):
    """The optimality conditions of the quadratic programme hold: no free frame pulls, none leans off its bound."""
    rng = np.random.default_rng(frames)
    centred = np.cumsum(rng.normal(0, 20, (frames, 2)), axis=0)
    slack = rng.uniform(0, 60, (frames, 2))
    low, high = np.floor(centred - slack).astype(int), np.ceil(centred + slack).astype(int)
    path = smoothest_path(low, high, centred)
    bend = np.diff(np.eye(frames), 2, axis=0)
    slope = bend.T @ (bend @ path) + FOLLOW * (path - centred)
    assert (path >= low).all() and (path <= high).all()
    assert slope[path > low].max(initial=0) < 1e-5 and slope[path < high].min(initial=0) > -1e-5
    assert frames < 50 or np.mean((path == low) | (path == high)) > 0.05
