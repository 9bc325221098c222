"""Formats and frame ranges."""

from __future__ import annotations

import re
from typing import Any, Iterator, List, Optional, Union

from tests.hosts.fake_nuke.api import ApiObject, current

_RANGE = re.compile(r"(-?\d+)(?:-(-?\d+)(?:x(-?\d+))?)?")


class Format(ApiObject):
    """Width and height in pixels, and the width of a pixel over its height."""

    def __init__(self, width: int, height: int, pixelAspect: float = 1.0, name: str = "") -> None:
        self._width, self._height, self._aspect, self._name = int(width), int(height), float(pixelAspect), name

    @classmethod
    def _parse(cls, text: str) -> Format:
        """Read `1920 1080 1 name` or `1920 1080 0 0 1920 1080 1 name`. Raises ValueError."""
        words = text.split()
        numbers = [word for word in words if re.fullmatch(r"-?\d+(\.\d*)?", word)]
        if len(numbers) not in (2, 3, 6, 7):
            raise ValueError(f"got the format {text!r}, expected: width height [x y r t] [pixel aspect] [name]")
        aspect = float(numbers[-1]) if len(numbers) in (3, 7) else 1.0
        return cls(int(numbers[0]), int(numbers[1]), aspect, " ".join(words[len(numbers) :]))

    def _text(self) -> str:
        size = f"{self._width} {self._height}"
        return f"{size} 0 0 {size} {self._aspect:g} {self._name}".rstrip()

    def _key(self) -> tuple:  # type: ignore[type-arg]
        return self._width, self._height, round(self._aspect, 6)

    def width(self) -> int:
        return self._width

    def height(self) -> int:
        return self._height

    def pixelAspect(self) -> float:
        return self._aspect

    def name(self) -> Optional[str]:
        return self._name or None

    def setName(self, name: str) -> None:
        self._name = name

    def add(self, name: str) -> None:
        self._name = name
        current().formats.append(self)

    def x(self) -> int:
        return 0

    def y(self) -> int:
        return 0

    def r(self) -> int:
        return self._width

    def t(self) -> int:
        return self._height


class FrameRange(ApiObject):
    """`FrameRange("1-10x2")` or `FrameRange(first, last, increment)`."""

    def __init__(self, *args: Any) -> None:
        if len(args) == 1 and isinstance(args[0], str):
            found = _RANGE.fullmatch(args[0].strip())
            if not found:
                raise ValueError(f"got {args[0]!r}, expected a frame range such as 1-10x2")
            first = int(found[1])
            args = (first, int(found[2] or first), int(found[3] or 1))
        self._first, self._last, self._increment = (int(arg) for arg in (*args, 1)[:3])
        if self._increment == 0:
            raise ValueError("got a frame range with increment 0")

    def _frames(self) -> List[int]:
        step = self._increment
        return list(range(self._first, self._last + (1 if step > 0 else -1), step))

    def first(self) -> int:
        return self._first

    def last(self) -> int:
        return self._last

    def increment(self) -> int:
        return self._increment

    def frames(self) -> int:
        return len(self._frames())

    def getFrame(self, n: int) -> int:
        return self._frames()[n]

    def isInRange(self, n: int) -> bool:
        return n in self._frames()

    def minFrame(self) -> int:
        return min(self._first, self._last)

    def maxFrame(self) -> int:
        return max(self._first, self._last)

    def setFirst(self, n: int) -> None:
        self._first = n

    def setLast(self, n: int) -> None:
        self._last = n

    def setIncrement(self, n: int) -> None:
        self._increment = n

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames())

    def __str__(self) -> str:
        step = f"x{self._increment}" if self._increment != 1 else ""
        return f"{self._first}-{self._last}{step}"


class FrameRanges(ApiObject):
    """`FrameRanges("1-10 20-30x2")`, `FrameRanges([FrameRange, ...])` or `FrameRanges([1, 2, 5])`."""

    def __init__(self, ranges: Union[str, List[Any], None] = None) -> None:
        self._ranges: List[FrameRange] = []
        words = ranges.replace(",", " ").split() if isinstance(ranges, str) else list(ranges or [])
        for each in words:
            self._ranges.append(_as_range(each))

    def add(self, r: FrameRange) -> None:
        self._ranges.append(r)

    def clear(self) -> None:
        self._ranges.clear()

    def size(self) -> int:
        return len(self._ranges)

    def getRange(self, n: int) -> FrameRange:
        return self._ranges[n]

    def minFrame(self) -> int:
        return min(each._first for each in self._ranges)

    def maxFrame(self) -> int:
        return max(each._last for each in self._ranges)

    def toFrameList(self) -> List[int]:
        return [frame for each in self._ranges for frame in each._frames()]

    def __iter__(self) -> Iterator[FrameRange]:
        return iter(self._ranges)

    def __str__(self) -> str:
        return " ".join(str(each) for each in self._ranges)


def _as_range(value: Any) -> FrameRange:
    if isinstance(value, FrameRange):
        return value
    if isinstance(value, int):
        return FrameRange(value, value, 1)
    return FrameRange(value) if isinstance(value, str) else FrameRange(*value)


class Info(ApiObject):
    """What `bbox()` gives: corner and size in pixels, the origin at the bottom left."""

    def __init__(self, x: int, y: int, r: int, t: int) -> None:
        self._x, self._y, self._r, self._t = x, y, r, t

    def x(self) -> int:
        return self._x

    def y(self) -> int:
        return self._y

    def w(self) -> int:
        return self._r - self._x

    def h(self) -> int:
        return self._t - self._y
