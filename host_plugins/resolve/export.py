"""The plan of a job's EXR sequences and their rendering through temporary Savers.

The plate and each matte become a sequence of their own, because Fusion's Saver cannot name layers:

<folder>/exports/<comp>_<plate>_v003/plate.####.exr
<folder>/exports/<comp>_<plate>_v003/remove.####.exr

A mask tool makes no picture. It is rendered as the mask of a white Background, whose alpha the job reads.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Tuple

from host_plugins.control.request import ShotRequest, frames_to_read
from host_plugins.control.settings import Settings
from host_plugins.control.versions import safe_name
from host_plugins.resolve.choice import ToolChoice, matte_tools, plate_tool
from host_plugins.resolve.graph import (
    ImageFormat,
    all_tools,
    image_format,
    is_mask,
    new_tool,
    position_of,
    render_range,
    undo_step,
    valid_range,
)
from void_bridge.client.output import check_writable
from void_bridge.config import BUILTIN_CONFIG, load
from void_bridge.errors import ColourError, InputError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import MatteSource
from void_bridge.sequence import Sequence

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

log = logging.getLogger(__name__)

EXPORTS = "exports"
DEPTHS = ("as the plate", "half", "float")
COLOURSPACE_EXAMPLES = "such as ACEScg, Linear Rec.709 (sRGB) or Linear DaVinci WideGamut"
TEMPORARY, DISABLED = "void_bridge.temporary", "void_bridge.rested"  # data of tools, stored in compositions
HALF, FLOAT, ZIP = 1, 2, 3  # values of OpenEXRFormat.Depth and OpenEXRFormat.Compression
QUIET = 524288  # RenderFlags: no dialog at the end of a render
RENDER_YOURSELF = (
    "Fusion rendered nothing for this script. Choose Fusion > Render All Savers (in Fusion Studio: Render): "
    "the script continues when the files are written."
)


@dataclass(frozen=True)
class SaverOutput:
    """The sequence that one temporary Saver writes.

    Attributes:
        name: "plate" or the role of a matte.
        tool: the name of the tool that is rendered.
        sequence: the files.
        is_float: whether they are written as float instead of half.
    """

    name: str
    tool: str
    sequence: Sequence
    is_float: bool = False


@dataclass(frozen=True)
class ExportPlan:
    """The sequences to render for one job.

    Attributes:
        frames: the frames to render, with handles.
        plate_format: the format of the plate.
        folder: the folder of the sequences, which holds nothing else.
        outputs: the plate first, then the mattes.
        shot: the sequences as a job reads them.
    """

    frames: FrameRange
    plate_format: ImageFormat
    folder: Path
    outputs: Tuple[SaverOutput, ...]
    shot: ShotRequest

    def missing(self) -> FrameRange:
        """Return the frames that at least one sequence lacks on disk."""
        held = [set(output.sequence.frames_on_disk()) for output in self.outputs]
        return FrameRange(frame for frame in self.frames if not all(frame in have for have in held))

    def written(self) -> Tuple[Path, ...]:
        """Return the files that are on disk."""
        paths = (output.sequence.path(frame) for output in self.outputs for frame in self.frames)
        return tuple(path for path in paths if path.is_file())


def plan_export(
    comp: Composition, choice: ToolChoice, settings: Settings, folder: Path, depth: str = DEPTHS[0]
) -> ExportPlan:
    """Plan the sequences of a job. Renders one frame of the plate and writes nothing.

    Args:
        comp: the composition.
        choice: the tools.
        settings: the settings of the job.
        folder: the folder for the sequences.
        depth: the pixel type of the plate, one of DEPTHS; mattes are half.

    Raises:
        UsageError: a tool or a setting cannot be used.
        ColourError: no colour space is named.
        MissingFrames: frames are outside the plate.
        InputError: the plate makes no picture.
    """
    frames, to_read = check_inputs(comp, choice, settings)
    plate, mattes = plate_tool(comp, choice), matte_tools(comp, choice)
    plate_format = image_format(plate, frames.first)
    is_float = depth == "float" or (depth == DEPTHS[0] and plate_format.needs_float)
    outputs = [SaverOutput("plate", plate.Name, _sequence(folder, "plate"), is_float)]
    outputs += [SaverOutput(role, tool.Name, _sequence(folder, role)) for role, tool in mattes.items()]
    sources = {
        output.name: MatteSource(output.sequence.pattern, "A", output.name in choice.inverted) for output in outputs[1:]
    }
    shot = ShotRequest(outputs[0].sequence.pattern, frames, _colourspace(settings), _ocio_config(settings), sources)
    return ExportPlan(to_read, plate_format, folder, tuple(outputs), shot)


def check_inputs(comp: Composition, choice: ToolChoice, settings: Settings) -> Tuple[FrameRange, FrameRange]:
    """Check the tools, the colour space and the frames before anything is rendered.

    Returns:
        The frames to deliver, and the same with handles.

    Raises:
        UsageError: a tool or a setting cannot be used.
        ColourError: no colour space is named.
        MissingFrames: frames are outside the plate.
        InputError: the plate has no frames within the composition.
    """
    plate = plate_tool(comp, choice)
    matte_tools(comp, choice)
    _colourspace(settings)
    frames = frames_to_deliver(comp, plate, settings)
    return frames, frames_to_read(frames, settings["handles"], plate.Name, valid_range(comp, plate))


def frames_to_deliver(comp: Composition, plate: Operator, settings: Settings) -> FrameRange:
    """Return the frames that the settings ask for.

    Raises:
        FrameRangeError: the custom range cannot be read.
    """
    if settings.frames_from == "custom":
        return FrameRange.parse(settings.frames)
    if settings.frames_from == "global":
        return render_range(comp)
    valid = valid_range(comp, plate)
    inside = [frame for frame in render_range(comp) if frame in valid]
    return FrameRange(inside) if inside else valid


def output_root(comp: Composition, settings: Settings) -> Path:
    """Return the folder for new versions: the one in the settings, else `void` beside the composition.

    Raises:
        UsageError: no folder is set and the composition has no file, which compositions of Resolve never have.
    """
    if settings.folder:
        return Path(comp.MapPath(settings.folder))
    file = Path(str(comp.GetAttrs().get("COMPS_FileName") or ""))
    if not file.is_absolute():
        raise UsageError("set an output folder, or save the composition first: results are written next to it")
    return file.parent / "void"


def version_stem(comp: Composition, plate: Operator) -> str:
    """Return `<comp>_<plate>` with characters that are safe in file names."""
    attrs = comp.GetAttrs()
    name = Path(str(attrs.get("COMPS_FileName") or attrs.get("COMPS_Name") or "comp")).stem
    return safe_name(f"{name}_{plate.Name}")


def _colourspace(settings: Settings) -> str:
    """Return the plate's colour space, which scripts cannot ask Fusion for and which is never assumed.

    Raises:
        ColourError: the artist has not named it.
    """
    if not settings.colorspace:
        raise ColourError(f"the plate's colour space is unknown; set 'colour space', {COLOURSPACE_EXAMPLES}")
    return settings.colorspace


def _ocio_config(settings: Settings) -> str:
    """Return the OCIO config of the colour space: of the panel, the configuration, $OCIO, or the built-in one."""
    return settings.ocio_config or load().config.ocio or os.environ.get("OCIO", "") or BUILTIN_CONFIG


def _sequence(folder: Path, name: str) -> Sequence:
    return Sequence.parse((folder / f"{name}.####.exr").as_posix())


class Export:
    """One rendering of a plan. `close` restores the composition and has to be called in any case.

    Args:
        comp: the composition.
        plan: the sequences to render.
    """

    def __init__(self, comp: Composition, plan: ExportPlan) -> None:
        self.plan = plan
        self._comp = comp
        self._saved_attrs: Dict[str, Any] = {}
        self._sizes: Dict[Path, int] = {}

    def start(self) -> bool:
        """Add the temporary Savers and render.

        Returns:
            Whether every frame is on disk. If not, Fusion has rendered nothing: the Savers stay for the artist's own
            render, and `poll` returns when that is done.

        Raises:
            InputError: the render failed or stopped early.
            OutputError: the folder cannot be written.
        """
        check_writable(self.plan.folder)
        self.plan.folder.mkdir(parents=True, exist_ok=True)
        with undo_step(self._comp, "VOID Remove: export"):
            restore_savers(self._comp)  # after a run of the script that was interrupted
            disable_savers(self._comp)
            self._comp.SetAttrs(self._render_attrs())
            for output in self.plan.outputs:
                self._add_saver(output)
            self._render()
        missing = self.plan.missing()
        if missing and self.plan.written():
            raise InputError(f"Fusion stopped before frames {missing} were rendered; submit again")
        return not missing

    def poll(self) -> bool:
        """Return whether the artist's own render is done: every file is on disk and none has grown since last time."""
        before = self._sizes
        self._sizes = {path: path.stat().st_size for path in self.plan.written()}
        complete = all(self._sizes.values()) and self._sizes == before
        return complete and not self.plan.missing() and not self._comp.IsRendering()

    def close(self) -> None:
        """Remove the temporary tools and restore the other Savers and the render range."""
        with undo_step(self._comp, "VOID Remove: clean up"):
            restore_savers(self._comp)
            self._comp.SetAttrs(self._saved_attrs)
            self._saved_attrs = {}

    def discard(self) -> None:
        """Delete the rendered files and their folder."""
        shutil.rmtree(self.plan.folder, ignore_errors=True)
        with suppress(OSError):  # other exports may be in the parent folder
            self.plan.folder.parent.rmdir()

    def _render_attrs(self) -> Dict[str, Any]:
        """Return the attributes for a render at full size over the frames, and save those that they replace.

        The range is for artists who render by hand.
        """
        frames = self.plan.frames
        wanted = {"COMPN_RenderStart": frames.first, "COMPN_RenderEnd": frames.last, "COMPB_Proxy": False}
        attrs = self._comp.GetAttrs()
        self._saved_attrs = {name: attrs[name] for name in wanted if name in attrs}
        return {name: value for name, value in wanted.items() if name in self._saved_attrs}

    def _add_saver(self, output: SaverOutput) -> None:
        source = self._comp.FindTool(output.tool)
        assert source is not None
        if is_mask(source):
            source = self._add_background(source)
        saver = self._add_temporary("Saver", source)
        saver.ConnectInput("Input", source)
        saver.SetInput("Clip", saver_path(output.sequence))
        saver.SetInput("OutputFormat", "OpenEXRFormat")
        saver.SetInput("OpenEXRFormat.Depth", FLOAT if output.is_float else HALF)
        saver.SetInput("OpenEXRFormat.Compression", ZIP)
        saver.SetInput("ClippingMode", "None")  # keeps pixels outside the frame

    def _add_background(self, mask: Operator) -> Operator:
        """Add a white Background of the plate's size whose alpha is a mask."""
        plate = self.plan.plate_format
        background = self._add_temporary("Background", mask)
        background.SetInput("UseFrameFormatSettings", 0)
        background.SetInput("Width", plate.width)
        background.SetInput("Height", plate.height)
        background.SetInput("Depth", 4)  # float32
        for colour in ("Red", "Green", "Blue", "Alpha"):
            background.SetInput(f"TopLeft{colour}", 1.0)
        background.ConnectInput("EffectMask", mask)
        return background

    def _add_temporary(self, kind: str, neighbour: Operator) -> Operator:
        x, y = position_of(self._comp, neighbour) or (0.0, 0.0)
        tool = new_tool(self._comp, kind, (x + 1, y + 1))
        tool.SetData(TEMPORARY, 1)
        return tool

    def _render(self) -> None:
        settings: Dict[str, Any] = {"Wait": True, "RenderFlags": QUIET}
        try:
            finished = self._comp.Render({**settings, **render_frames(self.plan.frames)})
        except Exception as exc:
            raise InputError(f"Fusion could not render the plate or the mattes: {exc}") from exc
        if not finished:
            log.warning("Fusion's Render returned %r", finished)


