"""One job from EXR to EXR, in this process: the promises to a compositor, for every engine."""

from __future__ import annotations

import hashlib
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from gpu_server.worker.messages import Advance, FrameWritten, Resolved
from tests.support.exrs import same_bits
from tests.support.shots import COLOUR, disc, files_of, make_job, noise, run_job, write_matte, write_plate
from void_bridge.job import Colour, MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame, write_frame
from void_bridge.sequence import Sequence

FRAMES = range(1001, 1005)
SHAPE = (48, 64)
HOLE = disc(SHAPE, (24, 30), 9)


@pytest.fixture
def shot(tmp_path):
    return write_plate(tmp_path, FRAMES, SHAPE), write_matte(tmp_path, FRAMES, HOLE)


def test_every_frame_comes_back_with_its_number(shot, tmp_path):
    plate, roto = shot
    ended, written, _ = run_job(make_job(plate, FRAMES, roto), files_of(plate, roto), tmp_path)
    assert (ended.state, sorted(written)) == ("done", list(FRAMES))


def test_outside_the_matte_every_bit_of_every_channel_stays(shot, tmp_path):
    plate, roto = shot
    job = make_job(plate, FRAMES, roto, engine="propagate", dilate=0, feather=0)
    _, written, _ = run_job(job, files_of(plate, roto), tmp_path)
    outside = HOLE == 0
    for frame in FRAMES:
        before, after = read_frame(plate.path(frame)).parts[0], written[frame].parts[0]
        for name in "RGBA":
            assert same_bits(before.channels[name][outside], after.channels[name][outside]), (frame, name)
        assert same_bits(before.channels["A"], after.channels["A"])
        assert not same_bits(before.channels["R"], after.channels["R"])


def test_the_paste_matte_comes_back_as_a_channel(shot, tmp_path):
    plate, roto = shot
    _, written, _ = run_job(make_job(plate, FRAMES, roto), files_of(plate, roto), tmp_path)
    paste = written[1001].parts[0].channels["void_bridge.paste"]
    assert paste.dtype == np.float16
    assert np.array_equal(paste, (HOLE > 0.01).astype(np.float16))


def test_layers_of_any_type_parts_and_headers_come_through(tmp_path):
    window, display = Box(-4, -6, 44, 58), Box(0, 0, 40, 60)
    beauty = {name: noise(SHAPE, i) for i, name in enumerate("RGBA")}
    deep_types = {"id": np.arange(48 * 64, dtype=np.uint32).reshape(SHAPE), "Z": noise(SHAPE, 9).astype(np.float32)}
    header = {
        "pixelAspectRatio": 2.0,
        "framesPerSecond": Fraction(24000, 1001),
        "timeCode": OpenEXR.TimeCode(1, 2, 3, 4, *[0] * 14),
        "studio/shot": "sh010",
    }
    plate = Sequence.parse(str(tmp_path / "plate.####.exr"))
    parts = (
        ExrPart(beauty, window, display, "rgba", dict(header)),
        ExrPart(deep_types, window, display, "data", dict(header)),
    )
    write_frame(ExrFrame(parts), plate.path(7))
    roto = write_matte(tmp_path, [7], HOLE, data_window=window, display_window=display)
    _, written, _ = run_job(make_job(plate, [7], roto), files_of(plate, roto), tmp_path)
    picture, data = written[7].parts
    assert (picture.data_window, picture.display_window, picture.name) == (window, display, "rgba")
    assert [same_bits(data.channels[n], deep_types[n]) for n in deep_types] == [True, True]
    assert picture.header["studio/shot"] == "sh010"
    assert picture.header["framesPerSecond"] == Fraction(24000, 1001)
    assert picture.header["timeCode"].hours == 1
    assert picture.pixel_aspect == 2.0


def test_frames_say_how_they_were_made(shot, tmp_path):
    plate, roto = shot
    job = make_job(plate, FRAMES, roto, prompt="an empty table", seed=2**40)
    _, written, _ = run_job(job, files_of(plate, roto), tmp_path)
    header = written[1001].parts[0].header
    stated = {name: header[f"void_bridge/{name}"] for name in ("engine", "prompt", "seed", "generated")}
    assert stated == {"engine": "passthrough", "prompt": "an empty table", "seed": str(2**40), "generated": "yes"}


