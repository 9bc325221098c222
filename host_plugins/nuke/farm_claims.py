"""The claims about Nuke that the farm's submission makes, each with its check (see claims.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Tuple

import nuke

from host_plugins.farm.settings import EVERY, FARMS, FarmSettings
from host_plugins.nuke.farm import ask
from host_plugins.nuke.panel import FARM_JOB
from void_bridge.config import Config

if TYPE_CHECKING:
    from host_plugins.nuke.claims import Bench


def read_only_takes_text(bench: Bench) -> str:
    bench.node[FARM_JOB].setValue("farm job-1")
    found = bench.node[FARM_JOB].value()
    assert found == "farm job-1", f"got {found!r}"
    return str(found)


def saved_stays_saved(bench: Bench) -> str:
    """The script itself is not saved: only the mark that it has changes is looked at, and given back."""
    root = nuke.root()
    had_changes = root.modified()
    bench.plate["softness"].setValue(0.004)  # something new to write
    root.setModified(False)
    try:
        bench.exported()
        assert not root.modified(), "the script counts as changed after an export"
    finally:
        root.setModified(had_changes)
    return "not modified"


def dialog_gives_back(bench: Bench) -> str:
    nuke.message("A dialog of the farm follows: leave it as it is, press OK.")
    shown = FarmSettings(shots=EVERY, farm=FARMS[2], pool="gpu", gpu_memory=0.0, comment="two words", comp=True)
    found = ask(shown, Config())
    assert found == shown, f"got {found}, expected {shown}"
    return str(found)


FARM_CLAIMS: Tuple[Tuple[str, str, Callable[[Bench], str]], ...] = (
    ("read-only", "a read-only text knob takes what a script writes", read_only_takes_text),
    ("saved", "an export leaves a saved script saved", saved_stays_saved),
    ("farm", "the farm's dialog shows what was chosen last and gives it back", dialog_gives_back),
)
