"""Plate and mattes to EXR, through Savers that are gone afterwards, while every other Saver rests.

A mask makes no picture: a white Background that it cuts out does, and the job reads the alpha of that.
"""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict

from host_plugins.resolve.graph import all_tools, changes, is_mask, new_tool, position_of, writes_files
from host_plugins.resolve.plan import ExportPlan, SaverOutput
from void_bridge.client.output import check_writable
from void_bridge.errors import InputError
from void_bridge.frames import FrameRange

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

log = logging.getLogger(__name__)

TEMPORARY, RESTED = "void_bridge.temporary", "void_bridge.rested"
HALF, FLOAT, ZIP = 1, 2, 3  # of OpenEXRFormat
QUIET = 524288  # no dialog at the end of a render
RANGE = ("COMPN_RenderStart", "COMPN_RenderEnd")
RENDER_YOURSELF = (
    "Fusion rendered nothing for this script. Choose Fusion > Render All Savers (in Fusion Studio: Render): "
    "the script goes on as soon as the files are there."
)


class Export:
    """Renders one plan. `close` takes every trace out of the composition and has to be called, whatever happens."""

    def __init__(self, comp: Composition, plan: ExportPlan) -> None:
        self.plan = plan
        self._comp = comp
        self._attrs: Dict[str, Any] = {}
        self._sizes: Dict[Path, int] = {}

    def start(self) -> bool:
        """Render. Returns whether every frame is there; if none is, Fusion has rendered nothing and `poll` tells.

        Raises:
            InputError: Fusion could not render, or stopped. OutputError: the folder cannot be written.
        """
        check_writable(self.plan.folder)
        self.plan.folder.mkdir(parents=True, exist_ok=True)
        with changes(self._comp, "VOID Remove: export"):
            clean_up(self._comp)  # what a script left that was ended in the middle
            disable_savers(self._comp)
            self._comp.SetAttrs(self._changed_attrs())
            for piece in self.plan.pieces:
                self._make(piece)
            self._render()
        missing = self.plan.missing()
        if missing and self.plan.written():
            raise InputError(f"Fusion stopped before frames {missing} were rendered; submit again")
        return not missing

    def poll(self) -> bool:
        """Whether what somebody renders by hand is there: every file, and none that still grows."""
        before = self._sizes
        self._sizes = {path: path.stat().st_size for path in self.plan.written()}
        whole = all(self._sizes.values()) and self._sizes == before
        return whole and not self.plan.missing() and not self._comp.IsRendering()

    def close(self) -> None:
        """Take the Savers out and let the others write again."""
        with changes(self._comp, "VOID Remove: clean up"):
            clean_up(self._comp)
            self._comp.SetAttrs(self._attrs)
            self._attrs = {}

    def discard(self) -> None:
        """Delete what was rendered, after a failure; the folder holds nothing else."""
        shutil.rmtree(self.plan.folder, ignore_errors=True)
        with suppress(OSError):  # unless other exports are in it
            self.plan.folder.parent.rmdir()

    def _changed_attrs(self) -> Dict[str, Any]:
        """Full size, and the range for whoever renders by hand; what was there is kept."""
        frames = self.plan.frames
        changed: Dict[str, Any] = {RANGE[0]: frames.first, RANGE[1]: frames.last, "COMPB_Proxy": False}
        attrs = self._comp.GetAttrs()
        self._attrs = {name: attrs[name] for name in changed if name in attrs}
        return {name: value for name, value in changed.items() if name in self._attrs}

    def _make(self, piece: SaverOutput) -> None:
        source = self._comp.FindTool(piece.tool)
        assert source is not None
        if is_mask(source):
            source = self._cut_out(source)
        saver = self._temporary("Saver", source)
        saver.ConnectInput("Input", source)
        saver.SetInput("Clip", saver_path(piece))
        saver.SetInput("OutputFormat", "OpenEXRFormat")
        saver.SetInput("OpenEXRFormat.Depth", FLOAT if piece.is_float else HALF)
        saver.SetInput("OpenEXRFormat.Compression", ZIP)
        saver.SetInput("ClippingMode", "None")  # keeps what lies outside the frame

    def _cut_out(self, mask: Operator) -> Operator:
        picture = self.plan.picture
        white = self._temporary("Background", mask)
        white.SetInput("UseFrameFormatSettings", 0)
        white.SetInput("Width", picture.width)
        white.SetInput("Height", picture.height)
        white.SetInput("Depth", 4)  # float32
        for colour in ("Red", "Green", "Blue", "Alpha"):
            white.SetInput(f"TopLeft{colour}", 1.0)
        white.ConnectInput("EffectMask", mask)
        return white

    def _temporary(self, kind: str, beside: Operator) -> Operator:
        x, y = position_of(self._comp, beside) or (0.0, 0.0)
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


def saver_path(piece: SaverOutput) -> str:
    """A file of the sequence: a Saver puts the frame's number where this one has its own."""
    return piece.sequence.path(0).as_posix()


def render_frames(frames: FrameRange) -> Dict[str, Any]:
    """As `comp.Render` wants them.

    >>> render_frames(FrameRange([1, 2, 3, 7]))
    {'FrameRange': '1..3,7..7'}
    """
    runs = frames.runs()
    if len(runs) == 1:
        return {"Start": frames.first, "End": frames.last}
    return {"FrameRange": ",".join(f"{first}..{last}" for first, last in runs)}


def disable_savers(comp: Composition) -> None:
    """Let every Saver that writes pass through, and mark it, so that it is found again whatever happens."""
    for saver in all_tools(comp, "Saver"):
        if writes_files(saver) and not saver.GetAttrs()["TOOLB_PassThrough"]:
            saver.SetAttrs({"TOOLB_PassThrough": True})
            saver.SetData(RESTED, 1)


def clean_up(comp: Composition) -> None:
    """Take temporary tools out, and let the Savers write again that were made to rest."""
    for tool in all_tools(comp):
        if tool.GetData(TEMPORARY):
            tool.Delete()
    for saver in all_tools(comp, "Saver"):
        if saver.GetData(RESTED):
            saver.SetAttrs({"TOOLB_PassThrough": False})
            saver.SetData(RESTED, None)
