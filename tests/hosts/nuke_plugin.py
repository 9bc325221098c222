"""The Nuke plug-in inside a fake Nuke, as a fresh start of the application loads it."""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator, Tuple

from tests.hosts.fake_nuke import FakeNuke

_LEAVE_S = 1.0
FOLDER = Path(__file__).parents[2] / "host_plugins" / "nuke"


@contextmanager
def started(gui: bool = True, **options: Any) -> Iterator[Tuple[FakeNuke, ModuleType]]:
    """Start Nuke with the plug-in and yield the session and the module `void_bridge_nuke`."""
    with FakeNuke(gui=gui, **options) as fake:
        try:
            yield fake, load(fake)
        finally:
            stop()


def load(fake: FakeNuke) -> ModuleType:
    """Load the plug-in as Nuke does when it starts."""
    _unload()
    sys.path.append(str(FOLDER / "plugin"))
    module = importlib.import_module("void_bridge_nuke")
    if fake.gui:
        importlib.import_module("host_plugins.nuke.interface").add_menu()
    return module


def stop() -> None:
    """Leave Nuke: follow no job any more, and forget the modules."""
    module: Any = sys.modules.get("host_plugins.nuke.session")
    if module is not None:
        controller = module.session().controller
        module.stop()
        # A thread that has only just begun would read its configuration in the next test's environment.
        for id in controller.followed_ids():
            controller.wait(id, _LEAVE_S)
    _unload()


def _unload() -> None:
    for name in [name for name in sys.modules if name == "void_bridge_nuke" or name.startswith("host_plugins.nuke")]:
        del sys.modules[name]
    if str(FOLDER / "plugin") in sys.path:
        sys.path.remove(str(FOLDER / "plugin"))
