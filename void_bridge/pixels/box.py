"""Boxes of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Tuple


@dataclass(frozen=True)
class Box:
    """Rows `y0:y1` and columns `x0:x1`, half open, in pixels; may be negative where it is an EXR window.

    An EXR window with inclusive corners (xmin, ymin)-(xmax, ymax) is Box(ymin, xmin, ymax + 1, xmax + 1).
    """

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def height(self) -> int:
        return max(0, self.y1 - self.y0)

    @property
    def width(self) -> int:
        return max(0, self.x1 - self.x0)

    @property
    def shape(self) -> Tuple[int, int]:
        return self.height, self.width

    @property
    def empty(self) -> bool:
        return self.y1 <= self.y0 or self.x1 <= self.x0

    @property
    def slices(self) -> Tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grown(self, pixels: int) -> Box:
        return Box(self.y0 - pixels, self.x0 - pixels, self.y1 + pixels, self.x1 + pixels)

    def moved(self, rows: int, columns: int) -> Box:
        return Box(self.y0 + rows, self.x0 + columns, self.y1 + rows, self.x1 + columns)

    def relative_to(self, outer: Box) -> Box:
        """The same box counted from the corner of `outer`, as slices of an array that holds `outer`."""
        return self.moved(-outer.y0, -outer.x0)

    def __and__(self, other: Box) -> Box:
        return Box(max(self.y0, other.y0), max(self.x0, other.x0), min(self.y1, other.y1), min(self.x1, other.x1))

    def __or__(self, other: Box) -> Box:
        """The smallest box around both; an empty one counts for nothing."""
        if self.empty or other.empty:
            return other if self.empty else self
        return Box(min(self.y0, other.y0), min(self.x0, other.x0), max(self.y1, other.y1), max(self.x1, other.x1))

    @staticmethod
    def around(boxes: Iterable[Box]) -> Box:
        result = Box(0, 0, 0, 0)
        for box in boxes:
            result = result | box
        return result
