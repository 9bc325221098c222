"""What has to be rendered for a job: the plate and each matte as sequences of their own, for Fusion maps no layers.

<folder>/exports/<comp>_<plate>_v003/plate.####.exr
<folder>/exports/<comp>_<plate>_v003/remove.####.exr
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Tuple

from host_plugins.control.request import ShotRequest, frames_to_read
from host_plugins.control.settings import Settings
from host_plugins.control.versions import safe_name
from host_plugins.resolve.choice import ToolChoice, matte_tools, plate_tool
from host_plugins.resolve.colour import ocio_config_of, required_colourspace
from host_plugins.resolve.graph import ImageFormat, image_format, render_range, valid_range
from void_bridge.errors import UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import MatteSource
from void_bridge.sequence import Sequence

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

EXPORTS = "exports"
DEPTHS = ("as the plate", "half", "float")


@dataclass(frozen=True)
class SaverOutput:
    """What one temporary Saver writes. tool: the name of the tool that makes it."""

    name: str
    tool: str
    sequence: Sequence
    is_float: bool = False


@dataclass(frozen=True)
class ExportPlan:
    """frames: with handles. picture: of the plate. folder: of the pieces, which nothing else is in."""

    frames: FrameRange
    picture: ImageFormat
    folder: Path
    pieces: Tuple[SaverOutput, ...]
    shot: ShotRequest

    def missing(self) -> FrameRange:
        """The frames that some piece lacks on disk."""
        held = [set(piece.sequence.frames_on_disk()) for piece in self.pieces]
        return FrameRange(frame for frame in self.frames if not all(frame in have for have in held))

    def written(self) -> Tuple[Path, ...]:
        """The files that are there."""
        paths = (piece.sequence.path(frame) for piece in self.pieces for frame in self.frames)
        return tuple(path for path in paths if path.is_file())


def plan_export(
    comp: Composition, choice: ToolChoice, settings: Settings, folder: Path, depth: str = DEPTHS[0]
) -> ExportPlan:
    """Look at everything and write nothing.

    Args:
        folder: where the pieces go. depth: one of DEPTHS, of the plate; mattes are half.

    Raises:
        UsageError, InputError, MissingFrames: about the tools and frames. ColourError: no colour space.
    """
    check_inputs(comp, choice, settings)
    plate, mattes = plate_tool(comp, choice), matte_tools(comp, choice)
    frames = frames_of(comp, plate, settings)
    read = _with_handles(comp, plate, frames, settings.handles)
    picture = image_format(plate, frames.first)
    is_float = depth == "float" or (depth == DEPTHS[0] and picture.is_float)
    pieces = [SaverOutput("plate", plate.Name, _sequence(folder, "plate"), is_float)]
    pieces += [SaverOutput(role, tool.Name, _sequence(folder, role)) for role, tool in mattes.items()]
    sources = {
        piece.name: MatteSource(piece.sequence.pattern, "A", piece.name in choice.inverted) for piece in pieces[1:]
    }
    shot = ShotRequest(
        pieces[0].sequence.pattern, frames, required_colourspace(settings), ocio_config_of(settings), sources
    )
    return ExportPlan(read, picture, folder, tuple(pieces), shot)


def check_inputs(comp: Composition, choice: ToolChoice, settings: Settings) -> None:
    """What can be said before anything is made. Raises UsageError, MissingFrames, InputError, ColourError."""
    plate = plate_tool(comp, choice)
    matte_tools(comp, choice)
    required_colourspace(settings)
    _with_handles(comp, plate, frames_of(comp, plate, settings), settings.handles)


def frames_of(comp: Composition, plate: Operator, settings: Settings) -> FrameRange:
    """The frames to deliver. Raises FrameRangeError: a custom range that cannot be read."""
    if settings.frames_from == "custom":
        return FrameRange.parse(settings.frames)
    if settings.frames_from == "global":
        return render_range(comp)
    valid = valid_range(comp, plate)
    inside = [frame for frame in render_range(comp) if frame in valid]
    return FrameRange(inside) if inside else valid


def _with_handles(comp: Composition, plate: Operator, frames: FrameRange, handles: int) -> FrameRange:
    return frames_to_read(frames, handles, plate.Name, valid_range(comp, plate))


def output_root(comp: Composition, settings: Settings) -> Path:
    """Where versions go. Raises UsageError: no folder is set, and the composition is no file (Resolve's never are)."""
    if settings.folder:
        return Path(comp.MapPath(settings.folder))
    file = Path(str(comp.GetAttrs().get("COMPS_FileName") or ""))
    if not file.is_absolute():
        raise UsageError("set an output folder, or save the composition first: results go beside it")
    return file.parent / "void"


def stem_of(comp: Composition, plate: Operator) -> str:
    """`<comp>_<plate>`, as a part of file names."""
    attrs = comp.GetAttrs()
    name = Path(str(attrs.get("COMPS_FileName") or attrs.get("COMPS_Name") or "comp")).stem
    return safe_name(f"{name}_{plate.Name}")


def _sequence(folder: Path, name: str) -> Sequence:
    return Sequence.parse((folder / f"{name}.####.exr").as_posix())
