"""A small comp for the self-test, in the composition that is open: made, used, and taken out again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, List

from host_plugins.control.settings import Settings
from host_plugins.resolve.choice import ToolChoice
from host_plugins.resolve.export import Export
from host_plugins.resolve.graph import changes, new_tool, render_range
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.plan import ExportPlan, plan_export

if TYPE_CHECKING:
    from fusionscript import Operator

WIDTH, HEIGHT = 64, 48
VALUE = 2.5
SPACE = "ACEScg"


class FusionCheckFixture:
    """A plate of 2.5 everywhere, and a mask over its left half. Frames: the first four that are rendered."""

    def __init__(self, host: FusionHost, folder: Path) -> None:
        self.host, self.comp, self.folder = host, host.comp, folder
        self._made: List[str] = []
        self.first = render_range(self.comp).first
        self.last = min(self.first + 3, render_range(self.comp).last)
        with changes(self.comp, "VOID Remove: self-test"):
            self.plate = self.add("Background")
            for name, value in (("UseFrameFormatSettings", 0), ("Width", WIDTH), ("Height", HEIGHT), ("Depth", 4)):
                self.plate.SetInput(name, value)
            for colour in ("Red", "Green", "Blue"):
                self.plate.SetInput(f"TopLeft{colour}", VALUE)
            self.mask = self.add("RectangleMask")
            self.mask.SetInput("Width", 0.5)
            self.mask.SetInput("Height", 1.0)
            self.mask.SetInput("Center", {1: 0.25, 2: 0.5})

    @property
    def choice(self) -> ToolChoice:
        return ToolChoice(self.plate.Name, {"remove": self.mask.Name})

    def settings(self) -> Settings:
        frames = f"{self.first}-{self.last}"
        folder = self.folder.as_posix()
        return Settings(frames_from="custom", frames=frames, colorspace=SPACE, folder=folder, engine="propagate")

    def add(self, kind: str) -> Operator:
        """A tool that is taken out at the end."""
        tool = new_tool(self.comp, kind, (float(len(self._made)), 40.0))
        self._made.append(tool.Name)
        return tool

    def exported(self, name: str) -> ExportPlan:
        """The plate and the mask as files below a folder of this name."""
        plan = plan_export(self.comp, self.choice, self.settings(), self.folder / name)
        export = Export(self.comp, plan)
        try:
            whole = export.start()
        finally:
            export.close()
        assert whole, "comp.Render wrote nothing: artists will be told to use Render All Savers"
        return plan

    def loader(self, path: Path) -> Operator:
        """A Loader over a file, from the first frame on."""
        with changes(self.comp, "VOID Remove: self-test"):
            loader = self.add("Loader")
            loader.SetInput("Clip", path.as_posix())
        return loader

    def clear(self) -> None:
        """Take everything out."""
        with changes(self.comp, "VOID Remove: self-test"):
            for name in reversed(self._made):
                tool = self.comp.FindTool(name)
                if tool is not None:
                    with suppress(TypeError):  # a handle of a tool that somebody deleted
                        tool.Delete()