def test_the_same_job_gives_the_same_bytes_also_when_it_was_resumed(shot, tmp_path):
    plate, roto = shot
    job = make_job(plate, FRAMES, roto, engine="propagate")
    _, _, first = run_job(job, files_of(plate, roto), tmp_path / "a")
    _, _, second = run_job(job, files_of(plate, roto), tmp_path / "b", finished=[1001, 1003])
    digests = {m.frame: m.digest for m in first if isinstance(m, FrameWritten)}
    resumed = {m.frame: m.digest for m in second if isinstance(m, FrameWritten)}
    assert resumed == {frame: digests[frame] for frame in (1002, 1004)}


def test_digests_are_of_the_files_as_written(shot, tmp_path):
    plate, roto = shot
    _, _, messages = run_job(make_job(plate, FRAMES, roto), files_of(plate, roto), tmp_path)
    for m in (m for m in messages if isinstance(m, FrameWritten)):
        data = Path(m.path).read_bytes()
        assert (m.size, m.digest) == (len(data), hashlib.blake2b(data, digest_size=32).hexdigest())


def test_handles_are_read_and_delivered_on_request_only(tmp_path):
    held = range(998, 1008)
    plate, roto = write_plate(tmp_path, held, SHAPE), write_matte(tmp_path, held, HOLE)
    job = make_job(plate, range(1001, 1005), roto, handles=5, engine="propagate")
    _, written, messages = run_job(job, files_of(plate, roto), tmp_path / "a")
    assert sorted(written) == [1001, 1002, 1003, 1004]
    decoded = next(m.total for m in messages if isinstance(m, Advance) and m.stage == "decode")
    assert decoded == len(held)
    _, delivered, _ = run_job(job.replace(deliver_handles=True), files_of(plate, roto), tmp_path / "b")
    assert sorted(delivered) == list(held)


def test_an_empty_matte_gives_the_plate_and_says_so(tmp_path):
    plate = write_plate(tmp_path, FRAMES, SHAPE)
    roto = write_matte(tmp_path, FRAMES, np.zeros(SHAPE, np.float16))
    job = make_job(plate, FRAMES, roto, engine="propagate")
    ended, written, _ = run_job(job, files_of(plate, roto), tmp_path)
    assert ended.report["warnings"] == ["the matte is empty in every frame: the result equals the plate"]
    for frame in FRAMES:
        before, after = read_frame(plate.path(frame)).parts[0], written[frame].parts[0]
        assert all(same_bits(before.channels[n], after.channels[n]) for n in "RGBA")
        assert after.header["void_bridge/generated"] == "no"


@pytest.mark.parametrize("engine", ["passthrough", "propagate", "roundtrip"])
def test_a_matte_over_everything_is_filled(tmp_path, engine):
    plate = write_plate(tmp_path, FRAMES, SHAPE)
    roto = write_matte(tmp_path, FRAMES, np.ones(SHAPE, np.float16))
    job = make_job(plate, FRAMES, roto, engine=engine, canvas="48x64")
    ended, written, _ = run_job(job, files_of(plate, roto), tmp_path)
    assert (ended.state, len(written)) == ("done", len(FRAMES))
    assert all(np.isfinite(written[f].parts[0].channels[c]).all() for f in FRAMES for c in "RGB")


@pytest.mark.parametrize("engine", ["passthrough", "propagate"])
def test_nan_stays_outside_the_matte_and_is_healed_inside(tmp_path, engine):
    plate = write_plate(tmp_path, FRAMES, SHAPE)
    broken = read_frame(plate.path(1002)).parts[0]
    broken.channels["R"][24, 30] = np.nan
    broken.channels["G"][2, 3] = np.inf
    write_frame(ExrFrame((broken,)), plate.path(1002))
    roto = write_matte(tmp_path, FRAMES, HOLE)
    _, written, _ = run_job(make_job(plate, FRAMES, roto, engine=engine), files_of(plate, roto), tmp_path)
    after = written[1002].parts[0].channels
    assert np.isinf(after["G"][2, 3])
    assert np.isfinite(after["R"][24, 30])


