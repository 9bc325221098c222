"""A model's frames on the plate, through a worker's run, with an engine that is given the truth to show errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from gpu_server.footage import SyntheticFootage, make_clip
from gpu_server.picture_quality import grain_level, psnr
from gpu_server.worker.messages import FrameWritten
from tests.support.exrs import same_bits
from tests.support.oracle import NAME, OracleEngines
from tests.support.shots import files_of, make_job, run_job, write_matte
from void_bridge.job import MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame, write_frame
from void_bridge.sequence import Sequence

FIRST, FRAMES = 1001, 7
HEIGHT, WIDTH = 216, 384
EMPTY = 1004
"""A frame in which nothing is drawn."""


@dataclass(frozen=True)
class Known:
    """A shot on disk whose truth is known."""

    footage: SyntheticFootage
    plate: Sequence
    remove: Sequence
    affected: Sequence

    def truth(self, frame: int) -> np.ndarray:
        return self.footage.backgrounds[frame - FIRST]


def write_known(folder: Path, footage: SyntheticFootage, empty: int = 0) -> Known:
    plate = Sequence.parse(str(folder / "plate.####.exr"))
    frames, window = range(FIRST, FIRST + len(footage.plates)), Box(0, 0, *footage.remove.shape[1:])
    for frame, rgb in zip(frames, footage.plates, strict=True):
        channels = {name: rgb[..., axis].astype(np.float16) for axis, name in enumerate("RGB")}
        channels["A"] = np.random.default_rng(frame).random(window.shape).astype(np.float16)
        channels["depth.Z"] = np.random.default_rng(-frame % 999).normal(0, 9, window.shape).astype(np.float32)
        write_frame(ExrFrame((ExrPart(channels, window, window.grown(-8)),)), plate.path(frame))

    def drawn(matte: np.ndarray):
        return lambda frame: (matte[frame - FIRST] * (frame != empty)).astype(np.float16)

    remove = write_matte(folder, frames, drawn(footage.remove), display_window=window.grown(-8), data_window=window)
    generously = np.stack([cv2.dilate(matte, np.ones((31, 31), np.uint8)) for matte in footage.affected])
    affected = write_matte(
        folder, frames, drawn(generously), "affected", display_window=window.grown(-8), data_window=window
    )
    return Known(footage, plate, remove, affected)


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Known:
    footage = make_clip("pan", HEIGHT, WIDTH, FRAMES, seed=4, object_size=0.3)
    return write_known(tmp_path_factory.mktemp("known"), footage, EMPTY)


def removed(known: Known, folder: Path, finished=(), **options):
    options = {"canvas": "96x160", "affected": MatteSource(str(known.affected)), **options}
    job = make_job(known.plate, known.plate.frames_on_disk(), known.remove, engine=NAME, **options)
    files = files_of(known.plate, known.remove, known.affected)
    return run_job(job, files, folder, finished, engines=OracleEngines(known.truth))


def digests(messages):
    return {m.frame: m.digest for m in messages if isinstance(m, FrameWritten)}


KINDS = {
    "model": {},
    "moving": {"framing": "moving", "canvas": "48x80"},
    "hybrid": {"fill": "hybrid"},
    "full fill": {"full_fill": True, "confidence": True},
    "no grain": {"grain": False},
}


@pytest.fixture(scope="module", params=KINDS, ids=KINDS)
def kind(request, known, tmp_path_factory):
    """Return options of a job, and its results: last message, frames, messages."""
    folder, options = tmp_path_factory.mktemp("whole"), KINDS[request.param]
    return options, *removed(known, folder, **options)


def test_a_job_that_was_interrupted_writes_the_same_bytes(known, kind, tmp_path):
    options, ended, _, whole = kind
    assert ended.state == "done", ended.failure
    _, _, rest = removed(known, tmp_path, finished=[1001, 1002, 1005], **options)
    assert digests(rest) == {frame: digests(whole)[frame] for frame in (1003, 1004, 1006, 1007)}


def test_outside_of_the_matte_every_bit_of_every_channel_stays(known, kind):
    _, _, written, _ = kind
    assert sorted(written) == list(range(FIRST, FIRST + FRAMES))
    for frame, result in written.items():
        before, after = read_frame(known.plate.path(frame)).parts[0], result.parts[0]
        outside = after.channels["void_bridge.paste"] == 0
        assert outside.all() == (frame == EMPTY)
        for name, plane in before.channels.items():
            where = outside if name in "RGB" else ...
            assert same_bits(plane[where], after.channels[name][where]), (frame, name)


# --- how good it is --------------------------------------------------------------------------------


def rgb(result: ExrFrame, layer: str = "") -> np.ndarray:
    return np.stack([result.parts[0].channels[layer + name] for name in "RGB"], -1).astype(np.float32)


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Known:
    """Return results at a size where the canvas shows a wall's texture."""
    footage = make_clip("pan", 2 * HEIGHT, 2 * WIDTH, 4, seed=4, object_size=0.3)
    return write_known(tmp_path_factory.mktemp("large"), footage)


