"""The fake's session: one running Fusion, and what tests need to drive it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

from tests.hosts.fake_fusion.api import Api, ThreadCheck
from tests.hosts.fake_fusion.comp import Composition, read_text
from tests.hosts.fake_fusion.picture import Picture
from tests.hosts.fake_fusion.tools import Operator
from tests.hosts.fake_fusion.windows import Dispatcher, UIManager, User
from void_bridge.pixels.box import Box

Draw = Callable[[int], np.ndarray]


class Bmd(Api):
    def __init__(self, session: FakeFusion) -> None:
        self.thread, self.session = session.thread, session

    def UIDispatcher(self, ui: UIManager) -> Dispatcher:
        return Dispatcher(self.session, ui)


class Fusion(Api):
    def __init__(self, session: FakeFusion) -> None:
        self.thread, self.session = session.thread, session

    @property
    def UIManager(self) -> Optional[UIManager]:
        return self.session.ui

    def GetCurrentComp(self) -> Optional[Composition]:
        return self.session.comp

    def GetAttrs(self) -> Dict[str, Any]:
        return {"FUSIONS_Version": "fake 1.0"}

    def RequestDir(self, path: str) -> Optional[str]:
        return self.session.chosen_path

    def RequestFile(self, path: str) -> Optional[str]:
        return self.session.chosen_path


class FakeFusion:
    """One running Fusion.

    Args:
        windows: whether there is a UI manager.

    Attributes:
        comp: the current composition.
        user: called with a `User` while a window's loop runs.
        answers: the answers to the next AskUser dialogs.
        dialogs: the title and the controls of each dialog so far.
        chosen_path: the answer to requests for a path.
        is_strict: whether changes have to be locked and in an undo step; tests make theirs inside `building`.
    """

    def __init__(self, windows: bool = True) -> None:
        self.thread = ThreadCheck()
        self.ui = UIManager(self) if windows else None
        self.bmd = Bmd(self)
        self.fusion = Fusion(self)
        self.user: Optional[Callable[[User], None]] = None
        self.answers: List[Any] = []
        self.dialogs: List[Tuple[str, Dict[str, Dict[Any, Any]]]] = []
        self.chosen_path: Optional[str] = None
        self.is_strict = True
        self.comp: Optional[Composition] = None
        self._drawings: Dict[str, Draw] = {}
        self._depths: Dict[str, str] = {}

    def names(self) -> Dict[str, Any]:
        """Return the globals of a composition script."""
        return {"fusion": self.fusion, "fu": self.fusion, "bmd": self.bmd, "comp": self.comp}

    def new_comp(self, name: str = "shot", frames: range = range(0, 1001), file: Optional[Path] = None) -> Composition:
        """Open an empty composition, which is saved as `file` if that is given."""
        self.comp = Composition(self, name, frames)
        self.comp.file = str(file) if file else ""
        return self.comp

    @contextmanager
    def building(self) -> Iterator[Composition]:
        """Allow changes without Lock and StartUndo: those that the artist makes."""
        assert self.comp is not None
        self.is_strict = False
        try:
            yield self.comp
        finally:
            self.is_strict = True

    def draw(self, tool: Operator, drawing: Draw, depth: str = "float32") -> None:
        """Set the pictures of a mask (shape [H, W]) or a MediaIn (shape [H, W, 4]): a function of the frame."""
        tool.SetData("drawing", f"drawing{len(self._drawings)}")
        self._drawings[tool.GetData("drawing")] = drawing
        self._depths[tool.GetData("drawing")] = depth

    def drawn(self, tool: Operator, frame: int) -> Picture:
        """Return the picture that `draw` has set. Raise RuntimeError if there is none."""
        key = tool.data.get("drawing")
        if key is None:
            raise RuntimeError(f"{tool.name} has no drawing")
        plane = np.asarray(self._drawings[key](frame), np.float32)
        rgba = plane if plane.ndim == 3 else np.repeat(plane[..., None], 4, axis=-1)
        frame_box = Box(0, 0, *rgba.shape[:2])
        return Picture(np.ascontiguousarray(rgba), frame_box, frame_box, self._depths[key])

    def reopen(self) -> Composition:
        """Save the composition, close it, and open it again with new handles."""
        assert self.comp is not None
        text = self.comp.save_text()
        self.comp.close()
        self.comp = read_text(self, text)
        return self.comp
