"""Nodes that make an image out of nothing."""

from __future__ import annotations

from typing import Optional

import numpy as np

from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.graph.evaluate import Work, operation
from tests.hosts.fake_nuke.image import ALPHA, RGB, Box, Image, black, format_box


@operation("Constant")
def constant(work: Work) -> Image:
    fmt = work.knob("format")._format()
    colour = dict(zip((*RGB, ALPHA), work.numbers("color")))
    box = format_box(fmt)
    names = work.channels("channels", [])
    return Image({name: np.full(box.shape, colour.get(name, 0.0), np.float32) for name in names}, box, fmt)


@operation("Roto")
def roto(work: Work) -> Image:
    """Draw the boxes that a test gave to `FakeNuke.draw`; the fake knows no other shapes."""
    below = work.input(0) if work.has(0) else black(work.knob("format")._format(), ())
    drawn = _drawn(work)
    if drawn is None:
        names = work.channels("output", [])
        return below.with_channels({name: below.plane(name, below.box) for name in names})
    if work.text("cliptype") == "format":
        drawn = drawn.cut(format_box(below.format))
    image = below.over(below.box.united(drawn))
    colour = dict(zip((*RGB, ALPHA), work.numbers("color")))
    planes = {}
    for name in work.channels("output", []):
        plane = image.plane(name, image.box)
        rows, columns = image.box.t - drawn.t, drawn.x - image.box.x
        height, width = drawn.shape
        plane[rows : rows + height, columns : columns + width] = colour.get(name, 1.0) * work.number("opacity")
        planes[name] = plane
    return image.with_channels(planes)


def _drawn(work: Work) -> Optional[Box]:
    boxes = current().drawings.get(work.node._drawing)
    if boxes is None:
        return None
    found = boxes(int(work.frame)) if callable(boxes) else boxes.get(int(work.frame))
    return Box(*found) if found is not None else None
