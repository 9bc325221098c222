"""Movies, read as pixels and written for review, with PyAV.

What a file does not state is taken as players take it: limited range, and the matrix of BT.709 from 1280 columns or 577
rows on, of BT.601 below.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Collection, Dict, Iterable, Iterator, Optional, Tuple

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from void_bridge.atomic import replacing
from void_bridge.errors import UnreadableFile

# Weights of red and blue in luma, by the numbers of ITU-T H.273.
_LUMA_WEIGHTS: Dict[int, Tuple[float, float]] = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_FULL_RANGE = 2


@dataclass(frozen=True)
class MovieInfo:
    """The facts that a movie states about itself.

    Attributes:
        width: of the stored picture, in pixels.
        height: of the stored picture, in pixels.
        rate: frames a second.
        pixel_aspect: width of a pixel over its height.
        frames: their count; 0 if the file does not state it.
    """

    width: int
    height: int
    rate: Fraction
    pixel_aspect: Fraction
    frames: int


def probe_movie(path: Path) -> MovieInfo:
    """Read the facts of a movie.

    Raises:
        UnreadableFile: missing, or not a movie.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        return MovieInfo(
            width=stream.width,
            height=stream.height,
            rate=stream.average_rate or Fraction(24),
            pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
            frames=stream.frames,
        )


def read_rgb(path: Path, indices: Optional[Collection[int]] = None) -> Iterator[NDArray[np.float32]]:
    """Return an iterator over the frames of a movie in order, each of shape [H, W, 3], display-encoded RGB in [0, 1].

    Args:
        path: the movie.
        indices: frames to read, counted from 0; those that the movie does not have are left out. None: all.

    Raises:
        UnreadableFile: missing, not a movie, cut off or damaged.
    """
    return (_rgb(frame) for frame in _frames(path, indices))


def read_luma(path: Path, indices: Optional[Collection[int]] = None) -> Iterator[NDArray[np.uint8]]:
    """Yield the luma of a movie's frames, each of shape [H, W], from 0, black, to 255, white; see `read_rgb`."""
    for frame in _frames(path, indices):
        if frame.format.is_rgb or frame.format.has_palette:
            yield _as_u8(_rgb(frame) @ np.array([0.2126, 0.7152, 0.0722], np.float32))
        else:
            planes, scale, offset = _planes(frame)
            yield _as_u8((planes[0] + np.float32(offset[0])) * np.float32(scale[0]))


def _as_u8(unit: NDArray[np.float32]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.rint(unit * np.float32(255)).clip(0, 255).astype(np.uint8)
    return rounded


def _frames(path: Path, indices: Optional[Collection[int]]) -> Iterator[av.VideoFrame]:
    with _opened(path) as container:
        count = 0
        try:
            for frame in container.decode(video=0):
                if indices is None or count in indices:
                    yield frame
                count += 1
                if indices is not None and count > max(indices):
                    return
        except av.FFmpegError as exc:
            raise UnreadableFile(
                f"{path}: frame {count + 1} cannot be decoded: {exc.strerror}; copy the file again"
            ) from exc
        if not count:
            raise UnreadableFile(f"{path} holds no frame; expected a movie")


def _opened(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as exc:
        raise UnreadableFile(f"cannot read {path} as a movie: {exc.strerror or exc}") from exc
    if not container.streams.video:
        container.close()
        raise UnreadableFile(f"{path} holds no picture; expected a movie")
    container.streams.video[0].thread_type = "AUTO"
    return container


def _rgb(frame: av.VideoFrame) -> NDArray[np.float32]:
    if frame.format.is_rgb or frame.format.has_palette:
        return _stored_rgb(frame)
    red, blue = _LUMA_WEIGHTS[_matrix(frame)]
    green = 1 - red - blue
    u, v = 2 * (1 - blue), 2 * (1 - red)
    to_rgb = np.array([[1, 0, v], [1, -u * blue / green, -v * red / green], [1, u, 0]])
    planes, scale, offset = _planes(frame)
    pixels = cv2.merge([plane.astype(np.float32) for plane in planes])
    rgb = cv2.transform(pixels, np.column_stack([to_rgb * scale, to_rgb @ (offset * scale)]))
    return np.asarray(np.clip(rgb, 0, 1, out=rgb), np.float32)


def _stored_rgb(frame: av.VideoFrame) -> NDArray[np.float32]:
    stored = frame.to_ndarray(format="rgb48le" if _is_deep(frame) else "rgb24")
    unit: NDArray[np.float32] = stored.astype(np.float32) / np.float32(65535 if _is_deep(frame) else 255)
    return unit


def _planes(frame: av.VideoFrame) -> Tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """Return luma and colour differences as stored, and scale and offset of each.

    Returns:
        Planes of shape [3, H, W] at the size of the luma; (stored + offset) x scale is in [0, 1], and in [-0.5, 0.5]
        for the
        differences.
    """
    full = _range(frame) == ColorRange.JPEG
    stored = frame.reformat(
        # The j says full range, which PyAV 15 learns from the format alone.
        format="yuv444p16le" if _is_deep(frame) else "yuvj444p" if full else "yuv444p",
        interpolation=Interpolation.BICUBIC,
        src_color_range=_range(frame),
        dst_color_range=_range(frame),
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
    ).to_ndarray()
    planes = stored if stored.shape[0] == 3 else np.moveaxis(stored, -1, 0)
    unit = 256 if _is_deep(frame) else 1
    if full:
        return planes, np.full(3, 1 / (256 * unit - 1)), np.array([0.0, -128 * unit, -128 * unit])
    return planes, 1 / (np.array([219, 224, 224]) * unit), np.array([-16, -128, -128]) * float(unit)


def _is_deep(frame: av.VideoFrame) -> bool:
    return max(component.bits for component in frame.format.components) > 8


def _range(frame: av.VideoFrame) -> ColorRange:
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith(("yuvj", "gray"))
    return ColorRange.JPEG if full else ColorRange.MPEG


def _matrix(frame: av.VideoFrame) -> int:
    if frame.colorspace in _LUMA_WEIGHTS:
        return int(frame.colorspace)
    return 1 if frame.width >= 1280 or frame.height > 576 else 6


def write_movie(path: Path, frames: Iterable[NDArray[np.uint8]], rate: Fraction, crf: int = 16) -> None:
    """Write an MP4 that any player shows: H.264, 4:2:0, BT.709, limited range, tagged so.

    Args:
        path: the movie.
        frames: each of shape [H, W, 3], display-encoded RGB, one size; an odd last row or column is repeated.
        rate: frames a second.
        crf: quality of x264, lower is better.

    Raises:
        OutputError, DiskFull: naming `path`, which then is as it was.
    """
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = None
        for rgb in frames:
            height, width = rgb.shape[:2]
            even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "movflags": "+faststart"})
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt = "yuv420p"
                _tag(stream.codec_context)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24").reformat(
                format="yuv420p",
                interpolation=Interpolation.BICUBIC,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                src_colorspace=Colorspace.ITU709,
                dst_colorspace=Colorspace.ITU709,
            )
            container.mux(stream.encode(frame))
        assert stream is not None, "a movie has a frame"
        container.mux(stream.encode(None))


def _tag(codec: av.VideoCodecContext) -> None:
    codec.color_range = ColorRange.MPEG
    codec.colorspace = codec.color_primaries = codec.color_trc = 1
