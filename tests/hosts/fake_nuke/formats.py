"""Formats."""

from __future__ import annotations

import re

from tests.hosts.fake_nuke.api import ApiObject


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

    def width(self) -> int:
        return self._width

    def height(self) -> int:
        return self._height

    def pixelAspect(self) -> float:
        return self._aspect