def test_a_smaller_matte_falls_into_place_by_its_data_window(tmp_path):
    plate = write_plate(tmp_path, [1], SHAPE)
    small = np.ones((5, 6), np.float16)
    roto = write_matte(tmp_path, [1], small, data_window=Box(10, 20, 15, 26), display_window=Box(0, 0, *SHAPE))
    _, written, _ = run_job(make_job(plate, [1], roto), files_of(plate, roto), tmp_path)
    paste = written[1].parts[0].channels["void_bridge.paste"]
    assert paste.sum() == 30
    assert paste[10:15, 20:26].all()


def test_a_data_window_that_changes_from_frame_to_frame_is_kept(tmp_path):
    plate = Sequence.parse(str(tmp_path / "plate.####.exr"))
    display = Box(0, 0, *SHAPE)
    windows = {1: Box(0, 0, 48, 64), 2: Box(4, 2, 44, 50), 3: Box(-3, -3, 50, 66)}
    for frame, window in windows.items():
        channels = {name: noise(window.shape, [frame, i]) for i, name in enumerate("RGB")}
        write_frame(ExrFrame((ExrPart(channels, window, display),)), plate.path(frame))
    roto = write_matte(tmp_path, windows, HOLE, data_window=display)
    for engine in ("passthrough", "propagate"):
        job = make_job(plate, windows, roto, engine=engine)
        _, written, _ = run_job(job, files_of(plate, roto), tmp_path / engine)
        assert {f: w.parts[0].data_window for f, w in written.items()} == windows


def test_a_matte_of_another_format_is_refused_by_name(tmp_path):
    plate = write_plate(tmp_path, FRAMES, SHAPE)
    roto = write_matte(tmp_path, FRAMES, np.ones((20, 30), np.float16))
    ended, written, _ = run_job(make_job(plate, FRAMES, roto), files_of(plate, roto), tmp_path)
    assert (ended.state, ended.failure.code, written) == ("failed", "size_mismatch", {})
    assert "30x20" in ended.failure.message
    assert "64x48" in ended.failure.message


