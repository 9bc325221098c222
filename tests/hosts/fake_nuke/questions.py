"""The answers of nodes about themselves, found in the graph."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Iterator, List, Tuple

from tests.hosts.fake_nuke import constants
from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.array_knobs import Array_Knob
from tests.hosts.fake_nuke.formats import Format
from tests.hosts.fake_nuke.graph import operations, read, sources
from tests.hosts.fake_nuke.graph.evaluate import Evaluator, Work, root_format
from tests.hosts.fake_nuke.image import ALPHA, RGB, Image
from tests.hosts.fake_nuke.scope import nodes_in

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.nodes import Node

assert operations and read and sources  # imported so that they register what they compute
# Where a node stands and how it looks does not change its image.
_LOOKS = ("name", "xpos", "ypos", "selected", "label", "tile_color", "note_font_color", "knobChanged", "onCreate")


def image(node: Node) -> Image:
    session = current()
    return Evaluator().image(node, session.frame, session.view)


def channels(node: Node) -> List[str]:
    """Return the sorted names; RGBA if the image cannot be computed."""
    try:
        return sorted(image(node).channels)
    except RuntimeError:
        return sorted((*RGB, ALPHA))


def format_of(node: Node) -> Format:
    """Return the image's format; if it cannot be computed, the node's own or that of its input."""
    try:
        return image(node).format
    except RuntimeError:
        below = node._inputs.get(0)
        knob: Any = node._find("format")
        if knob is not None:
            fmt: Format = knob._format()
            return fmt
        return format_of(below) if below is not None else root_format()


def sample(node: Node, channel: str, x: float, y: float) -> float:
    """Return the pixel at a point; 0 outside the image, and if it cannot be computed, as in Nuke."""
    left, bottom = int(x // 1), int(y // 1)
    try:
        found = image(node)
    except RuntimeError:
        return 0.0
    name = current().layers.full(channel) or channel
    return float(found.plane(name, (left, bottom, left + 1, bottom + 1))[0, 0])


def metadata(node: Node, *args: Any, **kwargs: Any) -> Any:
    key = kwargs.get("key", args[0] if args and isinstance(args[0], str) else None)
    rest = list(args[1:]) if args and isinstance(args[0], str) else list(args)
    session = current()
    frame = kwargs.get("time", rest[0] if rest else session.frame)
    view = kwargs.get("view", rest[1] if len(rest) > 1 else session.view)
    try:
        found = Evaluator().image(node, frame, view).metadata
    except RuntimeError:
        found = {}
    return dict(found) if key is None else found.get(key)


def frame_range(node: Node) -> Tuple[int, int]:
    """Return first and last frame, as seen after the node."""
    session = current()
    work = Work(Evaluator(), node, session.frame, session.view)
    kind = node._spec.name
    if kind == "Read":
        return _read_range(work)
    if kind == "Group":
        output = node._output_node()  # type: ignore[attr-defined]
        return frame_range(output) if output is not None else _root_range()
    if kind == "Input":
        group: Any = node._group
        source = group._inputs.get(group._input_nodes().index(node)) if group._group is not None else None
        return frame_range(source) if source is not None else _root_range()
    if kind == "Constant":
        return _root_range()
    source = node._inputs.get(int(work.number("which")) if kind == "Switch" else 0)
    if source is None:
        return _root_range()
    first, last = frame_range(source)
    offset = int(work.number("time_offset")) if kind == "TimeOffset" else 0
    return first + offset, last + offset


def _read_range(work: Work) -> Tuple[int, int]:
    first, last = int(work.number("first")), int(work.number("last"))
    text = str(work.knob("frame")._state or "").strip()
    mode = work.text("frame_mode")
    if not text or mode == "expression":
        return first, last
    shift = int(float(text)) - first if mode == "start at" else -int(float(text))
    return first + shift, last + shift


def _root_range() -> Tuple[int, int]:
    root = current().root
    return root.firstFrame(), root.lastFrame()


def dependencies(node: Node, mask: int) -> List[Node]:
    """Return the nodes that this one depends on directly: inputs, and nodes that its expressions name."""
    found: List[Node] = []
    if mask & (constants.INPUTS | constants.HIDDEN_INPUTS):
        found += [source for _, source in sorted(node._inputs.items()) if source is not None]
    for knob in node._visible_knobs().values():
        if mask & constants.EXPRESSIONS and isinstance(knob, Array_Knob):
            for text in (field.expression for field in knob._state if field.expression):
                found += nodes_in(text, node)
    return list(dict.fromkeys(found))


def depends_on(node: Node, other: Node) -> bool:
    """Return whether `other` is `node` itself or upstream of it."""
    waiting, seen = [node], set()
    while waiting:
        found = waiting.pop()
        if found is other:
            return True
        if id(found) not in seen:
            seen.add(id(found))
            waiting += [source for source in found._inputs.values() if source is not None]
    return False


def hashes(node: Node) -> List[int]:
    """Return one number for the node and everything upstream that can change its image at this frame."""
    digest = hashlib.blake2b(digest_size=8)
    for text in _texts_of(node, set()):
        digest.update(text.encode() + b"\0")
    return [int.from_bytes(digest.digest(), "big")]


def _texts_of(node: Node, seen: set[int]) -> Iterator[str]:
    if id(node) in seen:
        return
    seen.add(id(node))
    yield node._spec.name
    session = current()
    for name, knob in node._visible_knobs().items():
        if name not in _LOOKS and isinstance(knob, Array_Knob):
            yield f"{name} {knob._values(session.frame, session.view)}"
        elif name not in _LOOKS:
            yield f"{name} {knob._script()}"
    yield f"drawing {node._drawing} {session.frame if node._drawing or node._spec.name == 'Read' else ''}"
    for source in (*dependencies(node, constants.INPUTS), *(node.nodes() if node._is_group else ())):  # type: ignore[attr-defined]
        yield from _texts_of(source, seen)
    if node._spec.name == "Input" and node._group is not None:
        yield from _texts_of(node._group, seen)
