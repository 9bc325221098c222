"""Windows over the latents of a shot that is longer than the model takes at once, and how they are blended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.void.latent_geometry import FRAMES_A_LATENT, OVERLAP_LATENTS, WINDOW_LATENTS
from void_bridge.errors import UsageError

Array = NDArray[np.float32]


@dataclass(frozen=True)
class LatentWindow:
    """Latents start..stop-1 of a shot."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


def window_latents(frames: int) -> int:
    """Latents of a window of so many frames, even, as the reference rounds them.

    >>> window_latents(85), window_latents(29), window_latents(33)
    (22, 8, 8)
    """
    latents = 1 + (frames - 1) // FRAMES_A_LATENT
    return max(2, latents - latents % 2)


def reference_windows(
    latents: int, window: int = WINDOW_LATENTS, overlap: int = OVERLAP_LATENTS
) -> tuple[LatentWindow, ...]:
    """Every window starts `overlap` before the end of the one before; the last may be short.

    >>> [(w.start, w.stop) for w in reference_windows(50)]
    [(0, 22), (18, 40), (36, 50)]

    Raises:
        UsageError: the overlap is no shorter than the window, or a count is odd: the model takes latents in pairs.
    """
    starts = _starts(latents, window, overlap)
    windows = tuple(LatentWindow(start, min(start + window, latents)) for start in starts)
    if any(w.count % 2 for w in windows):
        raise UsageError(f"got an overlap of {overlap} latents, which leaves an odd last window; give an even one")
    return windows


def equal_windows(
    latents: int, window: int = WINDOW_LATENTS, overlap: int = OVERLAP_LATENTS
) -> tuple[LatentWindow, ...]:
    """As `reference_windows`, but the last one starts early enough to be as long as the others: one shape for all.

    >>> [(w.start, w.stop) for w in equal_windows(50)]
    [(0, 22), (18, 40), (28, 50)]
    >>> equal_windows(14)
    (LatentWindow(start=0, stop=14),)

    Raises:
        UsageError: as `reference_windows`.
    """
    starts = _starts(latents, window, overlap)
    return tuple(LatentWindow(max(0, min(start, latents - window)), min(start + window, latents)) for start in starts)


def blend_weights(windows: Sequence[LatentWindow]) -> list[Array]:
    """One array a window, shape [count]: rising over what it shares with the window before, falling over the next.

    The ramps are linear and hold neither 0 nor 1: linspace(0, 1, shared + 2) without its ends. Where both reach, the
    falling one counts, as in the reference. Divide the weighted sum by the sum of the weights.
    """
    weights = [np.ones(window.count, np.float32) for window in windows]
    for before, after, falling, rising in zip(windows, windows[1:], weights, weights[1:], strict=False):
        shared = max(0, before.stop - after.start)
        ramp = np.linspace(0, 1, shared + 2, dtype=np.float32)[1:-1]
        rising[:shared] = ramp
        falling[falling.size - shared :] = ramp[::-1]
    return weights


def _starts(latents: int, window: int, overlap: int) -> Sequence[int]:
    if latents < 2 or latents % 2 or window % 2:
        raise UsageError(f"got {latents} latents in windows of {window}, expected even counts: pad the shot")
    if latents <= window:
        return (0,)
    if not 0 <= overlap < window:
        raise UsageError(f"got an overlap of {overlap} latents, expected less than the window's {window}")
    return range(0, latents - overlap, window - overlap)
