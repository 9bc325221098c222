"""The execution of Write nodes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Sequence

import numpy as np

from tests.hosts.fake_nuke import exr_files, questions
from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.formats import Format
from tests.hosts.fake_nuke.graph.evaluate import Evaluator, Work
from tests.hosts.fake_nuke.image import RGB, Box, Image

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.nodes import Node

# What a wrong colour setting does to RGB in a written file: enough for a test to see it, and no colour science.
COLOUR_MISTAKE = np.float32(0.5)


@dataclass(frozen=True)
class Written:
    """A file that a Write has written."""

    node: str
    frame: int
    view: str
    path: str


def execute(nodes: Sequence[Node], frames: Iterable[int], views: Optional[Sequence[str]], go_on: bool) -> None:
    """Execute Writes.

    Raises:
        RuntimeError: a frame cannot be computed or written, it was cancelled, or a node cannot be executed.
    """
    for node in nodes:
        if node._live()._spec.name != "Write" or node["disable"].value():
            raise RuntimeError(f"{node._full_name()} cannot be executed")
    for node in nodes:
        current().callbacks.run("BeforeRender", node)
    problems = []
    for frame, node in itertools.product(frames, nodes):
        try:
            _execute_frame(node, frame, views)
        except RuntimeError as exc:
            if not go_on or str(exc) == "Cancelled":
                raise
            problems.append(str(exc))
    for node in nodes:
        current().callbacks.run("AfterRender", node)
    if problems:
        raise RuntimeError(problems[0])


def _execute_frame(node: Node, frame: int, views: Optional[Sequence[str]]) -> None:
    session = current()
    work = Work(Evaluator(), node, frame, session.view)
    if work.flag("use_limit") and not work.number("first") <= frame <= work.number("last"):
        return
    session.before_frame(frame)
    before = session.frame
    session.frame = frame
    try:
        session.callbacks.run("BeforeFrameRender", node)
        _write(node, frame, views)
        session.callbacks.run("AfterFrameRender", node)
    finally:
        session.frame = before


def _write(node: Node, frame: int, views: Optional[Sequence[str]]) -> None:
    chosen: Any = node._own_knobs["views"]
    chosen_views = list(views) if views is not None else chosen._chosen()
    unknown = [view for view in chosen_views if view not in current().views]
    if unknown:
        raise RuntimeError(f"{node._full_name()}: no view {unknown[0]}")
    file: Any = node._own_knobs["file"]
    by_path: Dict[str, List[str]] = {}
    for view in chosen_views:
        by_path.setdefault(file._path(frame, view), []).append(view)
    for path, its_views in by_path.items():
        _write_file(node, frame, path, its_views)


def _write_file(node: Node, frame: int, path: str, views: List[str]) -> None:
    evaluator = Evaluator()
    works = [Work(evaluator, node, frame, view) for view in views]
    hero, images = works[0], [_as_written(work) for work in works]
    _require_exr(hero, path)
    _make_folder(hero, path)
    names = hero.channels("channels", sorted(images[0].channels))
    hero.require("metadata", "default metadata")
    header = exr_files.header_of(images[0].metadata, f"{questions.hashes(node)[0]:x}", current().version_string)
    if len(views) > 1:
        header["multiView"] = views
    float32 = hero.text("datatype") == "32 bit float"
    hero.require("autocrop", "false")
    try:
        exr_files.write(
            path, images[0], names, float32, hero.text("compression"), header, dict(zip(views[1:], images[1:]))
        )
    except RuntimeError as exc:
        raise hero.error(str(exc)) from exc
    current().written.extend(Written(node._full_name(), frame, view, path) for view in views)


def _require_exr(work: Work, path: str) -> None:
    if not path:
        raise work.error("no file name")
    work.require("frame", "None", "")
    if work.node._find("datatype") is None or work.text("interleave") != "channels, layers and views":
        raise work.error(f"the fake writes EXR files of one part only, got {path}")


def _make_folder(work: Work, path: str) -> None:
    folder = Path(path).parent
    try:
        if work.flag("create_directories"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise work.error(f"cannot make {folder}: {exc.strerror}") from exc
    if not folder.is_dir():
        raise work.error(f"{path}: No such file or directory")


def _as_written(work: Work) -> Image:
    """Return the input in the file's colours, scaled in proxy mode."""
    image = work.input(0)
    if not _keeps_colours(work):
        planes = {name: image.channels[name] * COLOUR_MISTAKE for name in RGB if name in image.channels}
        image = image.with_channels(planes)
    root = current().root
    if not root["proxy"].value():
        return image
    if root["proxy_type"].value() != "scale":
        raise work.error("the fake knows proxies by scale only")
    return _scaled(image, float(root["proxy_scale"].value()))


def _keeps_colours(work: Work) -> bool:
    if work.flag("raw"):
        return True
    space = work.text("colorspace")
    root = current().root
    if space == "default":
        space = str(root["floatLut"].value())
    return work.text("transformType") == "colorspace" and space == root["workingSpaceLUT"].value()


def _scaled(image: Image, scale: float) -> Image:
    """Return an image of a smaller size, whose pixels are a selection."""
    box = Box(*(int(edge * scale) for edge in image.box))
    height, width = box.shape
    rows = np.minimum((np.arange(height) / scale).astype(int), image.box.shape[0] - 1)
    columns = np.minimum((np.arange(width) / scale).astype(int), image.box.shape[1] - 1)
    planes = {name: np.ascontiguousarray(plane[np.ix_(rows, columns)]) for name, plane in image.channels.items()}
    fmt = Format(int(image.format._width * scale), int(image.format._height * scale), image.format._aspect)
    return replace(image, channels=planes, box=box, format=fmt)
