"""Counts and sizes of latents: frames per latent, pixels per latent, windows, padding.

A latent holds four frames, the first latent only one: n latents are 1 + 4 (n - 1) frames. The transformer takes latents
in pairs, so their count is even.
"""

from __future__ import annotations

from typing import Literal

from void_bridge.errors import UsageError

LATENT_CHANNELS = 16
CELL = 8
"""Pixels of the canvas across one latent."""
FRAMES_A_LATENT = 4
WINDOW_LATENTS = 22
OVERLAP_LATENTS = 4
REFERENCE_SHORTEST = 85

Padding = Literal["even", "reference"]


def latent_count(frames: int) -> int:
    """Return the number of latents that hold so many frames.

    >>> latent_count(85), latent_count(1)
    (22, 1)
    """
    return 1 + (frames - 1 + FRAMES_A_LATENT - 1) // FRAMES_A_LATENT


def frame_count(latents: int) -> int:
    """Return the number of frames in so many latents.

    >>> frame_count(22)
    85
    """
    return 1 + FRAMES_A_LATENT * (latents - 1)


def padded_length(frames: int, padding: Padding = "even") -> int:
    """Return the number of frames that the model is given for a shot.

    Args:
        frames: number of frames of the shot.
        padding: "even" pads to the smallest even number of latents that holds the shot; "reference" pads to 85 frames
            at least, as the reference does.

    >>> padded_length(2), padded_length(5), padded_length(6), padded_length(60), padded_length(60, "reference")
    (5, 5, 13, 61, 85)
    """
    latents = latent_count(max(frames, REFERENCE_SHORTEST if padding == "reference" else 1))
    return frame_count(latents + latents % 2)


def latent_shape(canvas: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width in latents of a canvas.

    Args:
        canvas: height and width in pixels.

    Raises:
        UsageError: if a side is no multiple of 16. A patch of the transformer is 2 x 2 latents.
    """
    if min(canvas) < 2 * CELL or any(side % (2 * CELL) for side in canvas):
        raise UsageError(f"got a canvas of {canvas[1]}x{canvas[0]}, expected multiples of 16, such as 672x384")
    return canvas[0] // CELL, canvas[1] // CELL
