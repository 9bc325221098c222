"""The propagate engine for a compositor: clean plates of footage whose background is known."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from gpu_server import picture_quality
from gpu_server.engines.base import ArrayClip, EngineStage, SilentContext
from gpu_server.engines.propagate.engine import PropagateEngine
from gpu_server.footage import make_clip
from tests.support.clips import Outcome, footage_clip, memory_job, outcome
from void_bridge.errors import Cancelled

pytestmark = pytest.mark.slow

SIZE = {"height": 180, "width": 320}
LEAST_DB = {"static": 36, "pan": 34, "pan_zoom_rotation": 32}


@pytest.fixture(scope="module", params=LEAST_DB)
def cleaned(request, tmp_path_factory):
    footage = make_clip(camera=request.param, frames=16, **SIZE)
    return request.param, footage, outcome(PropagateEngine(), footage_clip(footage), tmp_path_factory.mktemp("scratch"))


def matte_of(footage) -> np.ndarray:
    return np.maximum(footage.remove, footage.affected) > 0.5


def outside_of(footage) -> np.ndarray:
    touched = np.maximum(footage.remove, footage.affected) > 0
    return np.stack([cv2.dilate(m.astype(np.uint8), np.ones((13, 13), np.uint8)) == 0 for m in touched])


def test_background_that_other_frames_saw_comes_back(cleaned):
    camera, footage, result = cleaned
    matte = matte_of(footage)
    quality = picture_quality.psnr(result.pasted, footage.backgrounds, matte)
    inpainted = np.stack(
        [picture_quality.inpainted(p, m) for p, m in zip(footage.plates, footage_hole(footage), strict=True)]
    )
    assert quality >= LEAST_DB[camera]
    assert quality >= picture_quality.psnr(inpainted, footage.backgrounds, matte) + 16


def footage_hole(footage) -> np.ndarray:
    return footage_clip(footage).mattes["paste"] > 0


def test_grain_inside_is_that_outside(cleaned):
    _, footage, result = cleaned
    rows = zip(result.pasted, footage.backgrounds, matte_of(footage), outside_of(footage), strict=True)
    assert 0.8 <= np.mean([picture_quality.grain_ratio(*row) for row in rows]) <= 1.25


def test_propagated_pixels_do_not_flicker(cleaned):
    _, footage, result = cleaned
    inside = picture_quality.flicker(result.pasted, footage.to_world, matte_of(footage))
    outside = picture_quality.flicker(result.pasted, footage.to_world, outside_of(footage))
    assert 0.6 <= inside / outside <= 1.25  # far below 1, the grain would stand still


def test_highlights_come_back_over_5(cleaned):
    _, footage, result = cleaned
    lamps = matte_of(footage) & (footage.backgrounds.max(axis=-1) > 8)
    assert lamps.sum() > 5
    assert (result.pasted.max(axis=-1)[lamps] > 5).mean() > 0.99


def test_the_report_says_how_much_other_frames_showed(cleaned):
    camera, _, result = cleaned
    assert result.report["camera"] == ("static" if camera == "static" else "moving")
    assert result.report["seen_share"] > 0.98
    assert np.mean([p.confidence[p.confidence > 0].mean() for p in result.patches]) > 0.8


def test_some_frames_alone_are_the_same_bytes(cleaned, tmp_path):
    _, footage, result = cleaned
    wanted = (3, 11)
    again = outcome(PropagateEngine(), footage_clip(footage, wanted=wanted), tmp_path)
    assert [p.index for p in again.patches] == list(wanted)
    for patch in again.patches:
        assert patch.box == result.patches[patch.index].box
        assert patch.rgb.tobytes() == result.patches[patch.index].rgb.tobytes()


def test_exposure_drift_is_matched(tmp_path):
    footage = make_clip(camera="pan", frames=12, exposure_drift=0.8, **SIZE)
    result = outcome(PropagateEngine(), footage_clip(footage), tmp_path)
    assert picture_quality.psnr(result.pasted, footage.backgrounds, matte_of(footage)) >= 34


def test_parallax_is_carried_as_far_as_flow_goes(tmp_path):
    footage = make_clip(camera="pan", frames=12, parallax=0.4, **SIZE)
    result = outcome(PropagateEngine(), footage_clip(footage), tmp_path)
    matte = matte_of(footage)
    inpainted = np.stack(
        [picture_quality.inpainted(p, m) for p, m in zip(footage.plates, footage_hole(footage), strict=True)]
    )
    assert (
        picture_quality.psnr(result.pasted, footage.backgrounds, matte)
        > picture_quality.psnr(inpainted, footage.backgrounds, matte) + 5
    )


def still_object(**options) -> tuple:
    return make_clip(camera="static", frames=5, object_motion="still", object_size=0.3, **{**SIZE, **options})


def test_an_object_that_never_moves_is_filled_by_synthesis_once(tmp_path):
    footage = still_object(grain=0.0)
    result = outcome(PropagateEngine(), footage_clip(footage), tmp_path)
    inside = footage.remove[0] > 0.9
    assert result.report["synthesised_share"] > 0.95
    assert np.abs(result.pasted[1:] - result.pasted[0])[:, inside].max() < 0.01
    assert result.patches[2].confidence.max() < 0.1
    assert result.pasted[0][inside].std() > 0.3 * footage.backgrounds[0][inside].clip(0, 1).std()


def test_synthesised_pixels_get_grain_that_changes_with_the_frame(tmp_path):
    footage = still_object()
    result = outcome(PropagateEngine(), footage_clip(footage), tmp_path)
    inside, outside = footage.remove > 0.9, outside_of(footage)
    ratio = picture_quality.flicker(result.pasted, footage.to_world, inside) / picture_quality.flicker(
        result.pasted, footage.to_world, outside
    )
    assert 0.7 <= ratio <= 1.25


def test_grain_off_leaves_less_grain(tmp_path):
    footage = make_clip(camera="static", frames=8, **SIZE)
    on, off = (outcome(PropagateEngine(), footage_clip(footage), tmp_path, grain=grain) for grain in (True, False))
    inside = matte_of(footage)[4]
    levels = [picture_quality.grain_level(r.pasted[4], footage.backgrounds[4], inside) for r in (on, off)]
    assert levels[1] < 0.8 * levels[0]


def plain_clip(hole: np.ndarray, frames: int = 3, **options) -> ArrayClip:
    footage = make_clip(camera="static", frames=frames, height=72, width=96)
    return ArrayClip(footage.backgrounds_grained, {"paste": hole, "remove": hole}, **options)


def test_a_frame_without_a_hole_is_left_alone(tmp_path):
    hole = np.zeros((3, 72, 96), np.float32)
    hole[1, 20:40, 20:40] = 1
    result = outcome(PropagateEngine(), plain_clip(hole), tmp_path)
    assert [p.generated for p in result.patches] == [False, True, False]
    assert result.patches[0].box.empty


def test_without_a_hole_nothing_is_generated(tmp_path):
    result = outcome(PropagateEngine(), plain_clip(np.zeros((3, 72, 96), np.float32)), tmp_path)
    assert [p.generated for p in result.patches] == [False] * 3


@pytest.mark.parametrize("frames", [1, 3])
def test_a_hole_over_everything_gives_a_smooth_picture(frames, tmp_path):
    result = outcome(PropagateEngine(), plain_clip(np.ones((frames, 72, 96), np.float32), frames), tmp_path)
    assert np.isfinite(result.pasted).all()
    assert max(p.confidence.max() for p in result.patches) == 0


def test_a_single_frame_is_synthesised(tmp_path):
    hole = np.zeros((1, 72, 96), np.float32)
    hole[0, 20:40, 20:40] = 1
    result = outcome(PropagateEngine(), plain_clip(hole, 1), tmp_path)
    assert result.patches[0].generated
    assert result.report["synthesised_share"] == 1


def test_excluded_pixels_are_never_carried(tmp_path):
    footage = make_clip(camera="static", frames=8, grain=0.0, **SIZE)
    clip = footage_clip(footage)
    plates = clip.plates.copy()
    stain = np.s_[:, 60:120, 100:160]
    hidden = matte_of(footage)
    plates[stain][~hidden[stain]] = (4.0, 0.0, 4.0)
    exclude = np.zeros_like(footage.remove)
    exclude[stain] = 1
    result = outcome(PropagateEngine(), ArrayClip(plates, {**clip.mattes, "exclude": exclude}), tmp_path)
    inside = hidden[4] & (exclude[4] > 0)
    magenta = (result.pasted[4][inside][:, 0] > 2) & (result.pasted[4][inside][:, 1] < 0.2)
    assert inside.sum() > 100 and magenta.mean() < 0.02


class StoppingContext(SilentContext):
    """A context that cancels at the first progress of a stage, and counts the threads that then live."""

    stage = ""

    def progress(self, stage: EngineStage, done: int, total: int) -> None:
        if stage.value == self.stage and done:
            raise Cancelled("cancelled")


@pytest.mark.parametrize("stage", ["look", "camera", "fill"])
def test_a_cancel_ends_the_run_and_its_threads(stage, tmp_path):
    footage = make_clip(camera="static", frames=6, height=72, width=128)
    context = StoppingContext(memory_job(6), tmp_path)
    context.stage = stage
    with pytest.raises(Cancelled):
        list(PropagateEngine().generate(footage_clip(footage), context).patches)
    assert not [t for t in threading.enumerate() if t.name.startswith("propagate")]


def test_opencv_keeps_its_threads(tmp_path: Path):
    before = cv2.getNumThreads()
    assert isinstance(outcome(PropagateEngine(), plain_clip(np.zeros((3, 72, 96), np.float32)), tmp_path), Outcome)
    assert cv2.getNumThreads() == before
