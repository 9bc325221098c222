"""A saved Nuke script with a shot and a VOIDRemove in it, and what an artist does with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.hosts.shots_on_disk import FRAMES, HEIGHT, WIDTH
from void_bridge.pixels.exr import read_frame

LAST_S = 120.0
V1, V2 = "sh010_comp_VOIDRemove1_v001", "sh010_comp_VOIDRemove1_v002"


def read_of(nuke, sequence, **knobs):
    first, last = FRAMES[0], FRAMES[-1]
    values = {"first": first, "last": last, "origfirst": first, "origlast": last, **knobs}
    return nuke.nodes.Read(file=sequence.pattern, **values)


class Comp:
    """A saved script with a plate, roto and a VOIDRemove in it."""

    def __init__(self, fake, plugin, footage, folder: Path) -> None:
        self.fake, self.plugin, self.nuke, self.folder = fake, plugin, fake.nuke, folder
        self.nuke.root()["format"].setValue(f"{WIDTH} {HEIGHT} 1 shot")
        self.nuke.root()["first_frame"].setValue(FRAMES[0])
        self.nuke.root()["last_frame"].setValue(FRAMES[-1])
        self.plate = read_of(self.nuke, footage.plate)
        self.roto = read_of(self.nuke, footage.roto)
        self.shadow = read_of(self.nuke, footage.shadow)
        self.nuke.menu("Nodes").findItem("VOID/VOIDRemove").invoke()
        self.node = self.nuke.toNode("VOIDRemove1")
        for index, source in enumerate((self.plate, self.roto, self.shadow)):
            self.node.setInput(index, source)
        self.node["engine"].setValue("propagate")
        self.script = folder / "sh010_comp.nk"
        self.nuke.scriptSaveAs(str(self.script))

    def press(self, button: str, node=None) -> None:
        self.fake.user_presses((node or self.node)[button])

    def status(self, node=None) -> str:
        return str((node or self.node)["status"].value())

    def wait(self, word: str, node=None) -> None:
        self.fake.pump(lambda: word in (node or self.node)["label"].value() or self.fake.messages, LAST_S)
        assert self.fake.messages == [], self.fake.messages

    def submit(self, node=None) -> None:
        before = (node or self.node)["label"].value()
        self.press("submit", node)
        assert self.fake.messages == [], self.fake.messages
        self.fake.pump(lambda: (node or self.node)["label"].value() not in ("", before), LAST_S)
        self.wait("done", node)

    def delivered(self, version: str, frame: int) -> np.ndarray:
        path = self.folder / "void" / version / f"{version}.{frame}.exr"
        channels = read_frame(path).picture.channels
        return np.stack([channels[name] for name in "RGB"], axis=-1).astype(np.float32)

    def paste(self, version: str, frame: int) -> np.ndarray:
        path = self.folder / "void" / version / f"{version}.{frame}.exr"
        return read_frame(path).picture.channels["void_bridge.paste"].astype(np.float32)
