"""Nodes that make an image out of their inputs'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Optional

import numpy as np

from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.expressions import evaluate
from tests.hosts.fake_nuke.formats import Format
from tests.hosts.fake_nuke.graph.evaluate import Work, operation
from tests.hosts.fake_nuke.image import ALPHA, RGB, Box, Image, Plane
from tests.hosts.fake_nuke.layers import SHORT
from tests.hosts.fake_nuke.scope import NodeScope

_LETTERS = {"r": "rgba.red", "g": "rgba.green", "b": "rgba.blue", "a": "rgba.alpha", **SHORT}


@operation("Dot", "NoOp", "Output", "Viewer", "Write")
def through(work: Work) -> Image:
    return work.input(0)


@operation("Copy")
def copy(work: Work) -> Image:
    below, above = work.input(0), work.input(1)
    _refuse_mask(work, 2)
    image = below.over(_box(work, below, above))
    planes = {name: above.plane(name, image.box) for name in work.channels("channels", list(above.channels))}
    for index in range(4):
        source, target = work.channel(f"from{index}"), work.channel(f"to{index}")
        if source and target:
            planes[target] = above.plane(source, image.box)
    return image.with_channels(planes)


@operation("Keymix")
def keymix(work: Work) -> Image:
    below, above = work.input(0), work.input(1)
    box = _box(work, below, above)
    image = below.over(box)
    weight = _keymix_weight(work, box)
    planes = {}
    for name in work.channels("channels", list(dict.fromkeys([*below.channels, *above.channels]))):
        if name in below.channels or name in above.channels:
            planes[name] = _mixed(below.plane(name, box), above.plane(name, box), weight)
    return image.with_channels(planes)


def _keymix_weight(work: Work, box: Box) -> Plane:
    name = work.channel("maskChannel")
    if name is None:
        weight = np.ones(box.shape, np.float32)
    elif not work.has(2):
        raise work.error("the fake wants the mask of a Keymix connected")
    else:
        weight = np.clip(work.input(2).plane(name, box), 0, 1)
    if work.flag("invertMask"):
        weight = 1 - weight
    return (weight * work.number("mix")).astype(np.float32)


def _mixed(below: Plane, above: Plane, weight: Plane) -> Plane:
    """Mix two planes; exact where the weight is 0 or 1, also if the other side is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        between = below * (1 - weight) + above * weight
    return np.where(weight == 0, below, np.where(weight == 1, above, between))


@operation("Switch")
def switch(work: Work) -> Image:
    """Compute only the chosen input."""
    last = max((index for index, node in work.node._inputs.items() if node is not None), default=0)
    return work.input(min(max(int(work.number("which")), 0), last))


@operation("Assert")
def check(work: Work) -> Image:
    if not work.number("expression"):
        raise RuntimeError(work.text("message"))
    return work.input(0)


@operation("Expression")
def expression(work: Work) -> Image:
    below = work.input(0)
    _refuse_mask(work, 1)
    if any(work.text(f"temp_name{index}") for index in range(4)):
        raise work.error("the fake has no temporary variables in an Expression")
    planes: Dict[str, Plane] = {}
    for index in range(4):
        text = work.knob(f"expr{index}")._state
        if text:
            value = evaluate(text, _PixelScope(work, below))
            for name in work.channels(f"channel{index}", list(below.channels)):
                planes[name] = np.broadcast_to(np.asarray(value, np.float32), below.box.shape).copy()
    return below.with_channels(planes)


class _PixelScope(NodeScope):
    """Channels by letter, name or `layer.channel`, then pixel positions, then knobs."""

    def __init__(self, work: Work, image: Image) -> None:
        super().__init__(work.node, work.frame, work.view)
        self._image = image

    def value(self, name: str) -> Any:
        channel = _LETTERS.get(name, name)
        if channel in self._image.channels or current().layers.full(channel):
            return self._image.plane(channel, self._image.box)
        if name in ("x", "y"):
            height, width = self._image.box.shape
            rows, columns = np.indices((height, width), np.float32)
            return columns + self._image.box.x if name == "x" else self._image.box.t - 1 - rows
        return super().value(name)


@operation("Grade")
def grade(work: Work) -> Image:
    """Multiply and add, and the clamps; the rest has to stay at its default."""
    _refuse_mask(work, 1)
    for knob, neutral in (("black", 0), ("white", 1), ("blackpoint", 0), ("whitepoint", 1), ("gamma", 1)):
        if set(work.numbers(knob)) != {neutral}:
            raise work.error(f"the fake computes multiply and add only, not {knob}")
    image = work.input(0)
    gain, lift = (dict(zip((*RGB, ALPHA), work.numbers(knob))) for knob in ("multiply", "add"))
    planes = {}
    for name in work.channels("channels", list(image.channels)):
        if name in image.channels:
            plane = image.channels[name] * np.float32(gain.get(name, 1.0)) + np.float32(lift.get(name, 0.0))
            plane = np.maximum(plane, 0) if work.flag("black_clamp") else plane
            planes[name] = np.minimum(plane, 1) if work.flag("white_clamp") else plane
    return image.with_channels(planes)


@operation("Invert")
def invert(work: Work) -> Image:
    _refuse_mask(work, 1)
    image = work.input(0)
    names = [name for name in work.channels("channels", list(image.channels)) if name in image.channels]
    return image.with_channels({name: 1 - image.channels[name] for name in names})


@operation("Crop")
def crop(work: Work) -> Image:
    if max(work.numbers("softness")) >= 0.01:
        raise work.error("the fake computes no soft Crop")
    image = work.input(0)
    box = Box(*(int(edge) for edge in work.numbers("box")))
    cut = image.over(box.cut(image.box) if work.flag("intersect") else box)
    if not work.flag("reformat"):
        return cut
    moved = Box(cut.box.x - box.x, cut.box.y - box.y, cut.box.r - box.x, cut.box.t - box.y)
    return replace(cut, box=moved, format=Format(box.r - box.x, box.t - box.y, image.format._aspect))


@operation("TimeOffset")
def time_offset(work: Work) -> Image:
    work.require("reverse_input", "false")
    return work.input(0, frame=work.frame - work.number("time_offset"))


@operation("Remove")
def remove(work: Work) -> Image:
    image = work.input(0)
    named = work.channels("channels", list(image.channels))
    keep = work.text("operation") == "keep"
    return image.only([name for name in image.channels if (name in named) == keep])


@operation("JoinViews")
def join_views(work: Work) -> Image:
    return work.input(current().views.index(work.view))


@operation("Input")
def group_input(work: Work) -> Image:
    """Return the image that is connected to the group's input of this node's number."""
    group: Any = work.node._group
    index = group._input_nodes().index(work.node) if group._group is not None else -1
    return Work(work.evaluator, group, work.frame, work.view).input(index)


@operation("Group")
def group(work: Work) -> Image:
    inside: Any = work.node
    output: Optional[Any] = inside._output_node()
    if output is None:
        raise work.error("the group has no Output")
    return work.evaluator.image(output, work.frame, work.view)


def _box(work: Work, below: Image, above: Image) -> Box:
    side = work.text("bbox")
    if side == "union":
        return below.box.united(above.box)
    return {"B": below.box, "A": above.box, "intersection": below.box.cut(above.box)}[side]


def _refuse_mask(work: Work, index: int) -> None:
    if work.has(index):
        raise work.error("the fake computes no mask here")
