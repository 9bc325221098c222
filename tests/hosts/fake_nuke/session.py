"""FakeNuke: one run of Nuke, with the handles that tests need."""

from __future__ import annotations

import itertools
import sys
import types
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

from tests.hosts.fake_nuke import api, constants, module, render, script_text
from tests.hosts.fake_nuke.callbacks import in_context
from tests.hosts.fake_nuke.dialogs import Dialogs, Menu, Panel, ProgressTask
from tests.hosts.fake_nuke.graph.evaluate import Evaluator
from tests.hosts.fake_nuke.image import Image
from tests.hosts.fake_nuke.knobs import Knob, Script_Knob
from tests.hosts.fake_nuke.nodes import Node
from tests.hosts.fake_nuke.script import OpenScript
from tests.hosts.fake_nuke.threads import LoggedCall, MainThread

Rectangle = Tuple[int, int, int, int]
Drawing = Union[Mapping[int, Rectangle], Callable[[int], Optional[Rectangle]]]
VERSIONS = (14, 15, 16, 17)
# From this version on knobChanged also runs for changes by scripts.
HEARS_SCRIPTS = 17


class FakeNuke(OpenScript):
    """A fake of Nuke for tests, written by hand: `install()` makes `import nuke` give it, until `uninstall()`.

    It holds a script, computes its images, reads and writes real EXR files, and keeps the rules that plug-ins break:
    types of knobs and values of enumerations (stricter than Nuke), the API on the main thread only, callbacks, undo,
    saving and loading. What it does not know it refuses. It is checked against the vendor's data (../data) and stubs.

    Args:
        version: 14 to 17.
        gui: False is `nuke -t`: no event loop, no questions, no menus.
        caches: like Nuke, a Read does not see that a file has changed or appeared until it is reloaded.
        executable: nuke.EXE_PATH; terminal.write_executable makes one that runs.
    """

    # Shared by sessions, so that a script that one saved still shows its roto in another.
    drawings: ClassVar[Dict[str, Drawing]] = {}
    _drawing_numbers: ClassVar[Iterator[int]] = itertools.count(1)

    def __init__(self, version: int = 17, gui: bool = True, caches: bool = True, executable: str = "") -> None:
        if version not in VERSIONS:
            raise ValueError(f"got version {version}, expected one of {VERSIONS}")
        super().__init__(version)
        self.gui, self.caches = gui, caches
        self.version_string = f"{version}.0v1"
        self.executable = executable or f"/usr/local/Nuke{version}.0v1/Nuke{version}.0"
        self.threads = MainThread(event_loop=gui)
        self.dialogs = Dialogs()
        self.menus: Dict[str, Menu] = {}
        self.written: List[render.Written] = []
        self._stops: Dict[int, str] = {}
        self._user_acts = False
        self._module = types.ModuleType("nuke")
        self._before: Optional[types.ModuleType] = None

    def install(self) -> FakeNuke:
        """Make `import nuke` give this session."""
        api.set_current(self)
        self._module, self._before = module.make_module(self), sys.modules.get("nuke")
        sys.modules["nuke"] = self._module
        return self

    def uninstall(self) -> None:
        """Give the name back. Calls that other threads still want run are dropped."""
        del sys.modules["nuke"]
        if self._before is not None:
            sys.modules["nuke"] = self._before
        self.threads.close()
        api.set_current(None)

    def __enter__(self) -> FakeNuke:
        return self.install()

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    # --- what a test sees -----------------------------------------------------------------------------------------

    @property
    def nuke(self) -> Any:
        """The module object."""
        return self._module

    @property
    def messages(self) -> List[str]:
        """The texts of messages and questions."""
        return self.dialogs.messages

    @property
    def answers(self) -> List[Any]:
        """The artist's answers to the next questions, first to last; a test fills the list."""
        return self.dialogs.answers

    @property
    def progress(self) -> List[ProgressTask]:
        return self.dialogs.progress

    @property
    def panels(self) -> List[Panel]:
        """Every nuke.Panel that was shown."""
        return self.dialogs.panels

    @property
    def main_thread_log(self) -> List[LoggedCall]:
        """Every call that ran through executeInMainThread, with its duration."""
        return self.threads.log

    def render(self, node: Node, frame: Optional[int] = None, view: str = "") -> Image:
        """Return the node's image, as a Viewer or a render would compute it. Raises RuntimeError as they would."""
        return Evaluator().image(node, self.frame if frame is None else frame, view or self.view)

    # --- what a test does in the artist's place -------------------------------------------------------------------

    def pump(self, until: Callable[[], Any], timeout: float = 60.0) -> None:
        """Run calls for the main thread until `until()` holds. Raises AssertionError after `timeout` seconds."""
        self.threads.pump(until, timeout)

    def draw(self, roto: Node, boxes: Drawing) -> None:
        """Draw into a Roto: a box (x, y, r, t) by frame, origin at the bottom left, r and t exclusive."""
        roto._drawing = str(next(self._drawing_numbers))
        self.drawings[roto._drawing] = boxes

    def user_sets(self, knob: Knob, value: Any) -> None:
        """Set a knob as an artist does: knobChanged runs in every version."""
        self._user_acts = True
        try:
            knob.setValue(value)
        finally:
            self._user_acts = False

    def user_presses(self, button: Script_Knob) -> None:
        """Press a button as an artist does."""
        button.execute()
        if button._owner is not None and button._owner._alive:
            self.callbacks.run("KnobChanged", button._owner, button)

    def cancel_execute_at(self, frame: int) -> None:
        """Press Cancel in the render's bar when it comes to this frame."""
        self._stops[frame] = "Cancelled"

    def fail_execute_at(self, frame: int, text: str) -> None:
        """Make the next rendering of this frame fail with this text."""
        self._stops[frame] = text

    def cancel_progress(self, when: Callable[[ProgressTask], bool] = lambda task: True) -> None:
        """Press Cancel in a ProgressTask as soon as `when(task)` is true."""
        self.dialogs.cancels = when

    def save(self, path: Union[str, Path]) -> None:
        self.save_script(str(path))

    def open(self, path: Union[str, Path]) -> None:
        self.open_script(str(path))

    def close_script(self) -> None:
        self.clear_script()

    def copy_paste(self, nodes: Union[Node, Iterable[Node]]) -> List[Node]:
        """Copy nodes and paste them into the group that they are in; returns the new ones."""
        chosen = [nodes] if isinstance(nodes, Node) else list(nodes)
        assert chosen[0]._group is not None, "the root cannot be copied"
        return self.paste(script_text.nodes_text(chosen), chosen[0]._group)

    # --- what nodes and knobs call --------------------------------------------------------------------------------

    def knob_was_set(self, knob: Knob, before: Any, after: Any) -> None:
        self.touched()
        owner = knob._owner
        if knob._name == "name" and owner is not None and owner._group is not None:
            knob._state = ""
            after = knob._state = owner._group._free_name(after)
        if owner is not None and not knob._flags & constants.NO_UNDO:
            self.undo.record(lambda: knob._restore(before))
        if owner is not None and (self.version >= HEARS_SCRIPTS or self._user_acts):
            self._knob_changed(owner, knob)

    def inputs_changed(self, node: Node) -> None:
        self.touched()
        self._knob_changed(node, _event("inputChange", node))

    def panel_opened(self, node: Node) -> None:
        if self.gui:
            self._knob_changed(node, _event("showPanel", node))

    def _knob_changed(self, node: Node, knob: Knob) -> None:
        """Run the callback; a change that it makes is one by a script, also if an artist caused it."""
        self._user_acts, acts = False, self._user_acts
        try:
            self.callbacks.run("KnobChanged", node, knob)
        finally:
            self._user_acts = acts

    def run_in(self, node: Optional[Node], knob: Optional[Knob], text: str) -> None:
        """Run Python text with `node` as nuke.thisNode()."""
        in_context(node or self.root, knob, lambda: self.run_text(text))

    def run_text(self, text: str) -> None:
        exec(text, {"__name__": "__main__", "nuke": self._module})

    def before_frame(self, frame: int) -> None:
        """Raise RuntimeError if the test wants this frame to fail or the render to be cancelled."""
        if frame in self._stops:
            raise RuntimeError(self._stops.pop(frame))


def _event(name: str, node: Node) -> Knob:
    """Return the knob that stands for an event of the whole node in knobChanged."""
    knob = Knob(name)
    knob._owner = node
    return knob
