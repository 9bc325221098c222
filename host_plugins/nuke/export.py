"""Plate and roto to EXR, through Write nodes that are gone afterwards; nothing is written twice.

<folder>/exports/plate_<digest>/plate.####.exr     R, G, B in the working space
<folder>/exports/mattes_<digest>/mattes.####.exr   void_bridge.remove and so on

One folder for whichever node, version of the script or view it was made for, as long as it holds the same.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Tuple

import nuke

from host_plugins.control.request import ShotRequest, frames_to_read
from host_plugins.control.settings import Settings
from host_plugins.nuke.colour import working_space
from host_plugins.nuke.digest import digest_of, files_of
from host_plugins.nuke.inputs import frames_of, is_float, own_files, plate_frames, plate_of, roto_of
from host_plugins.nuke.node import LAYER, inside
from void_bridge.client.output import check_writable
from void_bridge.errors import Cancelled, InputError
from void_bridge.frames import FrameRange
from void_bridge.job import MatteSource
from void_bridge.sequence import Sequence

HALF, FLOAT = "16 bit half", "32 bit float"
Steps = Tuple[int, int, int]  # first, last, increment


@dataclass(frozen=True)
class ExportSequence:
    """What one temporary Write makes. sequence: of the frames, of one view. datatype: as Nuke's EXR knob says it."""

    name: str
    channels: str
    datatype: str
    sequence: Sequence

    def missing(self, frames: FrameRange) -> FrameRange:
        held = set(self.sequence.frames_on_disk())
        return FrameRange(frame for frame in frames if frame not in held)


@dataclass(frozen=True)
class NukeExport:
    """What has to be written for one view, and the shot that it makes. frames: with handles."""

    view: str
    frames: FrameRange
    pieces: Tuple[ExportSequence, ...]
    shot: ShotRequest

    @property
    def missing(self) -> FrameRange:
        return FrameRange(frame for piece in self.pieces for frame in piece.missing(self.frames))


def plan_export(group: nuke.Node, settings: Settings, view: str, folder: Path) -> NukeExport:
    """Look at everything and write nothing.

    Args:
        folder: where exports go.

    Raises:
        UsageError, InputError: something about the inputs, frames that are missing among them. ColourError.
        OutputError: `folder` cannot be written.
    """
    frames = frames_of(group, settings)
    read = frames_to_read(frames, settings["handles"], "the plate", plate_frames(group))
    check_writable(folder)
    mattes = _mattes_piece(group, view, folder)
    pattern, space = own_files(plate_of(group), read, view) if group["own_files"].value() else ("", "")
    if pattern:
        Sequence.parse(pattern).require(read)
    working, config = working_space()
    pieces = (mattes,) if pattern else (_plate_piece(group, view, folder), mattes)
    sources = {
        role: MatteSource(mattes.sequence.pattern, f"{LAYER}.{role}", bool(group[f"{role}_invert"].value()))
        for role in roto_of(group)
    }
    shot = ShotRequest(pattern or pieces[0].sequence.pattern, frames, space or working, config, sources)
    return NukeExport(view, read, pieces, shot)


def export(group: nuke.Node, plan: NukeExport) -> None:
    """Write what is missing, under Nuke's own bar.

    Raises:
        Cancelled: the artist stopped it; finished frames are kept. InputError: Nuke could not render.
    """
    if not plan.missing:
        return
    with write_nodes(group, plan) as writes:
        try:
            nuke.executeMultiple(tuple(writes), tuple(list(steps) for steps in ranges(plan.missing)), [plan.view])
        except RuntimeError as exc:
            if "cancel" in str(exc).lower():
                raise Cancelled("export cancelled; what was written is kept for the next time") from exc
            raise InputError(f"Nuke could not render the plate or the roto: {exc}") from exc


@contextmanager
def write_nodes(group: nuke.Node, plan: NukeExport) -> Iterator[List[nuke.Node]]:
    """Temporary Writes inside the group for the pieces that lack frames; at full size, whatever the proxy mode.

    They are no change of the script: one that was saved counts as saved afterwards.
    """
    made: List[nuke.Node] = []
    proxy, was_modified = nuke.root()["proxy"], nuke.root().modified()
    was_proxy = bool(proxy.value())
    nuke.Undo.disable()
    try:
        proxy.setValue(False)
        with group:  # type: ignore[attr-defined]
            yield [_write(group, piece, made) for piece in plan.pieces if piece.missing(plan.frames)]
    finally:
        for node in reversed(made):
            with suppress(ValueError):  # deleted with its group
                nuke.delete(node)
        proxy.setValue(was_proxy)
        nuke.root().setModified(was_modified)
        nuke.Undo.enable()


def ranges(frames: FrameRange) -> List[Steps]:
    """Frames as ranges with an increment of 1."""
    return [(first, last, 1) for first, last in frames.runs()]


def _plate_piece(group: nuke.Node, view: str, folder: Path) -> ExportSequence:
    plate = plate_of(group)
    datatype = FLOAT if is_float(plate) else HALF
    digest = digest_of([plate], datatype, view, files_of([plate]))
    return ExportSequence("plate", "rgb", datatype, _sequence(folder, "plate", digest))


def _mattes_piece(group: nuke.Node, view: str, folder: Path) -> ExportSequence:
    nodes = roto_of(group)
    picks = [f"{role} {group[f'{role}_channel'].value()}" for role in nodes]
    whole = plate_of(group).format()
    size = f"{whole.width()}x{whole.height()} {whole.pixelAspect()}"
    sources = list(nodes.values())
    digest = digest_of(sources, *picks, size, view, files_of(sources))
    return ExportSequence("mattes", LAYER, HALF, _sequence(folder, "mattes", digest))


def _sequence(folder: Path, name: str, digest: str) -> Sequence:
    return Sequence.parse((folder / f"{name}_{digest}" / f"{name}.####.exr").as_posix())


def _write(group: nuke.Node, piece: ExportSequence, made: List[nuke.Node]) -> nuke.Node:
    source = inside(group, "plate") if piece.name == "plate" else _mattes(group, made)
    write = nuke.nodes.Write(inputs=[source], file_type="exr", raw=True, create_directories=True)
    made.append(write)
    write["file"].setValue(piece.sequence.pattern)
    write["channels"].setValue(piece.channels)
    write["datatype"].setValue(piece.datatype)
    return write


def _mattes(group: nuke.Node, made: List[nuke.Node]) -> nuke.Node:
    """The picked channels, one Copy for each input, over the plate's format."""
    stream = inside(group, "plate")
    for role in roto_of(group):
        stream = nuke.nodes.Copy(inputs=[stream, inside(group, role)])
        made.append(stream)
        stream["from0"].setValue(str(group[f"{role}_channel"].value()))
        stream["to0"].setValue(f"{LAYER}.{role}")
    return stream
