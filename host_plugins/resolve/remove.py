"""The composition script: `VOID Remove` in Fusion's and Resolve's Scripts menu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional

from host_plugins.resolve.choice import ToolChoice
from host_plugins.resolve.dialogs import run_dialogs
from host_plugins.resolve.host import FusionHost, fusion_host
from host_plugins.resolve.message import tell
from host_plugins.resolve.session import OnPlaced
from host_plugins.resolve.windowed import run_window
from void_bridge.errors import VoidBridgeError

if TYPE_CHECKING:
    from fusionscript import Composition


def run(names: Mapping[str, Any], comp: Optional[Composition] = None) -> None:
    """Show the window, or the dialogs where there are no windows.

    Args:
        names: the globals of the script.
        comp: default: the one that the script was started for.

    Raises:
        UsageError: there is nothing to work in.
    """
    show(fusion_host(names, comp))


def show(host: FusionHost, choice: Optional[ToolChoice] = None, on_placed: Optional[OnPlaced] = None) -> None:
    """choice: of tools, instead of those that are selected. on_placed: told what is new in the composition."""
    ui, bmd = host.ui, host.bmd
    if ui is not None and bmd is not None:
        run_window(host, ui, bmd, choice, on_placed)
    else:
        run_dialogs(host, choice, on_placed)


def script(names: Mapping[str, Any]) -> None:
    """`run`, for a menu: what is wrong is said in words."""
    try:
        run(names)
    except VoidBridgeError as exc:
        tell(names, exc.message)
