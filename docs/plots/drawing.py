"""Flat drawings of shots with their mattes, for docs/artists/removing.md; recipes.py has the shots.

Everything is placed in units of the drawing: 150 across, 100 down, from the upper left corner.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.patheffects import withStroke

from void_bridge.pixels.arrays import Picture
from void_bridge.pixels.matte_preview import overlay
from void_bridge.pixels.mattes import MattePlanes, Plane, paste_matte

WIDTH, HEIGHT = 150, 100
SCALE = 6  # pixels of a picture to a unit
IMAGES = Path(__file__).parents[1] / "images"
INK, MUTED, PAPER = "#1f2430", "#6b7280", "#ffffff"
LEGEND = (
    ("remove", (235, 30, 45)),
    ("affected", (255, 214, 0)),
    ("remove and affected", (255, 120, 0)),
    ("keep", (40, 200, 80)),
)
_SHIFT = 4  # bits of a fraction of a pixel, for OpenCV
_CASED: dict[str, Any] = {"path_effects": [withStroke(linewidth=4.5, foreground="white")]}
_LEGEND_SHARE = 8  # of a picture, below it, where overlay() writes its own legend

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Area:
    """A polygon."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Limb:
    """A line with round ends."""

    points: tuple[Point, ...]
    width: float


@dataclass(frozen=True)
class Disc:
    """A filled circle."""

    centre: Point
    radius: float


Shape = Area | Limb | Disc


def sheet(colour: Colour) -> Picture:
    """Return a picture of one colour, shape [H, W, 3]."""
    return np.full((HEIGHT * SCALE, WIDTH * SCALE, 3), colour, np.uint8)


def rectangle(left: float, top: float, right: float, bottom: float) -> Area:
    """Return a rectangle by its sides."""
    return Area(((left, top), (right, top), (right, bottom), (left, bottom)))


def oval(x: float, y: float, across: float, down: float) -> Area:
    """Return an ellipse by its centre and its two radii."""
    turns = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    return Area(tuple((x + across * math.cos(t), y + down * math.sin(t)) for t in turns))


def paint(picture: NDArray[np.uint8], colour: Sequence[int], *shapes: Shape) -> None:
    """Fill shapes of a picture in place.

    Args:
        picture: shape [H, W, 3] or [H, W].
        colour: three values, or one.
        shapes: the shapes.
    """
    for shape in shapes:
        if isinstance(shape, Area):
            cv2.fillPoly(picture, [_fixed(shape.points)], colour, cv2.LINE_AA, _SHIFT)
        elif isinstance(shape, Disc):
            (x, y), radius = _fixed([shape.centre])[0], round(shape.radius * SCALE * 2**_SHIFT)
            cv2.circle(picture, (int(x), int(y)), radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        else:
            width = max(1, round(shape.width * SCALE))
            cv2.polylines(picture, [_fixed(shape.points)], False, colour, width, cv2.LINE_AA, _SHIFT)


def matte(*shapes: Shape) -> Plane:
    """Return the area that shapes cover, shape [H, W], in [0, 1]."""
    covered = np.zeros((HEIGHT * SCALE, WIDTH * SCALE), np.uint8)
    paint(covered, (255,), *shapes)
    return np.asarray(covered / np.float32(255), np.float32)


def generous(plane: Plane, units: float) -> Plane:
    """Return a matte that is grown by a distance, as if it were drawn with room around it."""
    size = 2 * round(units * SCALE) + 1
    return np.asarray(cv2.dilate(plane, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))), np.float32)


def rim(plane: Plane, units: float = 0.5) -> Plane:
    """Return a line around the area that a matte covers."""
    return generous(plane, units) - plane


def moved(plane: Plane, right: float) -> Plane:
    """Return a matte that is moved to the right."""
    return _warped(plane, [[1, 0, right * SCALE], [0, 1, 0]])


def laid_down(plane: Plane, floor: float, aside: float, down: float) -> Plane:
    """Lay the matte of an object that stands on a floor down onto it: a shadow, or a reflection if `aside` is 0.

    Args:
        plane: the object's matte, shape [H, W].
        floor: the height of its feet.
        aside: units to the right for each unit of height.
        down: units down for each unit of height.
    """
    y = floor * SCALE
    return _warped(plane, [[1, -aside, aside * y], [0, -down, (1 + down) * y]])


