"""The composition script: `VOID Remove` in Fusion's and Resolve's Scripts menu."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from host_plugins.resolve.choice import ToolChoice
from host_plugins.resolve.dialogs import Dialogs
from host_plugins.resolve.host import FusionHost, fusion_host, run_from_menu
from host_plugins.resolve.session import OnPlaced
from host_plugins.resolve.window import run_window


def run(names: Mapping[str, Any]) -> None:
    """Show the window, or the dialogs where there are no windows, until the artist closes them.

    Args:
        names: the globals of the script.

    Raises:
        UsageError: the script does not run in Fusion, or no composition is open.
    """
    show(fusion_host(names))


def show(host: FusionHost, choice: Optional[ToolChoice] = None, on_placed: Optional[OnPlaced] = None) -> None:
    """Show the window, or the dialogs where there are no windows, until the artist closes them.

    Args:
        host: the application and the composition.
        choice: the tools to start with; by default the selected ones.
        on_placed: called after a Loader has got new files.
    """
    ui, bmd = host.ui, host.bmd
    if ui is not None and bmd is not None:
        run_window(host, ui, bmd, choice, on_placed)
    else:
        Dialogs(host, on_placed).run(choice)


def script(names: Mapping[str, Any]) -> None:
    """Run the script of the menu, and show its error as a message.

    Args:
        names: the globals of the script.
    """
    run_from_menu(names, run)
