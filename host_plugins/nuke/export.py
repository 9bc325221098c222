"""Plate and roto to EXR, through temporary Write nodes; a frame is written only once.

<folder>/exports/plate_<digest>/plate.####.exr     R, G, B in the working space
<folder>/exports/mattes_<digest>/mattes.####.exr   void_bridge.remove and so on

Nodes, versions of the script and views share a folder as long as its frames would be the same.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple

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


@dataclass(frozen=True)
class ExportSequence:
    """A sequence that one temporary Write makes.

    Attributes:
        name: `plate` or `mattes`.
        channels: the value of the Write's channels knob.
        datatype: the value of the Write's datatype knob.
        sequence: the files, of one view.
    """

    name: str
    channels: str
    datatype: str
    sequence: Sequence


Missing = Dict[ExportSequence, FrameRange]  # the frames that each incomplete sequence lacks


@dataclass(frozen=True)
class NukeExport:
    """The sequences to write for one view, and the shot that they make.

    Attributes:
        view: the view.
        frames: the frames to write, with handles.
        sequences: the sequences to write.
        shot: the shot for the job.
    """

    view: str
    frames: FrameRange
    sequences: Tuple[ExportSequence, ...]
    shot: ShotRequest

    def scan_missing(self) -> Missing:
        """Scan the disk and return the frames that each incomplete sequence lacks; empty when nothing is missing."""
        missing = {}
        for each in self.sequences:
            on_disk = set(each.sequence.frames_on_disk())
            missing[each] = FrameRange(frame for frame in self.frames if frame not in on_disk)
        return {each: frames for each, frames in missing.items() if frames}


def plan_export(group: nuke.Node, settings: Settings, view: str, folder: Path) -> NukeExport:
    """Check everything and return what has to be written; write nothing.

    Args:
        group: the VOIDRemove node.
        settings: its settings.
        view: the view.
        folder: the folder of exports.

    Raises:
        UsageError: something about the inputs or settings is wrong.
        InputError: frames of the plate's own files are missing, or something else about the inputs is wrong.
        ColourError: the script's OCIO config is not found.
        OutputError: `folder` cannot be written.
    """
    frames = frames_of(group, settings)
    read = frames_to_read(frames, settings["handles"], "the plate", plate_frames(group))
    check_writable(folder)
    mattes = _mattes_sequence(group, view, folder)
    pattern, space = own_files(plate_of(group), read, view) if group["own_files"].value() else ("", "")
    if pattern:
        Sequence.parse(pattern).require(read)
    working, config = working_space()
    sequences = (mattes,) if pattern else (_plate_sequence(group, view, folder), mattes)
    sources = {
        role: MatteSource(mattes.sequence.pattern, f"{LAYER}.{role}", bool(group[f"{role}_invert"].value()))
        for role in roto_of(group)
    }
    shot = ShotRequest(pattern or sequences[0].sequence.pattern, frames, space or working, config, sources)
    return NukeExport(view, read, sequences, shot)


def write_export(group: nuke.Node, export: NukeExport) -> None:
    """Write the frames that are missing, under Nuke's own progress bar.

    Raises:
        Cancelled: the artist stopped it; finished frames are kept.
        InputError: Nuke could not render.
    """
    missing = export.scan_missing()
    if not missing:
        return
    with write_nodes(group, missing) as writes:
        try:
            nuke.executeMultiple(tuple(writes), tuple(ranges(missing)), [export.view])
        except RuntimeError as exc:
            if "cancel" in str(exc).lower():
                raise Cancelled("export cancelled; the frames that were written are kept for the next export") from exc
            raise InputError(f"Nuke could not render the plate or the roto: {exc}") from exc


@contextmanager
def write_nodes(group: nuke.Node, sequences: Iterable[ExportSequence]) -> Iterator[List[nuke.Node]]:
    """Create temporary Writes inside the group; at full size, in proxy mode too.

    They do not change the script: one that was saved counts as saved afterwards.

    Yields:
        The Write of each sequence.
    """
    created: List[nuke.Node] = []
    proxy, was_modified = nuke.root()["proxy"], nuke.root().modified()
    was_proxy = bool(proxy.value())
    nuke.Undo.disable()
    try:
        proxy.setValue(False)
        with group:  # type: ignore[attr-defined]
            yield [_create_write(group, each, created) for each in sequences]
    finally:
        for node in reversed(created):
            with suppress(ValueError):  # deleted with its group
                nuke.delete(node)
        proxy.setValue(was_proxy)
        nuke.root().setModified(was_modified)
        nuke.Undo.enable()


def all_frames(missing: Missing) -> FrameRange:
    """Return every frame that some sequence lacks."""
    return FrameRange(frame for frames in missing.values() for frame in frames)


def ranges(missing: Missing) -> List[List[int]]:
    """Return the missing frames as ranges for `nuke.executeMultiple`: first, last, increment."""
    return [[first, last, 1] for first, last in all_frames(missing).runs()]


def _plate_sequence(group: nuke.Node, view: str, folder: Path) -> ExportSequence:
    plate = plate_of(group)
    datatype = FLOAT if is_float(plate) else HALF
    digest = digest_of([plate], datatype, view, files_of([plate]))
    return ExportSequence("plate", "rgb", datatype, _sequence(folder, "plate", digest))


def _mattes_sequence(group: nuke.Node, view: str, folder: Path) -> ExportSequence:
    nodes = roto_of(group)
    channels = [f"{role} {group[f'{role}_channel'].value()}" for role in nodes]
    whole = plate_of(group).format()
    size = f"{whole.width()}x{whole.height()} {whole.pixelAspect()}"
    sources = list(nodes.values())
    digest = digest_of(sources, *channels, size, view, files_of(sources))
    return ExportSequence("mattes", LAYER, HALF, _sequence(folder, "mattes", digest))


def _sequence(folder: Path, name: str, digest: str) -> Sequence:
    return Sequence.parse((folder / f"{name}_{digest}" / f"{name}.####.exr").as_posix())


def _create_write(group: nuke.Node, sequence: ExportSequence, created: List[nuke.Node]) -> nuke.Node:
    """Create the Write of a sequence, and append it and the nodes before it to `created`."""
    source = inside(group, "plate") if sequence.name == "plate" else _create_mattes(group, created)
    write = nuke.nodes.Write(inputs=[source], file_type="exr", raw=True, create_directories=True)
    created.append(write)
    write["file"].setValue(sequence.sequence.pattern)
    write["channels"].setValue(sequence.channels)
    write["datatype"].setValue(sequence.datatype)
    return write


def _create_mattes(group: nuke.Node, created: List[nuke.Node]) -> nuke.Node:
    """Create one Copy for each roto input, which puts its chosen channel over the plate's format; return the last."""
    stream = inside(group, "plate")
    for role in roto_of(group):
        stream = nuke.nodes.Copy(inputs=[stream, inside(group, role)])
        created.append(stream)
        stream["from0"].setValue(str(group[f"{role}_channel"].value()))
        stream["to0"].setValue(f"{LAYER}.{role}")
    return stream
