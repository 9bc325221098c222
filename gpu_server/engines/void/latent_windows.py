"""Overlapping windows over the latents of a long shot, and the weights that blend them.

The model takes 22 latents (85 frames) at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.void.latent_geometry import OVERLAP_LATENTS, WINDOW_LATENTS
from void_bridge.errors import UsageError


@dataclass(frozen=True)
class LatentWindow:
    """A run of latents of a shot.

    Attributes:
        start: the first latent.
        stop: one past the last latent.
    """

    start: int
    stop: int

    @property
    def count(self) -> int:
        """The number of latents."""
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        """The slice of the latents' time axis."""
        return slice(self.start, self.stop)


def reference_windows(
    latents: int, window: int = WINDOW_LATENTS, overlap: int = OVERLAP_LATENTS
) -> tuple[LatentWindow, ...]:
    """Return the windows of the reference, each of which starts `overlap` latents before the last one's end.

    The last window may be shorter than the others.

    Args:
        latents: number of latents of the shot, even.
        window: latents in a window, even.
        overlap: latents that neighbouring windows share.

    >>> [(w.start, w.stop) for w in reference_windows(50)]
    [(0, 22), (18, 40), (36, 50)]

    Raises:
        UsageError: if the overlap is not shorter than the window, or a count is odd.
    """
    starts = _starts(latents, window, overlap)
    windows = tuple(LatentWindow(start, min(start + window, latents)) for start in starts)
    if any(w.count % 2 for w in windows):
        raise UsageError(
            f"got an overlap of {overlap} latents, which leaves a last window of odd length; give an even overlap"
        )
    return windows


def equal_windows(
    latents: int, window: int = WINDOW_LATENTS, overlap: int = OVERLAP_LATENTS
) -> tuple[LatentWindow, ...]:
    """Return windows of one length: the last one starts earlier than in the reference, so that one shape is compiled.

    Args:
        latents: number of latents of the shot, even.
        window: latents in a window, even.
        overlap: the fewest latents that neighbouring windows share.

    >>> [(w.start, w.stop) for w in equal_windows(50)]
    [(0, 22), (18, 40), (28, 50)]
    >>> equal_windows(14)
    (LatentWindow(start=0, stop=14),)

    Raises:
        UsageError: if the overlap is not shorter than the window, or a count is odd.
    """
    starts = _starts(latents, window, overlap)
    return tuple(LatentWindow(max(0, min(start, latents - window)), min(start + window, latents)) for start in starts)


def blend_weights(windows: Sequence[LatentWindow]) -> list[NDArray[np.float32]]:
    """Return the blend weights of each window, shape [count], float32, in (0, 1].

    Weights rise over the latents shared with the window before and fall over those shared with the next. The ramps are
    linear without 0 and 1: linspace(0, 1, shared + 2)[1:-1]. Where both ramps reach, the falling one counts, as in the
    reference. The weights of a latent do not add up to 1: divide the weighted sum by their sum.
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
