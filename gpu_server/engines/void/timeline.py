"""The frames of a clip that the model is given, and their order.

A clip is sampled at the model's frame rate, then padded to a length that the model takes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from gpu_server.engines.void.latent_geometry import Padding, latent_count, padded_length

TRAINED_FPS = 12
"""Frame rate of the training clips. At that rate objects fall at the speed that the model has learned."""


@dataclass(frozen=True)
class Timeline:
    """The frames that the model is given of a clip.

    Attributes:
        sampled: indices into the clip, ascending; the first and the last frame are among them.
        order: positions in `sampled`, padded by going back and forth. The first `len(sampled)` are the sampled frames
            themselves; results for the others are dropped.
    """

    sampled: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def latents(self) -> int:
        """The number of latents of the padded clip."""
        return latent_count(len(self.order))

    def neighbours(self, index: int) -> tuple[int, int, float]:
        """Return the sampled frames around a frame of the clip.

        Args:
            index: of the frame in the clip.

        Returns:
            Positions in `sampled` of the frames before and after, and how far `index` is from one to the other, in
            [0, 1). For a sampled frame both positions are its own.
        """
        before = bisect_right(self.sampled, index) - 1
        if self.sampled[before] == index:
            return before, before, 0.0
        start, stop = self.sampled[before], self.sampled[before + 1]
        return before, before + 1, (index - start) / (stop - start)


def make_timeline(frames: int, rate: Fraction, model_fps: Literal["native", "12"], padding: Padding) -> Timeline:
    """Return the timeline of a clip.

    Args:
        frames: number of frames of the clip, including the pre-roll.
        rate: of the clip, in frames a second.
        model_fps: frame rate of what the model is given; see `sampled_frames`.
        padding: see `padded_length`.
    """
    sampled = sampled_frames(frames, rate, model_fps)
    return Timeline(sampled, ping_pong(len(sampled), padded_length(len(sampled), padding)))


def sampled_frames(frames: int, rate: Fraction, model_fps: Literal["native", "12"]) -> tuple[int, ...]:
    """Return the indices of the frames that the model is given, evenly spread, the first and the last included.

    Args:
        frames: number of frames of the clip.
        rate: of the clip, in frames a second.
        model_fps: "native" gives every frame; so does "12" if `rate` is 12 or less.

    >>> sampled_frames(9, Fraction(24), "12"), sampled_frames(8, Fraction(24), "12")
    ((0, 2, 4, 6, 8), (0, 2, 4, 5, 7))
    >>> sampled_frames(3, Fraction(12), "12"), sampled_frames(3, Fraction(24), "native")
    ((0, 1, 2), (0, 1, 2))
    """
    if model_fps == "native" or rate <= TRAINED_FPS or frames < 3:
        return tuple(range(frames))
    steps = max(1, round(Fraction(frames - 1) * TRAINED_FPS / rate))
    return tuple(round(Fraction(i * (frames - 1), steps)) for i in range(steps + 1))


def ping_pong(frames: int, length: int) -> tuple[int, ...]:
    """Return the indices of frames played back and forth up to a length, as the reference pads.

    Both end frames are repeated where the direction changes.

    >>> ping_pong(3, 8)
    (0, 1, 2, 2, 1, 0, 0, 1)
    """
    there_and_back = (*range(frames), *reversed(range(frames)))
    return tuple(there_and_back[i % len(there_and_back)] for i in range(length))
