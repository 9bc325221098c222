from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gpu_server.engines.base import ArrayClip, Patch
from gpu_server.engines.propagate.engine import PropagateEngine
from gpu_server.footage import make_clip
from gpu_server.picture_quality import psnr
from gpu_server.worker.hybrid import RealShare, mix_fills
from tests.support.clips import footage_clip, outcome
from tests.support.model_frames import PLATE, ellipse, fine, wall
from void_bridge.pixels.box import Box

FRAMES = 3
HOLE = Box(120, 200, 280, 480)
AROUND = HOLE.grown(24)
SHADOW = Box(220, 380, 280, 480)
OFF = np.array([1.08, 1.03, 1.0], np.float32)


def clip() -> ArrayClip:
    mattes = {role: np.zeros((FRAMES, *PLATE), np.float32) for role in ("paste", "remove", "affected")}
    mattes["paste"][(slice(None), *HOLE.slices)] = 1
    mattes["remove"][(slice(None), *HOLE.slices)] = 1
    mattes["affected"][(slice(None), *SHADOW.slices)] = 1
    plates = np.stack([wall(1)] * FRAMES)
    plates[(slice(None), *HOLE.slices)] = 0.7
    return ArrayClip(plates, mattes)


def model_patches(gain: np.ndarray | float = 1.0) -> Iterator[Patch]:
    """Yield patches as a model would make them: softer, and off in exposure inside the hole."""
    for index in range(FRAMES):
        rgb = wall(1)[AROUND.slices].copy()
        inside = HOLE.relative_to(AROUND).slices
        rgb[inside] = wall(2)[HOLE.slices] * gain
        yield Patch(index, AROUND, rgb)


def real_patches(confidence: np.ndarray) -> Iterator[Patch]:
    for index in range(FRAMES):
        yield Patch(index, HOLE, wall(1)[HOLE.slices], confidence[HOLE.slices])


def filled(confidence: np.ndarray, gain: np.ndarray | float = 1.0) -> tuple[list[Patch], RealShare]:
    share_total = RealShare()
    return list(mix_fills(model_patches(gain), real_patches(confidence), clip(), share_total)), share_total


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of the fine detail."""
    return float(np.corrcoef(fine(one).ravel(), fine(other).ravel())[0, 1])


def test_real_pixels_fill_the_object_and_the_models_the_affected_area():
    patches, share_total = filled(np.ones(PLATE, np.float32))
    assert [p.index for p in patches] == [0, 1, 2] and all(p.box == AROUND for p in patches)
    rgb = patches[1].rgb
    real = Box(HOLE.y0, HOLE.x0, SHADOW.y0 - 6, HOLE.x1)
    np.testing.assert_allclose(rgb[real.relative_to(AROUND).slices], wall(1)[real.slices], rtol=1e-5)
    made = SHADOW.relative_to(AROUND).slices
    assert alike(rgb[made], wall(2)[SHADOW.slices]) > 0.99 > 0.2 > alike(rgb[made], wall(1)[SHADOW.slices])
    share = 1 - SHADOW.height * SHADOW.width / (HOLE.height * HOLE.width)
    assert share_total.share == pytest.approx(share, abs=0.03)
    assert patches[1].confidence is not None
    assert not patches[1].confidence[made].any() and patches[1].confidence[real.relative_to(AROUND).slices].all()


def test_the_models_pixels_fill_areas_that_no_frame_shows():
    seen = np.ones(PLATE, np.float32)
    seen[:, 340:] = 0
    patches, _ = filled(seen)
    inside = Box(130, 342, 210, 470)
    assert alike(patches[1].rgb[inside.relative_to(AROUND).slices], wall(2)[inside.slices]) > 0.99
    untouched = Box(130, 210, 210, 330)
    np.testing.assert_allclose(
        patches[1].rgb[untouched.relative_to(AROUND).slices], wall(1)[untouched.slices], rtol=1e-5
    )


def test_real_and_generated_pixels_blend_without_a_hard_edge():
    seen = 1 - ellipse(200, 340, 50, 80, 3)
    share_total = RealShare()
    flat = [Patch(p.index, p.box, np.full_like(p.rgb, 0.2)) for p in model_patches()]
    real = [Patch(p.index, p.box, np.full_like(p.rgb, 0.25), p.confidence) for p in real_patches(seen)]
    plain = clip()
    plain.plates[:] = 0.25
    result = list(mix_fills(flat, real, plain, share_total))[1].rgb
    assert np.abs(np.diff(result, axis=1)).max() < 0.02
    assert np.abs(np.diff(result, axis=0)).max() < 0.02


def test_the_model_takes_the_exposure_of_real_pixels():
    seen = np.ones(PLATE, np.float32)
    seen[:, 340:] = 0
    alone, _ = filled(seen)
    off, _ = filled(seen, OFF)
    inside = Box(130, 345, 210, 380).relative_to(AROUND).slices
    ratio = off[1].rgb[inside].mean(axis=(0, 1)) / alone[1].rgb[inside].mean(axis=(0, 1))
    assert np.abs(ratio - 1).max() < 0.5 * (OFF - 1).max()


def test_confidence_that_comes_and_goes_does_not_flicker():
    draw = np.random.default_rng(3)
    share_total, whole = RealShare(), clip()
    real = []
    for index, patch in enumerate(real_patches(np.ones(PLATE, np.float32))):
        wobbling = 0.6 + 0.05 * draw.standard_normal(HOLE.shape).astype(np.float32) + 0.01 * index
        real.append(Patch(patch.index, patch.box, patch.rgb, wobbling))
    mixed = [p.confidence for p in mix_fills(model_patches(), real, whole, share_total) if p.confidence is not None]
    weights = np.stack(mixed)[(slice(None), *HOLE.relative_to(AROUND).slices)]
    unsteadied = np.clip((np.stack([p.confidence for p in real]) - 0.45) / 0.3, 0, 1)
    assert weights.std(axis=0).mean() < 0.35 * unsteadied.std(axis=0).mean()


def test_frames_without_real_pixels_are_the_models():
    nothing = [Patch.unchanged(index) for index in range(FRAMES)]
    share_total = RealShare()
    patches = list(mix_fills(model_patches(), nothing, clip(), share_total))
    for patch, made in zip(patches, model_patches(), strict=True):
        np.testing.assert_array_equal(patch.rgb, made.rgb)
    assert share_total.share == 0


def test_two_fills_of_different_length_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        list(mix_fills(model_patches(), list(real_patches(np.ones(PLATE, np.float32)))[:2], clip(), RealShare()))


def test_with_the_propagate_engine_real_pixels_win(tmp_path):
    footage = make_clip("pan", 135, 240, 8)
    whole = footage_clip(footage)
    real = outcome(PropagateEngine(), whole, tmp_path)
    soft = [Patch(i, Box(0, 0, 135, 240), np.full((135, 240, 3), 0.2, np.float32)) for i in range(8)]
    share_total = RealShare()
    pasted = whole.plates.copy()
    for patch in mix_fills(soft, real.patches, whole, share_total):
        weight = whole.matte("paste", patch.index, patch.box)[..., None]
        pasted[patch.index] += weight * (patch.rgb - pasted[patch.index])
    only_object = (footage.remove > 0.5) & (footage.affected <= 0)
    assert share_total.share > 0.3
    assert psnr(pasted, footage.backgrounds, only_object) > psnr(
        np.full_like(pasted, 0.2), footage.backgrounds, only_object
    )
