"""A few words for the artist where there is no composition to show a dialog in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from fusionscript import Bmd, UIManager

WINDOW = "VoidMessage"
_say = print  # Fusion shows it in its console


def tell(names: Mapping[str, Any], text: str) -> None:
    """In a window where there are windows, and in the console.

    Args:
        names: the globals of the script.
    """
    _say(f"VOID Remove: {text}")
    resolve = names.get("resolve")
    fusion = names.get("fu") or names.get("fusion") or (resolve.Fusion() if resolve else None)
    ui, bmd = getattr(fusion, "UIManager", None), names.get("bmd")
    if ui is not None and bmd is not None:
        _show(ui, bmd, text)


def _show(ui: UIManager, bmd: Bmd, text: str) -> None:
    dispatcher = bmd.UIDispatcher(ui)
    label = ui.Label({"ID": "text", "Text": text, "WordWrap": True, "Weight": 1})
    row = ui.HGroup({"Weight": 0}, [ui.Button({"ID": "ok", "Text": "OK"})])
    options = {"ID": WINDOW, "WindowTitle": "VOID Remove", "Geometry": [300, 300, 420, 160]}
    window = dispatcher.AddWindow(options, [ui.VGroup({"Spacing": 6}, [label, row])])

    def close(event: Any) -> None:
        dispatcher.ExitLoop()

    window.On.ok.Clicked = close
    getattr(window.On, WINDOW).Close = close
    window.Show()
    dispatcher.RunLoop()
    window.Hide()