def test_a_truncated_frame_fails_the_job_by_name_and_leaves_nothing_half_written(shot, tmp_path):
    plate, roto = shot
    whole = plate.path(1003).read_bytes()
    plate.path(1003).write_bytes(whole[: len(whole) // 2])
    ended, _, _ = run_job(make_job(plate, FRAMES, roto), files_of(plate, roto), tmp_path)
    assert (ended.state, ended.failure.code) == ("failed", "unreadable")
    assert "plate.1003.exr" in ended.failure.message
    assert [path.name for path in (tmp_path / "attempt-1").glob(".*")] == []


def test_a_missing_channel_fails_with_the_nearest_names(shot, tmp_path):
    plate, roto = shot
    job = make_job(plate, FRAMES, remove=None, affected=MatteSource(str(roto), "void_bridge.affected"))
    ended, _, _ = run_job(job, files_of(plate, roto), tmp_path)
    assert ended.failure.code == "no_channel"
    assert "A" in ended.failure.message


def test_a_cancelled_job_ends_as_cancelled(shot, tmp_path):
    plate, roto = shot
    cancelled = threading.Event()
    cancelled.set()
    job = make_job(plate, FRAMES, roto, engine="propagate")
    ended, written, _ = run_job(job, files_of(plate, roto), tmp_path, cancelled=cancelled)
    assert (ended.state, written) == ("cancelled", {})


def test_exposure_is_measured_once_and_reported(shot, tmp_path):
    plate, roto = shot
    colour = Colour(COLOUR.space, COLOUR.config)
    job = make_job(plate, FRAMES, roto, colour=colour)
    _, _, messages = run_job(job, files_of(plate, roto), tmp_path)
    resolved = next(m.job for m in messages if isinstance(m, Resolved))
    assert resolved.colour.exposure is not None
    assert resolved.replace(colour=colour) == job


def test_the_models_domain_and_back_is_half_float_rounding(tmp_path):
    """At a canvas of the plate's own size nothing but colour happens, and colour is invertible."""
    plate, roto = write_plate(tmp_path, FRAMES, SHAPE), write_matte(tmp_path, FRAMES, HOLE)
    bright = read_frame(plate.path(1001)).parts[0]
    bright.channels["R"][24, 30], bright.channels["B"][24, 31] = 40.0, -0.25
    bright.channels["G"][20, 20] = 40.0  # seen nearby, so that the highlight is explained
    write_frame(ExrFrame((bright,)), plate.path(1001))
    job = make_job(plate, FRAMES, roto, engine="roundtrip", canvas="48x64")
    _, written, _ = run_job(job, files_of(plate, roto), tmp_path)
    for frame in FRAMES:
        before, after = read_frame(plate.path(frame)).parts[0].channels, written[frame].parts[0].channels
        for name in "RGB":
            a, b = before[name].astype(np.float32), after[name].astype(np.float32)
            assert np.all(np.abs(a - b) <= np.maximum(np.abs(a), 2.0**-10) * 2.0**-9), (frame, name)
    assert float(written[1001].parts[0].channels["R"][24, 30]) == pytest.approx(40.0, rel=2e-3)


def test_outside_a_crop_that_moves_every_bit_stays(tmp_path):
    frames, shape = range(1001, 1021), (64, 160)
    plate = write_plate(tmp_path, frames, shape)
    roto = write_matte(tmp_path, frames, lambda frame: disc(shape, (30, 20 + 4 * (frame - 1001)), 9))
    job = make_job(plate, frames, roto, engine="roundtrip", canvas="16x32", framing="moving", dilate=2, feather=3)
    ended, written, _ = run_job(job, files_of(plate, roto), tmp_path)
    assert (ended.state, sorted(written), ended.report["framing"]) == ("done", list(frames), "moving")
    for frame in frames:
        before, after = read_frame(plate.path(frame)).parts[0].channels, written[frame].parts[0].channels
        outside = np.hypot(*(np.indices(shape).T - (30, 20 + 4 * (frame - 1001))).T) > 9 + 2 + 3 + 1
        assert same_bits(before["R"][outside], after["R"][outside]), frame
        inside = disc(shape, (30, 20 + 4 * (frame - 1001)), 8) > 0
        assert np.mean(before["R"][inside] != after["R"][inside]) > 0.9, frame  # it went through the small canvas


def test_confidence_is_a_channel_on_request(shot, tmp_path):
    plate, roto = shot
    job = make_job(plate, FRAMES, roto, engine="propagate", confidence=True)
    _, written, _ = run_job(job, files_of(plate, roto), tmp_path)
    confidence = written[1001].parts[0].channels["void_bridge.confidence"]
    assert np.all(confidence[HOLE == 0] == 1)
    assert confidence.min() < 1


def test_a_lossy_plate_comes_back_lossless(tmp_path):
    plate = Sequence.parse(str(tmp_path / "plate.####.exr"))
    channels = {name: noise(SHAPE, i) for i, name in enumerate("RGBA")}
    header = {"compression": OpenEXR.DWAA_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, dict(channels)).write(str(plate.path(1)))
    roto = write_matte(tmp_path, [1], HOLE)
    _, written, _ = run_job(make_job(plate, [1], roto), files_of(plate, roto), tmp_path)
    before, after = read_frame(plate.path(1)).parts[0], written[1].parts[0]
    assert all(same_bits(before.channels[n][HOLE == 0], after.channels[n][HOLE == 0]) for n in "RGBA")


def test_the_unmasked_fill_comes_as_a_layer_of_its_own_on_request(shot, tmp_path):
    plate, roto = shot
    job = make_job(plate, FRAMES, roto, engine="roundtrip", full_fill=True)
    _, written, _ = run_job(job, files_of(plate, roto), tmp_path)
    channels, before = written[1002].parts[0].channels, read_frame(plate.path(1002)).parts[0].channels
    inside = HOLE > 0.5
    for name in "RGB":
        fill = channels[f"void_bridge_fill.{name}"]
        assert fill.dtype == before[name].dtype
        assert same_bits(fill[inside], channels[name][inside])
        assert not same_bits(fill[~inside], before[name][~inside]), (
            "the engine's own pixels also where nothing is pasted"
        )
