"""Boxes of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Tuple


@dataclass(frozen=True)
class Box:
    """Rows `y0:y1` and columns `x0:x1`, half open, in pixels; negative values are possible for EXR windows.

    An EXR window with inclusive corners (xmin, ymin)-(xmax, ymax) is Box(ymin, xmin, ymax + 1, xmax + 1).
    """

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def height(self) -> int:
        """The number of rows."""
        return max(0, self.y1 - self.y0)

    @property
    def width(self) -> int:
        """The number of columns."""
        return max(0, self.x1 - self.x0)

    @property
    def shape(self) -> Tuple[int, int]:
        """The height and the width."""
        return self.height, self.width

    @property
    def empty(self) -> bool:
        """Whether the box holds no pixel."""
        return self.y1 <= self.y0 or self.x1 <= self.x0

    @property
    def slices(self) -> Tuple[slice, slice]:
        """The rows and the columns as slices of an array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grown(self, pixels: int) -> Box:
        """Return the box with a border of so many pixels on each side."""
        return Box(self.y0 - pixels, self.x0 - pixels, self.y1 + pixels, self.x1 + pixels)

    def moved(self, rows: int, columns: int) -> Box:
        """Return the box so many rows down and columns to the right."""
        return Box(self.y0 + rows, self.x0 + columns, self.y1 + rows, self.x1 + columns)

    def relative_to(self, outer: Box) -> Box:
        """Return the box counted from the corner of `outer`, as its slices in an array that holds `outer`."""
        return self.moved(-outer.y0, -outer.x0)

    def __and__(self, other: Box) -> Box:
        """Return the pixels that both boxes hold."""
        return Box(max(self.y0, other.y0), max(self.x0, other.x0), min(self.y1, other.y1), min(self.x1, other.x1))

    def __or__(self, other: Box) -> Box:
        """Return the smallest box around both; an empty box counts for nothing."""
        if self.empty or other.empty:
            return other if self.empty else self
        return Box(min(self.y0, other.y0), min(self.x0, other.x0), max(self.y1, other.y1), max(self.x1, other.x1))

    @staticmethod
    def around(boxes: Iterable[Box]) -> Box:
        """Return the smallest box around all boxes."""
        result = Box(0, 0, 0, 0)
        for box in boxes:
            result = result | box
        return result
