"""Draws docs/images/architecture.svg: the packages of VOID Bridge, and which imports which.

A box stands above all that it imports. An arrow that follows from two others is left out.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache

import grimp

from tools.page import ROOT

PAGE = ROOT / "docs" / "images" / "architecture.svg"
COLUMNS = ("host_plugins", "void_bridge", "gpu_server")
DRAWN = {
    "void_bridge": ("cli", "client", "protocol", "pixels"),
    "gpu_server": ("server", "worker", "engines", "findings", "benchmarks"),
    "host_plugins": ("nuke", "resolve", "install", "farm", "control"),
}
BASE, API = "void_bridge", "void_bridge.api"
BASE_NAME = "void_bridge: job, frames, sequences, options, configuration, errors"
COLOURS = {"host_plugins": "#f4c95d", "void_bridge": "#7fd1c3", "gpu_server": "#b9a7f0"}
INK, LINE = "#1b242c", "#8493a0"
NAMES = {"cv2": "OpenCV", "PyOpenColorIO": "OpenColorIO", "av": "PyAV", "fusionscript": "fusion", "zmq": "ZeroMQ"}
NOTE_LENGTH = 24  # characters that fit into a box
BOX_WIDTH, BOX_HEIGHT, GAP, ROW, TOP, PADDING, MARGIN = 142, 46, 20, 92, 46, 20, 4.0


@dataclass
class Box:
    """A package in the picture.

    Attributes:
        name: its name; commands and tools of `gpu_server`, and api, are modules next to the packages.
        imports: the boxes that it imports.
        libraries: other libraries that it imports, those that few boxes import first.
        row: from 0 at the bottom.
        x: the middle, in pixels.
        y: the top, in pixels.
        width: in pixels.
    """

    name: str
    imports: set[str] = field(default_factory=set)
    libraries: list[str] = field(default_factory=list)
    row: int = 0
    x: float = 0
    y: float = 0
    width: float = BOX_WIDTH

    @property
    def column(self) -> str:
        """The top package."""
        return self.name.partition(".")[0]


def architecture_svg() -> str:
    """Return docs/images/architecture.svg."""
    boxes = _boxes()
    width, height = _place(boxes)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" ']
    parts += ['font-family="Helvetica, Arial, sans-serif" text-anchor="middle">\n<defs><marker id="head" ']
    parts += ['viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">']
    parts += [f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>\n']
    middles = {}
    for column in COLUMNS:
        inside = [box for box in boxes.values() if box.column == column and box.name != BASE]
        left = min(box.x - box.width / 2 for box in inside) - PADDING
        right = max(box.x + box.width / 2 for box in inside) + PADDING
        middles[column] = (left + right) / 2
        parts.append(_rectangle(left, MARGIN, right - left, height - ROW, COLOURS[column], 'fill-opacity="0.14"'))
        parts.append(f'<text x="{middles[column]:.0f}" y="30" font-size="17" font-weight="bold" fill="{LINE}">')
        parts.append(f"{column}</text>\n")
    for box in boxes.values():
        parts += [_arrow(box, boxes[name], middles[box.column]) for name in sorted(_direct(box, boxes))]
    parts += [_drawn(box) for box in boxes.values()]
    return "".join([*parts, "</svg>\n"])


def _boxes() -> dict[str, Box]:
    """Return the boxes by name, with what they import."""
    graph = grimp.build_graph(*COLUMNS, include_external_packages=True)
    boxes: dict[str, Box] = {}
    beside = graph.find_children(BASE) - {f"{BASE}.{name}" for name in DRAWN[BASE]}
    above = {module for module in beside if _is_above_base(graph, module)} | {BASE}
    libraries: dict[str, Counter[str]] = defaultdict(Counter)
    for module in sorted(graph.modules):
        if module.partition(".")[0] not in COLUMNS:
            continue
        name = _box_name(module, above)
        box = boxes.setdefault(name, Box(name))
        for other in graph.find_modules_directly_imported_by(module):
            top = other.partition(".")[0]
            if top in COLUMNS:
                box.imports |= {_box_name(other, above)} - {name}
            elif top not in sys.stdlib_module_names:
                libraries[name][top] += 1
    spread = Counter(each for counts in libraries.values() for each in counts)
    for name, counts in libraries.items():
        boxes[name].libraries = sorted(counts, key=lambda each: (spread[each] > 2, -counts[each], each))
    return boxes


def _is_above_base(graph: grimp.ImportGraph, module: str) -> bool:
    """Return whether a module next to the packages of `void_bridge` needs one of them."""
    return any(graph.chain_exists(module, f"{BASE}.{name}", as_packages=True) for name in DRAWN[BASE])


def _box_name(module: str, above: set[str]) -> str:
    """Return the box that a module belongs to.

    Args:
        module: the module.
        above: modules of `void_bridge` that need its packages.
    """
    if module in above:
        return API
    top, *below = module.split(".")
    if below and below[0] in DRAWN[top]:
        is_engine = below[0] == "engines" and len(below) > 1 and below[1] in ("void", "propagate")
        return ".".join([top, *below[: 2 if is_engine else 1]])
    if top == "gpu_server":
        return "gpu_server.commands" if below and below[0].endswith(("_command", "_parts")) else "gpu_server.tools"
    return "host_plugins.install" if top == "host_plugins" else BASE


def _direct(box: Box, boxes: dict[str, Box]) -> set[str]:
    """Return what a box imports and does not reach through another box that it imports."""

    @cache
    def reached(name: str) -> frozenset[str]:
        below = boxes[name].imports
        return frozenset(below).union(*(reached(each) for each in below))

    return {name for name in box.imports if not any(name in reached(other) for other in box.imports)}


def _place(boxes: dict[str, Box]) -> tuple[float, float]:
    """Place every box, each above all that it imports, and return the size of the picture."""

    @cache
    def row_of(name: str) -> int:
        return max((row_of(each) + 1 for each in boxes[name].imports), default=0)

    for box in boxes.values():
        box.row = row_of(box.name)
    top_row = max(box.row for box in boxes.values())
    left = MARGIN
    for column in COLUMNS:
        inside = [box for box in boxes.values() if box.column == column and box.name != BASE]
        count = max(Counter(box.row for box in inside).values())
        middle = left + PADDING + (count * (BOX_WIDTH + GAP) - GAP) / 2
        for row in range(top_row + 1):
            _place_row([box for box in inside if box.row == row], middle, boxes)
        left = 2 * middle - left + GAP
    base, width = boxes[BASE], left - GAP - MARGIN
    base.x, base.width = MARGIN + width / 2, width
    for box in boxes.values():
        box.y = TOP + (top_row - box.row) * ROW
    return width + 2 * MARGIN, base.y + BOX_HEIGHT + MARGIN


def _place_row(row: list[Box], middle: float, boxes: dict[str, Box]) -> None:
    """Place the boxes of a row around the middle of their column; one box alone stands above what it imports."""
    for index, box in enumerate(row):
        box.x = middle + (index - (len(row) - 1) / 2) * (BOX_WIDTH + GAP)
    if len(row) == 1:
        below = [boxes[name].x for name in _direct(row[0], boxes) if name != BASE]
        inside = [x for x in below if abs(x - middle) <= BOX_WIDTH]
        row[0].x = sum(inside) / len(inside) if inside else middle


def _arrow(start: Box, end: Box, middle: float) -> str:
    """Return an arrow from the bottom of a box to the top of another.

    Args:
        start: the box that imports.
        end: the box that is imported.
        middle: of the column, where arrows pass between boxes.
    """
    points = [(start.x, start.y + BOX_HEIGHT)]
    if end.name != BASE and end.column == start.column and start.row - end.row > 1:
        points += [(middle, start.y + ROW), (middle, end.y - ROW + BOX_HEIGHT)]
    points.append((start.x if end.name == BASE else end.x, end.y))
    path = f"M{start.x:.0f} {start.y + BOX_HEIGHT:.0f}"
    for (x, y), (to_x, to_y) in zip(points, points[1:]):
        half = (y + to_y) / 2
        path += f"C{x:.0f} {half:.0f} {to_x:.0f} {half:.0f} {to_x:.0f} {to_y:.0f}"
    return f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="1.6" marker-end="url(#head)"/>\n'


def _drawn(box: Box) -> str:
    """Return a box with its name and its libraries."""
    name = BASE_NAME if box.name == BASE else box.name.partition(".")[2]
    note = ", ".join(NAMES.get(each, each) for each in box.libraries[:3])
    while len(note) > NOTE_LENGTH:
        note = note.rpartition(", ")[0]
    y = box.y + (20 if note else 28)
    words = f'<text x="{box.x:.0f}" y="{y:.0f}" font-size="15" fill="{INK}">{name}</text>\n'
    if note:
        words += (
            f'<text x="{box.x:.0f}" y="{y + 17:.0f}" font-size="11" fill="{INK}" fill-opacity="0.75">{note}</text>\n'
        )
    return _rectangle(box.x - box.width / 2, box.y, box.width, BOX_HEIGHT, COLOURS[box.column]) + words


def _rectangle(x: float, y: float, width: float, height: float, colour: str, more: str = "") -> str:
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="8" fill="{colour}" {more}/>\n'