def saver_path(sequence: Sequence) -> str:
    """Return the value of a Saver's Clip: a Saver replaces the number in it with each frame's own."""
    return sequence.path(0).as_posix()


def render_frames(frames: FrameRange) -> Dict[str, Any]:
    """Return frames as arguments of `comp.Render`.

    >>> render_frames(FrameRange([1, 2, 3, 7]))
    {'FrameRange': '1..3,7..7'}
    """
    runs = frames.runs()
    if len(runs) == 1:
        return {"Start": frames.first, "End": frames.last}
    return {"FrameRange": ",".join(f"{first}..{last}" for first, last in runs)}


def disable_savers(comp: Composition) -> None:
    """Set every Saver that writes files to pass through, and mark it so that `restore_savers` finds it."""
    for saver in all_tools(comp, "Saver"):
        # Resolve's MediaOut is a Saver by its id, and writes no files.
        if not saver.Name.startswith("MediaOut") and not saver.GetAttrs()["TOOLB_PassThrough"]:
            saver.SetAttrs({"TOOLB_PassThrough": True})
            saver.SetData(DISABLED, 1)


def restore_savers(comp: Composition) -> None:
    """Delete temporary tools and enable the Savers that `disable_savers` has disabled."""
    for tool in all_tools(comp):
        if tool.GetData(TEMPORARY):
            tool.Delete()
    for saver in all_tools(comp, "Saver"):
        if saver.GetData(DISABLED):
            saver.SetAttrs({"TOOLB_PassThrough": False})
            saver.SetData(DISABLED, None)
