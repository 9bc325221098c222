from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.movies import flat, quadmask_planes, write_planes
from void_bridge.errors import OutputError, UnreadableFile
from void_bridge.pixels.movie import probe_movie, read_luma, read_rgb, write_movie

BT709, BT601, UNTAGGED = 1, 6, 2
LIMITED, FULL = 1, 2
# Y, U, V of 75 % red in limited range, from the luma equations of the two standards.
RED_709 = (51, 109, 212)
RED_601 = (65, 100, 212)


def first_rgb(path: Path) -> np.ndarray:
    return next(iter(read_rgb(path)))[4, 4]


@pytest.mark.parametrize(("yuv", "matrix"), [(RED_709, BT709), (RED_601, BT601)])
def test_the_matrix_that_a_movie_states_is_honoured(tmp_path: Path, yuv: tuple, matrix: int) -> None:
    movie = write_planes(tmp_path / "red.mp4", [flat(*yuv)], matrix=matrix)
    np.testing.assert_allclose(first_rgb(movie), [0.75, 0, 0], atol=0.006)


@pytest.mark.parametrize(("yuv", "shape"), [(RED_709, (720, 1280)), (RED_601, (480, 720))])
def test_an_untagged_movie_is_taken_by_its_size(tmp_path: Path, yuv: tuple, shape: tuple) -> None:
    movie = write_planes(tmp_path / "red.mp4", [flat(*yuv, shape=shape)])
    np.testing.assert_allclose(first_rgb(movie), [0.75, 0, 0], atol=0.006)


@pytest.mark.parametrize(("color_range", "grey"), [(LIMITED, (126 - 16) / 219), (FULL, 126 / 255)])
def test_the_range_that_a_movie_states_is_honoured(tmp_path: Path, color_range: int, grey: float) -> None:
    movie = write_planes(tmp_path / "grey.mp4", [flat(126, 128, 128)], color_range=color_range)
    np.testing.assert_allclose(first_rgb(movie), [grey] * 3, atol=1e-5)


def test_ten_bits_keep_what_eight_would_lose(tmp_path: Path) -> None:
    frames = [flat(y, 512, 512, dtype=np.uint16) for y in (64, 501, 502, 940)]
    movie = write_planes(tmp_path / "deep.mp4", frames, "yuv444p10le")
    greys = [frame[0, 0, 1] for frame in read_rgb(movie)]
    np.testing.assert_allclose(greys, [0, 437 / 876, 438 / 876, 1], atol=1e-5)


def test_ten_bits_in_full_range_reach_white(tmp_path: Path) -> None:
    frames = [flat(y, 512, 512, dtype=np.uint16) for y in (0, 511, 1023)]
    movie = write_planes(tmp_path / "deep.mp4", frames, "yuv444p10le", color_range=FULL)
    np.testing.assert_allclose([frame[0, 0, 1] for frame in read_rgb(movie)], [0, 511 / 1023, 1], atol=1e-3)


def test_subsampled_chroma_reaches_every_pixel(tmp_path: Path) -> None:
    y, u, v = flat(*RED_709)
    movie = write_planes(tmp_path / "red.mp4", [[y, u[::2, ::2], v[::2, ::2]]], "yuv420p", matrix=BT709)
    frame = next(iter(read_rgb(movie)))
    assert frame.shape == (32, 48, 3) and frame.dtype == np.float32
    np.testing.assert_allclose(frame, np.broadcast_to([0.75, 0, 0], frame.shape), atol=0.006)


def test_a_stored_rgb_movie_needs_no_matrix(tmp_path: Path) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    path = tmp_path / "rgb.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "bgr0"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(next(iter(read_rgb(path))), pixels / 255, atol=1e-6)


def test_quadmask_luma_comes_back_exactly(tmp_path: Path) -> None:
    values = np.repeat(np.array([[0, 63, 127, 255]], np.uint8), 32, axis=0).repeat(12, axis=1)
    movie = write_planes(tmp_path / "quadmask.mp4", [quadmask_planes(values)])
    np.testing.assert_array_equal(next(iter(read_luma(movie))), values)


def test_a_movie_that_is_written_reads_back_and_says_what_it_is(tmp_path: Path) -> None:
    colours = ([200, 60, 30], [20, 90, 220], [128, 128, 128])
    frames = [np.full((64, 96, 3), colour, np.uint8) for colour in colours]
    path = tmp_path / "out.mp4"
    write_movie(path, frames, Fraction(24000, 1001))
    back = [frame[30, 40] * 255 for frame in read_rgb(path)]
    np.testing.assert_allclose(back, colours, atol=2.5)
    assert probe_movie(path).rate == Fraction(24000, 1001)
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert (codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc) == (1, 1, 1, 1)


def test_odd_sizes_are_made_even(tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    write_movie(path, [np.full((33, 47, 3), 90, np.uint8)], Fraction(24))
    info = probe_movie(path)
    assert (info.width, info.height) == (48, 34)


def test_a_movie_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def frames():
        yield np.zeros((32, 32, 3), np.uint8)
        raise OutputError("the renderer gave up")

    with pytest.raises(OutputError):
        write_movie(tmp_path / "out.mp4", frames(), Fraction(24))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_movie_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("not a movie")
    with pytest.raises(UnreadableFile, match=r"notes\.mp4 as a movie"):
        probe_movie(path)
    with pytest.raises(UnreadableFile, match=r"absent\.mp4 as a movie"):
        next(iter(read_rgb(tmp_path / "absent.mp4")))


def test_a_movie_without_a_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UnreadableFile, match=r"sound\.wav holds no picture"):
        probe_movie(path)
