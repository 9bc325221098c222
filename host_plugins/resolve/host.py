"""The objects that Fusion gives to a script, and messages for the artist where no composition is open."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional

from void_bridge.errors import UsageError, VoidBridgeError

if TYPE_CHECKING:
    from fusionscript import Bmd, Composition, Fusion, Resolve, UIManager

MESSAGE_WINDOW = "VoidMessage"


@dataclass(frozen=True)
class FusionHost:
    """The objects that one run of a script works with.

    Attributes:
        fusion: the application.
        comp: the composition.
        bmd: the module that makes dispatchers for windows, or None where there are no windows.
        resolve: Resolve, or None in Fusion Studio.
    """

    fusion: Fusion
    comp: Composition
    bmd: Optional[Bmd] = None
    resolve: Optional[Resolve] = None

    @property
    def ui(self) -> Optional[UIManager]:
        """The UI manager, or None where this version or edition has none."""
        return getattr(self.fusion, "UIManager", None) if self.bmd is not None else None

    @property
    def name(self) -> str:
        """The product and its version, for reports."""
        if self.resolve is not None:
            return f"DaVinci Resolve {self.resolve.GetVersionString()}"
        return f"Fusion {self.fusion.GetAttrs().get('FUSIONS_Version', '')}".strip()

    def is_alive(self) -> bool:
        """Return whether the composition is still open. The handle of a closed one answers no call."""
        try:
            return bool(self.comp.GetAttrs())
        except Exception:  # which exception a dead handle raises depends on the version
            return False


def fusion_host(names: Mapping[str, Any], comp: Optional[Composition] = None) -> FusionHost:
    """Find the application and the composition in the globals of a script.

    Args:
        names: the globals of the script; which of them are set depends on the menu that started it.
        comp: the composition to work in; by default the one that the script was started for.

    Raises:
        UsageError: the script does not run in Fusion, or no composition is open.
    """
    fusion = _fusion(names)
    if fusion is None:
        raise UsageError("this script needs Fusion; start it from Fusion's or Resolve's Scripts menu")
    comp = comp or names.get("comp") or names.get("composition") or fusion.GetCurrentComp()
    if comp is None:
        raise UsageError("no composition is open; open one, or use the timeline script on a clip")
    return FusionHost(fusion, comp, names.get("bmd"), names.get("resolve"))


def run_from_menu(names: Mapping[str, Any], run: Callable[[Mapping[str, Any]], None]) -> None:
    """Run a script and show its error, if it raises one, as a message.

    Args:
        names: the globals of the script.
        run: the script's function, which gets `names`.
    """
    try:
        run(names)
    except VoidBridgeError as exc:
        show_message(names, exc.message)


def show_message(names: Mapping[str, Any], text: str) -> None:
    """Show a message in the console and, where there are windows, in a window until the artist closes it.

    Args:
        names: the globals of the script.
        text: the message.
    """
    sys.stdout.write(f"VOID Remove: {text}\n")  # Fusion shows it in its console
    ui, bmd = getattr(_fusion(names), "UIManager", None), names.get("bmd")
    if ui is not None and bmd is not None:
        _show_window(ui, bmd, text)


def _fusion(names: Mapping[str, Any]) -> Optional[Fusion]:
    """Return the application from a script's globals, or None."""
    resolve = names.get("resolve")
    return names.get("fu") or names.get("fusion") or (resolve.Fusion() if resolve else None)


def _show_window(ui: UIManager, bmd: Bmd, text: str) -> None:
    """Show a text and a button in a window of their own."""
    dispatcher = bmd.UIDispatcher(ui)
    label = ui.Label({"ID": "text", "Text": text, "WordWrap": True, "Weight": 1})
    row = ui.HGroup({"Weight": 0}, [ui.Button({"ID": "ok", "Text": "OK"})])
    options = {"ID": MESSAGE_WINDOW, "WindowTitle": "VOID Remove", "Geometry": [300, 300, 420, 160]}
    window = dispatcher.AddWindow(options, [ui.VGroup({"Spacing": 6}, [label, row])])
    getattr(window.On, MESSAGE_WINDOW).Close = lambda event: dispatcher.ExitLoop()
    window.On.ok.Clicked = lambda event: dispatcher.ExitLoop()
    window.Show()
    dispatcher.RunLoop()
    window.Hide()
