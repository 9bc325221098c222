"""Which frames of a clip the model is shown, and in which order."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from gpu_server.engines.void.frame_interpolation import sampled_frames
from gpu_server.engines.void.latent_geometry import Padding, latent_count, padded_length, ping_pong


@dataclass(frozen=True)
class Timeline:
    """sampled: indices into the clip, ascending, both ends among them.

    order: places in `sampled`, filled up to and fro to a length that the model takes. The first `len(sampled)` are
    those of the clip; what the model makes of the others is dropped.
    """

    sampled: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def latents(self) -> int:
        return latent_count(len(self.order))

    def around(self, index: int) -> tuple[int, int, float]:
        """Places in `sampled` before and behind an index of the clip, and how far it is from one to the other."""
        before = bisect_right(self.sampled, index) - 1
        if self.sampled[before] == index:
            return before, before, 0.0
        start, stop = self.sampled[before], self.sampled[before + 1]
        return before, before + 1, (index - start) / (stop - start)


def make_timeline(frames: int, rate: Fraction, model_fps: Literal["native", "12"], padding: Padding) -> Timeline:
    """
    Args:
        frames: of the clip, the pre-roll among them.
        rate: of the clip, in frames a second.
    """
    shown = sampled_frames(frames, rate, model_fps)
    return Timeline(shown, ping_pong(len(shown), padded_length(len(shown), padding)))