def _warped(plane: Plane, matrix: list[list[float]]) -> Plane:
    """Return a matte under an affine map, shape [2, 3], of pixels."""
    size = (plane.shape[1], plane.shape[0])
    return np.asarray(cv2.warpAffine(plane, np.array(matrix, np.float64), size, flags=cv2.INTER_LINEAR), np.float32)


def blend(picture: Picture, colour: Picture | Colour, plane: Plane, share: float) -> Picture:
    """Mix a share of a colour, or of another picture, into a picture inside a matte.

    Args:
        picture: shape [H, W, 3].
        colour: the colour, or a picture of the same shape.
        plane: the matte, shape [H, W], in [0, 1].
        share: the share, in [0, 1].
    """
    weight = (share * plane)[..., np.newaxis]
    mixed = picture * (1 - weight) + np.asarray(colour, np.float32) * weight
    return np.asarray(np.rint(mixed), np.uint8)


def with_mattes(
    picture: Picture,
    remove: Plane | None = None,
    affected: Plane | None = None,
    keep: Plane | None = None,
    dilate: int = 0,
    outlined: bool = False,
) -> Picture:
    """Draw mattes over a picture as `Preview quadmask` does, without its legend.

    Args:
        picture: shape [H, W, 3].
        remove: the matte of the object.
        affected: the matte of its effects.
        keep: the matte of the foreground.
        dilate: growth of the paste matte, in units.
        outlined: whether to outline the paste matte.
    """
    below = picture.shape[0] // _LEGEND_SHARE
    planes = [None if each is None else np.pad(each, ((0, below), (0, 0))) for each in (remove, affected, keep)]
    taller = np.pad(picture, ((0, below), (0, 0), (0, 0)))
    mattes = MattePlanes((taller.shape[0], taller.shape[1]), *planes)
    paste = paste_matte(mattes, dilate * SCALE) if outlined else None
    return overlay(taller, mattes, paste)[: picture.shape[0]]


def person(x: float, floor: float, height: float) -> list[Shape]:
    """Return a person who stands and faces the camera, without arms."""
    shoulder, hip, wide = floor - 0.79 * height, floor - 0.47 * height, 0.1 * height
    shapes: list[Shape] = [
        Disc((x, floor - 0.925 * height), 0.075 * height),
        Limb(((x, floor - 0.87 * height), (x, shoulder)), 0.6 * wide),
        Limb(((x - 0.75 * wide, shoulder + 0.3 * wide), (x + 0.75 * wide, shoulder + 0.3 * wide)), 0.8 * wide),
        Area(((x - wide, shoulder), (x + wide, shoulder), (x + 0.85 * wide, hip), (x - 0.85 * wide, hip))),
    ]
    for side in (-1, 1):
        ankle = (x + side * 0.75 * wide, floor - 0.02 * height)
        shapes.append(Limb(((x + side * 0.42 * wide, hip), ankle), 0.9 * wide))
        shapes.append(Limb((ankle, (ankle[0] + side * 0.4 * wide, ankle[1])), 0.55 * wide))
    return shapes


def walker(x: float, floor: float, height: float, step: float) -> list[Shape]:
    """Return a walking person from the side; a positive step goes to the right, a negative one to the left."""
    direction = math.copysign(1, step)
    shoulder, hip, thick = floor - 0.78 * height, floor - 0.48 * height, 0.1 * height
    shapes: list[Shape] = [
        Disc((x + direction * 0.03 * height, floor - 0.925 * height), 0.075 * height),
        Limb(((x + direction * 0.015 * height, floor - 0.87 * height), (x, shoulder)), 0.6 * thick),
        Limb(((x, shoulder), (x, hip)), 1.5 * thick),
    ]
    for side in (-1, 1):
        foot = (x + side * step / 2, floor - 0.02 * height)
        knee = (x + side * step / 4 + direction * 0.03 * height, floor - 0.26 * height)
        shapes.append(Limb(((x, hip), knee, foot), thick))
        shapes.append(Limb((foot, (foot[0] + direction * 0.06 * height, foot[1])), 0.6 * thick))
        hand = (x - side * step * 0.42 + direction * 0.04 * height, floor - 0.47 * height)
        elbow = (x - side * step * 0.32 - direction * 0.02 * height, floor - 0.6 * height)
        shapes.append(Limb(((x, shoulder + 0.01 * height), elbow, hand), 0.65 * thick))
    return shapes


