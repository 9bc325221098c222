"""A shot in the fake Fusion: a plate from a Loader, masks drawn over it, a Saver of the artist's own, and a user."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np

from host_plugins.control.state import JobState
from host_plugins.resolve.comp_data import jobs_of, shot_token
from host_plugins.resolve.remove import run
from host_plugins.resolve.result import loader_of
from tests.hosts.fake_fusion import FakeFusion
from tests.hosts.fake_fusion.exr_files import load
from tests.hosts.fake_fusion.windows import User
from tests.hosts.shots_on_disk import FRAMES, Footage
from void_bridge.sequence import Sequence

SPACE = "Linear Rec.709 (sRGB)"
V1, V2 = "sh010_comp_plate_v001", "sh010_comp_plate_v002"


def matte_of(sequence: Sequence) -> Callable[[int], np.ndarray]:
    """What somebody drew over the frame: shape [H, W], the alpha of a sequence."""

    def drawing(frame: int) -> np.ndarray:
        picture = load(sequence.path(frame))
        return picture.over(picture.frame).rgba[..., 3]

    return drawing


class Shot:
    """A saved composition: `plate` (a Loader), `roto` and `shadow` (masks), and the artist's Saver, which is on."""

    def __init__(self, footage: Footage, folder: Path, windows: bool = True) -> None:
        self.fake = FakeFusion(windows)
        self.footage, self.folder = footage, folder
        comp = self.fake.new_comp("sh010_comp", range(FRAMES[0], FRAMES[-1] + 1), folder / "sh010_comp.comp")
        with self.fake.building():
            plate = self._tool("Loader", "plate", 0)
            plate.SetInput("Clip", str(footage.plate.path(FRAMES[0])))
            for name, sequence, row in (("roto", footage.roto, 1), ("shadow", footage.shadow, 2)):
                self.fake.draw(self._tool("PolylineMask", name, row), matte_of(sequence))
            saver = self._tool("Saver", "final", 5)
            saver.ConnectInput("Input", plate)
            saver.SetInput("Clip", str(folder / "final.0000.exr"))
            off = self._tool("Saver", "old", 6)
            off.SetAttrs({"TOOLB_PassThrough": True})
        comp.selected = ["plate", "roto", "shadow"]
        comp.save()

    @property
    def comp(self):
        return self.fake.comp

    @property
    def comp_file(self) -> Path:
        return Path(self.comp.file)

    def _tool(self, id: str, name: str, row: int):
        tool = self.fake.comp.AddTool(id, 0, row)
        tool.SetAttrs({"TOOLS_Name": name})
        return tool

    def use(self, steps: Callable[[User], None]) -> None:
        """Run the script; somebody does `steps` at its window and closes it."""

        def somebody(user: User) -> None:
            steps(user)
            user.click("close")

        self.fake.user = somebody
        run(self.fake.names())

    def submit(self, user: User) -> None:
        """As an artist does who lets it run on this machine, with the engine that needs no weights."""
        user.type("colorspace", SPACE)
        user.choose("engine", "propagate")
        user.click("submit")

    def state(self, plate: str = "plate") -> JobState:
        return jobs_of(self.comp).get(shot_token(self.comp.tool(plate)), JobState())

    def loader(self, kind: str = "result", plate: str = "plate"):
        """The Loader that shows the result or the paste matte; None before there is one."""
        return loader_of(self.comp, shot_token(self.comp.tool(plate)), kind)

    def is_home(self, id: str = "") -> bool:
        """Whether both Loaders show the last job (which is not `id`)."""
        state = self.state()
        loaders = [self.loader("result"), self.loader("paste")]
        shown = {each.data.get("void_bridge.job") if each is not None else None for each in loaders}
        return state.id != id and shown == {state.id}

    def savers(self) -> dict[str, bool]:
        """Every Saver and whether it passes through; a temporary tool that is left is named, too."""
        temporary = {tool.name for tool in self.comp.tools if tool.data.get("void_bridge.temporary")}
        savers = {tool.name: tool.attrs["TOOLB_PassThrough"] for tool in self.comp.tools if tool.id == "Saver"}
        return {**savers, **dict.fromkeys(temporary, None)}


def rgb(picture) -> np.ndarray:
    """Shape [H, W, 3] over the frame."""
    return picture.over(picture.frame).rgba[..., :3]


def as_was(shot: Shot) -> None:
    """The composition is as the artist left it, but for what is meant to be there."""
    assert shot.savers() == {"final": False, "old": True}
    assert "void_bridge.rested" not in shot.comp.tool("final").data
    assert shot.comp.locks == 0 and shot.comp._undo == []
    assert (shot.comp.attrs["COMPN_RenderStart"], shot.comp.attrs["COMPN_RenderEnd"]) == (FRAMES[0], FRAMES[-1])
