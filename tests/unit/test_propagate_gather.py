"""The encoded domain, and how sources are mixed."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_server.engines.propagate.gather import Sample, mix, resample_lanczos, tiles
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import apply_gain, decode, encode

VALUES = np.array([-3.0, -0.01, 0.0, 1e-4, 0.18, 1.0, 40.0, 1000.0], np.float32)


@pytest.mark.parametrize("exposure", [-2.0, 0.0, 3.0])
def test_encoding_comes_back(exposure):
    np.testing.assert_allclose(decode(encode(VALUES, exposure), exposure), VALUES, rtol=2e-5, atol=1e-7)


def test_encoding_is_display_like():
    assert encode(np.float32([0, 0.18, 1.0]), 0.0) == pytest.approx([0, 0.585, 1.0], abs=0.01)
    assert (np.diff(encode(VALUES, 0.0)) > 0).all()


def test_gain_is_linear():
    gain = np.array([0.5, 1.0, 2.0], np.float32)
    picture = VALUES[:, None] * np.ones(3, np.float32)
    np.testing.assert_allclose(
        decode(apply_gain(encode(picture, 1.0), gain), 1.0), picture * gain, rtol=1e-4, atol=1e-6
    )


def flat(level: float, prior: float = 1.0, usable: float = 1.0, exact: bool = True) -> Sample:
    shape = (24, 24)
    return Sample(np.full((*shape, 3), level, np.float32), np.full(shape, usable, np.float32), prior, exact)


def test_a_source_that_disagrees_with_the_others_is_left_out():
    mixed = mix([flat(0.5), flat(0.51), flat(0.9, prior=1.5)], resampled_grain=0.9)
    assert mixed.encoded.mean() == pytest.approx(0.505, abs=0.004)
    assert mixed.agreement.max() < 0.9


def test_of_two_that_differ_the_one_believed_more_wins():
    assert mix([flat(0.2, prior=1.0), flat(0.8, prior=0.3)], 0.9).encoded.mean() == pytest.approx(0.2, abs=0.01)


def test_a_source_counts_for_nothing_where_it_is_hidden():
    mixed = mix([flat(0.2, usable=0.0), flat(0.8)], 0.9)
    assert mixed.encoded.mean() == pytest.approx(0.8)
    nothing = mix([flat(0.2, usable=0.0)], 0.9)
    assert nothing.seen.max() == 0


def test_grain_that_is_left_shrinks_with_mixing_and_resampling():
    assert mix([flat(0.5)], 0.9).grain == pytest.approx(1.0)
    assert mix([flat(0.5, exact=False)], 0.9).grain == pytest.approx(0.9)
    assert mix([flat(0.5)] * 4, 0.9).grain == pytest.approx(0.25)


def test_a_highlight_does_not_ring_when_resampled():
    plate = np.full((40, 40, 3), 0.05, np.float32)
    plate[18:22, 18:22] = 40.0
    y, x = np.mgrid[0:40, 0:40].astype(np.float32)
    moved = decode(resample_lanczos(encode(plate, 0.0).astype(np.float16), x + 0.5, y), 0.0)
    assert moved.min() > -0.02
    assert moved.max() > 35


def test_tiles_cover_a_box_once():
    box = Box(5, 7, 700, 650)
    seen = np.zeros((720, 660), int)
    for tile in tiles(box):
        seen[tile.slices] += 1
    assert seen[box.slices].min() == seen.max() == 1
    assert seen.sum() == box.height * box.width
