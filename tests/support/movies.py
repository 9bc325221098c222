"""Small movies, as cameras and tools write them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Sequence

import av
import numpy as np


def write_planes(
    path: Path,
    frames: Sequence[Sequence[np.ndarray]],
    pix_fmt: str = "yuv444p",
    rate: Fraction = Fraction(24),
    matrix: int = 2,
    color_range: int = 0,
) -> Path:
    """Write a lossless H.264 movie whose stored planes are these, Y, U and V, with the tags given (2 and 0: none)."""
    height, width = frames[0][0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, color_range
        for planes in frames:
            container.mux(stream.encode(_frame(planes, pix_fmt)))
        container.mux(stream.encode(None))
    return path


def _frame(planes: Sequence[np.ndarray], pix_fmt: str) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for target, plane in zip(frame.planes, planes):
        rows = np.zeros((target.height, target.line_size // plane.itemsize), plane.dtype)
        rows[:, : target.width] = plane
        target.update(rows.tobytes())
    return frame


def flat(y: int, u: int, v: int, shape: tuple = (32, 48), dtype: type = np.uint8) -> list:
    """Return one frame of one colour, 4:4:4."""
    return [np.full(shape, value, dtype) for value in (y, u, v)]


def quadmask_planes(values: np.ndarray) -> list:
    """Return a quadmask as the reference writes it: gray in limited range. values: shape [H, W], 0 to 255."""
    luma = np.rint(16 + values.astype(float) * 219 / 255).astype(np.uint8)
    return [luma, np.full_like(luma, 128), np.full_like(luma, 128)]
