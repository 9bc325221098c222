"""A composition in the fake Fusion: a plate from a Loader, masks over it, the artist's own Savers, and a user."""

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
    """Return a drawing for a mask: a function from a frame to the alpha of a sequence, shape [H, W]."""

    def drawing(frame: int) -> np.ndarray:
        picture = load(sequence.path(frame))
        return picture.over(picture.frame).rgba[..., 3]

    return drawing


class FusionShot:
    """A saved composition: `plate` (a Loader), `roto` and `shadow` (masks), `final` and `old` (the artist's Savers).

    Args:
        footage: the files on disk.
        folder: the folder of the composition and its results.
        windows: whether Fusion has a UI manager.
    """

    def __init__(self, footage: Footage, folder: Path, windows: bool = True) -> None:
        self.fake = FakeFusion(windows)
        self.footage, self.folder = footage, folder
        comp = self.fake.new_comp("sh010_comp", range(FRAMES[0], FRAMES[-1] + 1), folder / "sh010_comp.comp")
        with self.fake.building():
            plate = self.add_loader("plate", 0, footage.plate)
            for name, sequence, row in (("roto", footage.roto, 1), ("shadow", footage.shadow, 2)):
                self.fake.draw(self._add_tool("PolylineMask", name, row), matte_of(sequence))
            saver = self._add_tool("Saver", "final", 5)
            saver.ConnectInput("Input", plate)
            saver.SetInput("Clip", str(folder / "final.0000.exr"))
            self._add_tool("Saver", "old", 6).SetAttrs({"TOOLB_PassThrough": True})
        comp.selected = ["plate", "roto", "shadow"]
        comp.save()

    @property
    def comp(self):
        """The composition, which has other handles after `fake.reopen`."""
        return self.fake.comp

    @property
    def comp_file(self) -> Path:
        """The file of the composition."""
        return Path(self.comp.file)

    def add_loader(self, name: str, row: int, sequence: Sequence):
        """Add a Loader of a sequence. Call it inside `fake.building`."""
        loader = self._add_tool("Loader", name, row)
        loader.SetInput("Clip", str(sequence.path(FRAMES[0])))
        return loader

    def _add_tool(self, id: str, name: str, row: int):
        tool = self.fake.comp.AddTool(id, 0, row)
        tool.SetAttrs({"TOOLS_Name": name})
        return tool

    def run_window(self, steps: Callable[[User], None]) -> None:
        """Run the script; its user does `steps` in the window and closes it."""

        def artist(user: User) -> None:
            steps(user)
            user.click("close")

        self.fake.user = artist
        run(self.fake.names())

    def submit(self, user: User) -> None:
        """Submit with the engine that needs no weights."""
        user.type("colorspace", SPACE)
        user.choose("engine", "propagate")
        user.click("submit")

    def submit_and_wait(self, user: User) -> None:
        """Submit, and wait until both Loaders show the result."""
        before = self.state().id
        self.submit(user)
        user.until(lambda: self.shows_result(before))

    def submit_and_cancel(self, user: User) -> None:
        """Submit, and cancel the job after its export."""
        self.submit(user)
        user.until(lambda: self.state().phase in ("queued", "running", "done"))
        user.click("cancel")
        user.until(lambda: not self.state().is_alive)

    def state(self, plate: str = "plate") -> JobState:
        """Return the state of a plate's job."""
        return jobs_of(self.comp).get(shot_token(self.comp.tool(plate)), JobState())

    def loader(self, kind: str = "result", plate: str = "plate"):
        """Return the Loader of a plate's result or paste matte, or None."""
        return loader_of(self.comp, shot_token(self.comp.tool(plate)), kind)

    def shows_result(self, before: str = "") -> bool:
        """Return whether both Loaders show the plate's job, which is not `before`."""
        state = self.state()
        loaders = [self.loader("result"), self.loader("paste")]
        shown = {each.data.get("void_bridge.job") if each is not None else None for each in loaders}
        return state.id != before and shown == {state.id}

    def savers(self) -> dict[str, bool]:
        """Return whether each Saver passes through, by name; temporary tools are listed with None."""
        temporary = {tool.name for tool in self.comp.tools if tool.data.get("void_bridge.temporary")}
        savers = {tool.name: tool.attrs["TOOLB_PassThrough"] for tool in self.comp.tools if tool.id == "Saver"}
        return {**savers, **dict.fromkeys(temporary, None)}


def rgb(picture) -> np.ndarray:
    """Return the colour of a picture over its frame, shape [H, W, 3]."""
    return picture.over(picture.frame).rgba[..., :3]


def assert_restored(shot: FusionShot) -> None:
    """Assert that Savers, locks, undo steps and the render range are as the artist left them."""
    assert shot.savers() == {"final": False, "old": True}
    assert "void_bridge.rested" not in shot.comp.tool("final").data
    assert shot.comp.locks == 0 and shot.comp.open_undo == []
    assert (shot.comp.attrs["COMPN_RenderStart"], shot.comp.attrs["COMPN_RenderEnd"]) == (FRAMES[0], FRAMES[-1])
