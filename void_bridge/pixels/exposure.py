"""The exposure of a shot: the stops that bring it to a normal brightness, measured once a job, then fixed."""

from __future__ import annotations

from typing import Iterable, Tuple

import numpy as np

from void_bridge.pixels.arrays import Array

# Log-average luminance of a shot that is left alone, in linear light with a diffuse white at 1.
NORMAL_LUMINANCE: Tuple[float, float] = (0.03, 0.4)
LARGEST_CORRECTION_STOPS = 10.0

EXPOSURE_SAMPLES = 5
"""Frames of a shot that its exposure is measured on."""

_REC709_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
_BLACK = 1e-5
_SAMPLES_A_FRAME = 250_000


def measure_exposure(frames: Iterable[Array]) -> float:
    """Return the stops that bring the shot's log-average luminance into `NORMAL_LUMINANCE`.

    A shot inside that band gets 0: it looks as it was graded, and a night stays a night. Another is brought to the
    nearer edge, in whole eighths of a stop, by at most `LARGEST_CORRECTION_STOPS`. Black, negative and non-finite
    pixels do not count. The same frames give the same number.

    The log-average as the key of a picture is that of Reinhard et al., "Photographic Tone Reproduction for Digital
    Images", SIGGRAPH 2002.

    Args:
        frames: each of shape [H, W, 3], linear, premultiplied or not.
    """
    total, count = 0.0, 0
    for frame in frames:
        frame_total, frame_count = _log2_luminance(frame)
        total += frame_total
        count += frame_count
    if not count:
        return 0.0
    low, high = np.log2(NORMAL_LUMINANCE)
    average = total / count
    stops = float(np.clip(average, low, high) - average)
    stops = min(max(stops, -LARGEST_CORRECTION_STOPS), LARGEST_CORRECTION_STOPS)
    return round(stops * 8) / 8 + 0.0  # no -0.0


def _log2_luminance(frame: Array) -> Tuple[float, int]:
    """Return the sum of the base-2 logarithms of the luminance of a frame's lit pixels, and their count."""
    stride = max(1, int(np.sqrt(frame.shape[0] * frame.shape[1] / _SAMPLES_A_FRAME)))
    with np.errstate(invalid="ignore", over="ignore"):
        luminance = frame[::stride, ::stride] @ _REC709_WEIGHTS
    lit = luminance[np.isfinite(luminance) & (luminance > _BLACK)]
    return float(np.log2(lit, dtype=np.float64).sum()), int(lit.size)