@pytest.fixture(scope="module")
def results(large, tmp_path_factory):
    def run(**options):
        folder = tmp_path_factory.mktemp("run")
        ended, written, _ = removed(large, folder, confidence=True, canvas="192x336", **options)
        assert ended.state == "done", ended.failure
        return written

    return {"model": run(full_fill=True), "no grain": run(grain=False), "hybrid": run(fill="hybrid")}


def areas(known: Known, frame: int) -> dict[str, np.ndarray]:
    """Return object and shadow, and the rest."""
    thing, shade = known.footage.remove[frame - FIRST] > 0.01, known.footage.affected[frame - FIRST] > 0.05
    return {"object": thing, "shadow": shade & ~thing, "outside": ~thing & (known.footage.affected[frame - FIRST] <= 0)}


def mean_psnr(known: Known, written: dict[int, ExrFrame], area: str, layer: str = "") -> float:
    return float(np.mean([psnr(rgb(written[f], layer), known.truth(f), areas(known, f)[area]) for f in written]))


def test_the_plates_detail_improves_an_area_whose_shadow_went(large, results):
    for kind in ("model", "hybrid"):
        enlarged = mean_psnr(large, results["model"], "shadow", "void_bridge_fill.")
        assert mean_psnr(large, results[kind], "shadow") > enlarged + 1, kind


def test_real_pixels_improve_areas_that_other_frames_show(large, results):
    assert mean_psnr(large, results["hybrid"], "object") > mean_psnr(large, results["model"], "object") + 3


def test_grain_is_added_as_the_plate_has_it(large, results):
    for frame, result in results["model"].items():
        where, plate = areas(large, frame), rgb(read_frame(large.plate.path(frame)))
        added = grain_level(rgb(result), rgb(results["no grain"][frame]), where["object"])
        there = grain_level(plate, large.truth(frame), where["outside"])
        assert 0.7 < added / there < 1.3


@pytest.mark.parametrize("kind", ["model", "hybrid"])
def test_unchanged_pixels_are_the_plates_with_confidence_1(large, results, kind):
    for frame in (1002, 1003):
        before, after = read_frame(large.plate.path(frame)), results[kind][frame]
        pasted, confidence = (after.parts[0].channels[f"void_bridge.{n}"] for n in ("paste", "confidence"))
        inside = (pasted == 1) & (large.footage.remove[frame - FIRST] == 0)
        same = inside & (rgb(before) == rgb(after)).all(axis=2)
        assert same.sum() > 0.1 * inside.sum()
        assert confidence[same].mean() > 0.97 > 0.5 > confidence[~same & inside].min()


@pytest.mark.parametrize("fill", ["model", "hybrid"])
def test_a_lamp_behind_the_object_shines_and_negative_values_stay(tmp_path, fill):
    lamp, dark = Box(90, 188, 98, 196), Box(150, 225, 156, 231)
    footage = make_clip("static", HEIGHT, WIDTH, FRAMES, seed=4, object_size=0.3)
    hidden = footage.remove[FRAMES // 2]
    assert hidden[lamp.slices].min() > 0.9
    plates, backgrounds = footage.plates.copy(), footage.backgrounds.copy()
    for box, light in ((lamp, 20.0), (dark, -0.02)):
        backgrounds[(slice(None), *box.slices)] = light
        for plate, remove in zip(plates, footage.remove, strict=True):
            plate[box.slices][remove[box.slices] <= 0] = light
    shot = write_known(tmp_path, replace(footage, plates=plates, backgrounds=backgrounds))
    ended, written, _ = removed(shot, tmp_path / "run", fill=fill)
    assert ended.state == "done", ended.failure
    middle = rgb(written[FIRST + FRAMES // 2 + 1])
    assert 10 < middle[lamp.slices].max() < 41
    assert middle[dark.slices].max() < 0.005
    around = lamp.grown(8)
    assert middle[around.slices].min() > -0.01
