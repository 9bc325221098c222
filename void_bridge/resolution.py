"""Widths and heights as people write them: WIDTHxHEIGHT, everywhere.

The one exception is stored data: `canvas` of a job.json, and of a job on the wire, stays HEIGHTxWIDTH.
"""

from __future__ import annotations

import logging
import re
from typing import NamedTuple, Tuple

from void_bridge.errors import UsageError

log = logging.getLogger(__name__)

CANVAS_MULTIPLE = 16
_WRITTEN = re.compile(r"(\d{1,5})(w?)x(\d{1,5})(h?)")


class Resolution(NamedTuple):
    """The width and height of a picture, in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str, name: str = "size") -> Resolution:
        """Read WIDTHxHEIGHT, such as `1920x1080`.

        Args:
            text: the size as it was written.
            name: the option, for the message.

        Raises:
            UsageError: the text is no size.
        """
        return cls(*_numbers(text, name, "WIDTHxHEIGHT in pixels, such as 1920x1080", 1))

    @classmethod
    def parse_canvas(cls, text: str, name: str = "canvas") -> Resolution:
        """Read the frame of a model, such as `672x384`.

        The first version wrote a canvas as HEIGHTxWIDTH. A text whose first number is the smaller one is read in that
        order, with a warning; letters write a portrait canvas, `384wx672h`.

        Args:
            text: the canvas as it was written.
            name: the option, for the message.

        Raises:
            UsageError: the text is no size, or not in multiples of 16.
        """
        size = cls(
            *_numbers(text, name, "WIDTHxHEIGHT in multiples of 16 up to 99984, such as 672x384", CANVAS_MULTIPLE)
        )
        note = old_order_note(text, name)
        if not note:
            return size
        log.warning(note)
        return cls(size.height, size.width)

    @classmethod
    def from_stored(cls, text: str) -> Resolution:
        """Read the `canvas` of a job, HEIGHTxWIDTH.

        Raises:
            UsageError: the text is no size, or not in multiples of 16.
        """
        expected = "HEIGHTxWIDTH in multiples of 16, as jobs hold it, such as 384x672"
        height, width = _numbers(text, "canvas", expected, CANVAS_MULTIPLE)
        return cls(width, height)

    @property
    def shape(self) -> Tuple[int, int]:
        """Height and width, as arrays have them."""
        return self.height, self.width

    def stored(self) -> str:
        """Return the `canvas` of a job, HEIGHTxWIDTH."""
        return f"{self.height}x{self.width}"

    def canvas_text(self) -> str:
        """Return the text that `parse_canvas` reads as this size, with letters where it is a portrait."""
        return str(self) if self.width >= self.height else f"{self.width}wx{self.height}h"

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def old_order_note(text: str, name: str = "canvas") -> str:
    """Return a line that says how a canvas in the old order, HEIGHTxWIDTH, is read; empty for every other text.

    >>> old_order_note("384x672")
    'canvas: read 384x672 in the old order, height x width; write 672x384, or 384wx672h for a portrait'

    Args:
        text: the canvas as it was written.
        name: the option, for the line.
    """
    match = _WRITTEN.fullmatch(text.strip())
    if not match or match[2] or int(match[1]) >= int(match[3]):
        return ""
    first, second = int(match[1]), int(match[3])
    portrait = Resolution(first, second).canvas_text()
    return f"{name}: read {text} in the old order, height x width; write {second}x{first}, or {portrait} for a portrait"


def _numbers(text: str, name: str, expected: str, multiple: int) -> Tuple[int, int]:
    """Return the two numbers, each of them a multiple of `multiple` above 0."""
    match = _WRITTEN.fullmatch(text.strip())
    pair = (int(match[1]), int(match[3])) if match else (0, 0)
    if min(pair) < 1 or pair[0] % multiple or pair[1] % multiple:
        raise UsageError(f"{name}: got {text!r}, expected {expected}")
    return pair
