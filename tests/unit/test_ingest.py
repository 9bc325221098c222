from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import run_command
from tests.support.movies import flat, quadmask_planes, write_planes
from void_bridge.cli.ingest import COMMAND
from void_bridge.errors import FrameRangeError, InputError, OutputError, SizeMismatch, UsageError
from void_bridge.job import JobFile
from void_bridge.pixels.exr import read_frame
from void_bridge.pixels.model_domain import to_model
from void_bridge.resolution import Resolution
from void_bridge.sequence import Sequence

SAMPLES = Path(os.environ.get("VOID_BRIDGE_SAMPLES", Path(__file__).parents[3] / "shared" / "samples"))
GREYS = (40, 120, 220)
FULL_RANGE = 2


def mask_values() -> np.ndarray:
    return np.repeat(np.array([[0, 63, 127, 255]], np.uint8), 32, axis=0).repeat(12, axis=1)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Return three frames of 48x32 at 24000/1001, greys in full range, with a quadmask and a prompt."""
    folder = tmp_path / "sample"
    folder.mkdir()
    rate = Fraction(24000, 1001)
    frames = [flat(grey, 128, 128) for grey in GREYS]
    write_planes(folder / "input_video.mp4", frames, rate=rate, color_range=FULL_RANGE)
    write_planes(folder / "quadmask_0.mp4", [quadmask_planes(mask_values())] * 3, rate=rate)
    (folder / "prompt.json").write_text(json.dumps({"bg": "A café table.\n"}), encoding="utf-8")
    return folder


def ingest(source: Path, out: Path, *options: str) -> Path:
    assert run_command(COMMAND, source, "-o", out, *options) == 0
    return out


def part(out: Path, name: str, frame: int = 1001):
    return read_frame(out / name / f"{name}.{frame:04d}.exr").picture


def test_a_sample_folder_becomes_a_job_that_names_all_its_files(sample: Path, tmp_path: Path) -> None:
    out = ingest(sample, tmp_path / "shot")
    job = JobFile.read(out / "job.json").job
    assert str(job.frames) == "1001-1003"
    assert job.prompt == "A café table."
    assert job.quadmask is not None
    for pattern in (job.plate, job.quadmask.sequence):
        assert Path(pattern).is_absolute()
        Sequence.parse(pattern).require(job.frames)
    assert Sequence.parse(job.output).path(1002) == out / "clean" / "clean.1002.exr"


def test_a_model_sees_the_movies_own_values_in_an_ingested_plate(sample: Path, tmp_path: Path) -> None:
    out = ingest(sample, tmp_path / "shot")
    colour = JobFile.read(out / "job.json").job.colour
    for frame, grey in enumerate(GREYS, 1001):
        channels = part(out, "plate", frame).channels
        assert {plane.dtype for plane in channels.values()} == {np.dtype(np.float16)}
        rgb = np.stack([channels[name] for name in "RGB"], axis=-1).astype(np.float32)
        np.testing.assert_allclose(to_model(rgb, colour), np.full(rgb.shape, grey / 255), atol=0.3 / 255)


def test_the_plate_states_its_rate_its_aspect_and_its_space(sample: Path, tmp_path: Path) -> None:
    header = part(ingest(sample, tmp_path / "shot"), "plate").header
    assert header["framesPerSecond"] == Fraction(24000, 1001)
    assert header["pixelAspectRatio"] == 1.0
    assert header["colorInteropID"] == "lin_ap1_scene"


def test_the_quadmask_keeps_its_values_also_when_resized(sample: Path, tmp_path: Path) -> None:
    out = ingest(sample, tmp_path / "shot", "--size", "24x16")
    (plane,) = part(out, "quadmask").channels.values()
    assert plane.shape == (16, 24)
    np.testing.assert_array_equal(np.rint(plane.astype(np.float32) * 255), mask_values()[::2, ::2])


def test_the_plate_is_averaged_in_linear_light(tmp_path: Path) -> None:
    """Average alternating black and white to half the light, which is 188 in sRGB and not 128."""
    stripes = np.tile(np.array([0, 255], np.uint8), (32, 24))
    grey = np.full_like(stripes, 128)
    movie = write_planes(tmp_path / "stripes.mp4", [[stripes, grey, grey]], color_range=FULL_RANGE)
    out = ingest(movie, tmp_path / "shot", "--size", "24x16")
    np.testing.assert_allclose(part(out, "plate").channels["G"].astype(np.float32), np.full((16, 24), 0.5), atol=1e-3)


def test_a_size_of_another_shape_is_kept_in_the_pixel_aspect(sample: Path, tmp_path: Path) -> None:
    out = ingest(sample, tmp_path / "shot", "--size", "24x32")
    assert part(out, "plate").pixel_aspect == part(out, "quadmask").pixel_aspect == 2.0


def test_a_working_space_can_be_named(sample: Path, tmp_path: Path) -> None:
    out = ingest(sample, tmp_path / "shot", "--colorspace", "lin_rec709")
    assert JobFile.read(out / "job.json").job.colour.space == "Linear Rec.709 (sRGB)"


def test_frames_can_be_chosen(sample: Path, tmp_path: Path) -> None:
    out = ingest(sample, tmp_path / "shot", "--frames", "1001-1003x2")
    assert str(JobFile.read(out / "job.json").job.frames) == "1001,1003"
    assert sorted(p.name for p in (out / "plate").iterdir()) == ["plate.1001.exr", "plate.1003.exr"]
    first, third = (np.median(part(out, "plate", frame).channels["G"]) for frame in (1001, 1003))
    assert first < 0.03 < 0.6 < third


def test_frames_that_the_movie_does_not_have_are_named(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(FrameRangeError, match=r"got frames 1004-1005, which .*input_video\.mp4 doesn't have"):
        ingest(sample, tmp_path / "shot", "--frames", "1003-1005")
    assert not (tmp_path / "shot" / "job.json").exists()


def test_a_movie_alone_becomes_a_plate_without_a_job(sample: Path, tmp_path: Path, capsys) -> None:
    out = ingest(sample / "input_video.mp4", tmp_path / "shot")
    assert sorted(p.name for p in out.iterdir()) == ["plate"]
    assert "no quadmask, so no job.json" in capsys.readouterr().out


def test_a_movie_with_a_quadmask_becomes_a_job(sample: Path, tmp_path: Path) -> None:
    movie, mask = sample / "input_video.mp4", sample / "quadmask_0.mp4"
    out = ingest(movie, tmp_path / "shot", "--quadmask", str(mask))
    assert JobFile.read(out / "job.json").job.prompt == ""


def test_a_quadmask_of_another_length_is_refused(sample: Path, tmp_path: Path) -> None:
    write_planes(sample / "quadmask_0.mp4", [quadmask_planes(mask_values())] * 2)
    with pytest.raises(SizeMismatch, match=r"quadmask_0\.mp4 has no frame 1003, .*input_video\.mp4 has"):
        ingest(sample, tmp_path / "shot")
    assert not (tmp_path / "shot" / "job.json").exists()


def test_an_earlier_ingest_is_not_overwritten_unasked(sample: Path, tmp_path: Path) -> None:
    out = ingest(sample, tmp_path / "shot")
    before = (out / "plate" / "plate.1001.exr").read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        ingest(sample, out, "--size", "24x16")
    assert (out / "plate" / "plate.1001.exr").read_bytes() == before
    ingest(sample, out, "--size", "24x16", "--overwrite")
    assert part(out, "plate").data_window.shape == (16, 24)


def test_a_folder_that_is_not_a_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without input_video\.mp4"):
        ingest(tmp_path, tmp_path / "shot")


def test_several_quadmasks_ask_for_a_choice(sample: Path, tmp_path: Path) -> None:
    write_planes(sample / "quadmask_1.mp4", [quadmask_planes(mask_values())] * 3)
    with pytest.raises(InputError, match=r"got 2 quadmasks .* --quadmask"):
        ingest(sample, tmp_path / "shot")


def test_a_prompt_that_cannot_be_read_is_refused(sample: Path, tmp_path: Path) -> None:
    (sample / "prompt.json").write_text('{"text": "?"}')
    with pytest.raises(InputError, match=r"prompt\.json"):
        ingest(sample, tmp_path / "shot")


@pytest.mark.parametrize("text", ["1920", "1920x", "0x1080", "1920*1080", "1920x1080x3"])
def test_a_size_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected WIDTHxHEIGHT"):
        Resolution.parse(text)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no sample shots in {SAMPLES}; set VOID_BRIDGE_SAMPLES")
@pytest.mark.parametrize(("name", "values"), [("BigBen", {0, 127, 255}), ("lime", {0, 63, 127, 255})])
def test_a_real_sample_keeps_its_values(name: str, values: set, tmp_path: Path) -> None:
    out = ingest(SAMPLES / name, tmp_path / "shot", "--size", "640x360", "--frames", "1021")
    (plane,) = part(out, "quadmask", 1021).channels.values()
    assert set(np.rint(plane.astype(np.float32) * 255).astype(int).flat) == values
    assert JobFile.read(out / "job.json").job.prompt
