"""Images as the graph computes them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, NamedTuple, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.hosts.fake_nuke.formats import Format

Plane = NDArray[np.float32]
RGB = ("rgba.red", "rgba.green", "rgba.blue")
ALPHA = "rgba.alpha"


class Box(NamedTuple):
    """Pixels x to r and y to t, the last exclusive; the origin is the bottom left corner of the format."""

    x: int
    y: int
    r: int
    t: int

    @property
    def shape(self) -> tuple[int, int]:
        return max(0, self.t - self.y), max(0, self.r - self.x)

    def grown(self, pixels: int) -> Box:
        return Box(self.x - pixels, self.y - pixels, self.r + pixels, self.t + pixels)

    def united(self, other: Box) -> Box:
        if 0 in self.shape or 0 in other.shape:
            return other if 0 in self.shape else self
        return Box(min(self.x, other.x), min(self.y, other.y), max(self.r, other.r), max(self.t, other.t))

    def cut(self, other: Box) -> Box:
        x, y = max(self.x, other.x), max(self.y, other.y)
        return Box(x, y, max(x, min(self.r, other.r)), max(y, min(self.t, other.t)))


@dataclass
class Image:
    """One frame of one view.

    channels: `layer.channel` -> float32, shape [box height, box width], top row first, as in an EXR file.
    box: the bounding box. Outside it everything is 0 (Nuke repeats the edge unless `black_outside`; the fake does not).
    black_outside: the outermost pixels of the box are black and were only added to say so.
    """

    channels: Dict[str, Plane]
    box: Box
    format: Format
    metadata: Dict[str, Any] = field(default_factory=dict)
    black_outside: bool = False

    def plane(self, name: str, box: Any = None) -> Plane:
        """Return one channel over a box, by default over the format; 0 outside the image."""
        area = Box(*box) if box is not None else format_box(self.format)
        result = np.zeros(area.shape, np.float32)
        found, common = self.channels.get(name), area.cut(self.box)
        if found is not None and 0 not in common.shape:
            result[_rows(common, area)] = found[_rows(common, self.box)]
        return result

    def rgb(self) -> Plane:
        """Return red, green and blue over the format. Shape: [height, width, 3]."""
        return np.stack([self.plane(name) for name in RGB], axis=-1)

    def over(self, box: Box) -> Image:
        """Return the same image with another bounding box."""
        channels = {name: self.plane(name, box) for name in self.channels}
        return replace(self, channels=channels, box=box, black_outside=self.black_outside and box == self.box)

    def with_channels(self, channels: Dict[str, Plane]) -> Image:
        """Return the image with these channels in place of, or besides, its own."""
        return replace(self, channels={**self.channels, **{n: p.astype(np.float32) for n, p in channels.items()}})

    def only(self, names: Sequence[str]) -> Image:
        return replace(self, channels={name: self.channels[name] for name in self.channels if name in names})


def format_box(fmt: Format) -> Box:
    return Box(0, 0, fmt._width, fmt._height)


def black(fmt: Format, names: Sequence[str] = (*RGB, ALPHA)) -> Image:
    box = format_box(fmt)
    return Image({name: np.zeros(box.shape, np.float32) for name in names}, box, fmt)


def _rows(part: Box, whole: Box) -> tuple[slice, slice]:
    """Return the slices of `part` in an array that holds `whole`, top row first."""
    return slice(whole.t - part.t, whole.t - part.y), slice(part.x - whole.x, part.r - whole.x)
