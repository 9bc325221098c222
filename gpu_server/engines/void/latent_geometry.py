"""Counts of the model: frames and latents, padding, canvas.

A latent holds four frames, the first one alone: n latents are 1 + 4 (n - 1) frames. The transformer takes latents in
pairs, so that their count is even.
"""

from __future__ import annotations

from typing import Literal

from void_bridge.errors import UsageError

LATENT_CHANNELS = 16
CELL = 8
"""Pixels of the canvas across one latent."""
FRAMES_A_LATENT = 4
WINDOW_LATENTS = 22
WINDOW_FRAMES = 85
OVERLAP_LATENTS = 4
REFERENCE_SHORTEST = 85

Padding = Literal["even", "reference"]


def latent_count(frames: int) -> int:
    """
    >>> latent_count(85), latent_count(1)
    (22, 1)
    """
    return 1 + (frames - 1 + FRAMES_A_LATENT - 1) // FRAMES_A_LATENT


def frame_count(latents: int) -> int:
    """
    >>> frame_count(22)
    85
    """
    return 1 + FRAMES_A_LATENT * (latents - 1)


def padded_length(frames: int, padding: Padding = "even") -> int:
    """The frames that the model is given: an even count of latents, as few as hold the shot.

    `reference` pads to 85 at least, as the reference does.

    >>> padded_length(2), padded_length(5), padded_length(6), padded_length(60), padded_length(60, "reference")
    (5, 5, 13, 61, 85)
    """
    latents = latent_count(max(frames, REFERENCE_SHORTEST if padding == "reference" else 1))
    return frame_count(latents + latents % 2)


def ping_pong(frames: int, length: int) -> tuple[int, ...]:
    """Indices of the frames that fill `length`: to and fro, the end frame twice, as the reference pads.

    >>> ping_pong(3, 8)
    (0, 1, 2, 2, 1, 0, 0, 1)
    """
    there_and_back = (*range(frames), *reversed(range(frames)))
    return tuple(there_and_back[i % len(there_and_back)] for i in range(length))


def latent_shape(canvas: tuple[int, int]) -> tuple[int, int]:
    """Height and width in latents of a canvas, in pixels.

    Raises:
        UsageError: the model takes multiples of 16 alone: a patch of its transformer is 2 x 2 latents.
    """
    if min(canvas) < 2 * CELL or any(side % (2 * CELL) for side in canvas):
        raise UsageError(f"got a canvas of {canvas[0]}x{canvas[1]}, expected multiples of 16, such as 384x672")
    return canvas[0] // CELL, canvas[1] // CELL
