"""Options of the VOID engine's benchmarks, for both command lines. Nothing here imports torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from void_bridge.errors import UsageError
from void_bridge.resolution import Resolution

Size = tuple[int, int]
"""Height and width in pixels."""

FULL_RUN: tuple[Size, int] = (384, 672), 85
SMALL_RUN: tuple[Size, int] = (48, 80), 13


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser or a group of one."""
    parser.add_argument("--models", type=Path, metavar="DIR", help="measure the weights in this models folder")
    parser.add_argument(
        "--random-weights",
        action="store_true",
        help="measure random weights: of the published size on a GPU (45 GB of disk with the jobs), else tiny ones",
    )
    parser.add_argument(
        "--size", type=canvas_size, metavar="WIDTHxHEIGHT", help="canvas (default: 672x384; on a CPU 80x48)"
    )
    parser.add_argument("--frames", type=frame_count, metavar="N", help="number of frames (default: 85; on a CPU 13)")


def canvas_size(text: str) -> Size:
    """Return the height and width of a canvas.

    >>> canvas_size("672x384")
    (384, 672)

    Raises:
        ArgumentTypeError: the text is no size, or not in multiples of 16.
    """
    try:
        return Resolution.parse_canvas(text).shape
    except UsageError as exc:
        raise argparse.ArgumentTypeError(exc.message) from exc


def frame_count(text: str) -> int:
    """Return a number of frames.

    >>> frame_count("85")
    85

    Raises:
        ArgumentTypeError: the text is no number above 0.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of frames, 1 or more")
    return int(text)


def run_size(options: argparse.Namespace, on_gpu: bool) -> tuple[Size, int]:
    """Return the canvas and the frames that were asked for, or defaults that suit the device."""
    canvas, frames = FULL_RUN if on_gpu else SMALL_RUN
    return options.size or canvas, options.frames or frames