def turned(points: Iterable[Point], x: float, y: float, degrees: float, size: float) -> tuple[Point, ...]:
    """Return points around (0, 0) scaled, rotated clockwise and moved to (x, y)."""
    c, s = math.cos(math.radians(degrees)) * size, math.sin(math.radians(degrees)) * size
    return tuple((x + px * c - py * s, y + px * s + py * c) for px, py in points)


class Page:
    """A picture for the documentation: panels, with texts between them. Positions are pixels from the upper left."""

    def __init__(self, width: int, height: int) -> None:
        plt.rcParams.update({"font.size": 11, "font.family": "DejaVu Sans", "text.color": INK})
        self.width, self.height = width, height
        self.figure: Figure = plt.figure(figsize=(width / 100, height / 100), dpi=100, facecolor=PAPER)

    def panel(self, picture: Picture, left: int, top: int, width: int) -> Axes:
        """Add a picture and return its axes, which are in units of the drawing."""
        height = width * HEIGHT // WIDTH
        rect = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(rect)
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        axes.imshow(small, extent=(0, WIDTH, HEIGHT, 0), interpolation="none", aspect="auto")
        axes.set(xticks=[], yticks=[], xlim=(0, WIDTH), ylim=(HEIGHT, 0))
        for spine in axes.spines.values():
            spine.set_color("#c9ced6")
        return axes

    def text(self, text: str, left: float, top: float, **style: Any) -> None:
        """Add a text; `style` goes to matplotlib."""
        position = (left / self.width, 1 - top / self.height)
        self.figure.text(*position, text, **{"ha": "left", "va": "top", **style})

    def legend(self, entries: Iterable[tuple[str, Colour]], left: float, top: float) -> None:
        """Add a legend in one line."""
        for label, colour in entries:
            corner = (left / self.width, 1 - (top + 15) / self.height)
            fill, edge = (tuple(each / 255 for each in colour), INK if colour == (255, 255, 255) else "none")
            size = (15 / self.width, 15 / self.height)
            self.figure.patches.append(
                Rectangle(corner, *size, facecolor=fill, edgecolor=edge, transform=self.figure.transFigure)
            )
            self.text(label, left + 22, top, fontsize=11)
            left += 22 + 8 * len(label) + 30

    def save(self, name: str) -> None:
        """Write the picture as PNG of 256 colours."""
        IMAGES.mkdir(exist_ok=True)
        drawn = io.BytesIO()
        self.figure.savefig(drawn)
        plt.close(self.figure)
        few = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(IMAGES / name, optimize=True)


def callout(axes: Axes, text: str, at: Point, to: Point | None = None) -> None:
    """Add a text on a white label, with an arrow to the place that it describes."""
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "none"}
    axes.text(*at, text, ha="center", va="center", fontsize=10, bbox=box, zorder=5)
    if to is not None:
        line = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0, **_CASED}
        axes.annotate("", to, at, arrowprops=line, zorder=4)


def arrow(page: Page, source: Axes, at: Point, goal: Axes, to: Point) -> None:
    """Add an arrow from a place in one panel to a place in another."""
    page.figure.add_artist(
        ConnectionPatch(
            at,
            to,
            "data",
            "data",
            axesA=source,
            axesB=goal,
            arrowstyle="-|>",
            color=INK,
            linewidth=2.2,
            mutation_scale=20,
            **_CASED,
        )
    )


def _fixed(points: Iterable[Point]) -> NDArray[np.int32]:
    return np.asarray(np.rint(np.array(list(points)) * SCALE * 2**_SHIFT), np.int32)
