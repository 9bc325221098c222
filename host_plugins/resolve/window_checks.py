"""The parts of the self-test that somebody has to look at."""

from __future__ import annotations

from typing import Any, Dict, List

from host_plugins.control.settings import Settings, setting_specs
from host_plugins.resolve.host import FusionHost
from host_plugins.resolve.window import SIZE, TITLE, Panel, elements

WINDOW, TIMER_WINDOW = "VoidSelfTest", "VoidSelfTestTimer"
TICKS = 5


def check_window(host: FusionHost) -> str:
    """Show the window until its own close button is pressed, then ask. Raises AssertionError: no, or no windows."""
    ui, bmd = host.ui, host.bmd
    assert ui is not None and bmd is not None, "no UI manager"
    dispatcher = bmd.UIDispatcher(ui)
    window = dispatcher.AddWindow({"ID": WINDOW, "WindowTitle": f"{TITLE} Self-test", "Geometry": SIZE}, elements(ui))
    panel = Panel(window.GetItems())
    panel.set(Settings())
    panel.items["status"].Text = "Look, turn to the other page, then close me with the title bar's own button."
    closed: List[str] = []

    def leave(how: str) -> None:
        closed.append(how)
        dispatcher.ExitLoop()

    def turn(event: Any) -> None:
        panel.items["stack"].CurrentIndex = int(panel.items["pages"].CurrentIndex)

    getattr(window.On, WINDOW).Close = lambda event: leave("title bar")
    window.On.close.Clicked = lambda event: leave("the button Close")
    window.On.pages.CurrentChanged = turn
    window.Show()
    dispatcher.RunLoop()
    window.Hide()
    assert panel.settings() == Settings(), "the widgets do not give back what they were set to"
    _ask(host, "Did it look like the picture in docs/resolve.md, and did its pages turn?")
    assert closed == ["title bar"], f"closed by {closed}; the title bar's button did not end the script"
    return f"{len(setting_specs())} settings, seen by a person"


def count_timer_ticks(host: FusionHost) -> str:
    """Raises AssertionError: no timer, or one that does not reach the script."""
    ui, bmd = host.ui, host.bmd
    assert ui is not None and bmd is not None, "no UI manager"
    dispatcher = bmd.UIDispatcher(ui)
    text = "This closes by itself. If it is still here after ten seconds, press Stop."
    label = ui.Label({"ID": "status", "Text": text, "WordWrap": True})
    row = [label, ui.Button({"ID": "stop", "Text": "Stop"})]
    options = {"ID": TIMER_WINDOW, "WindowTitle": f"{TITLE} Self-test", "Geometry": [300, 300, 360, 120]}
    window = dispatcher.AddWindow(options, [ui.VGroup({"Spacing": 6}, row)])
    timer = ui.Timer({"ID": "void_selftest", "Interval": 100})
    assert timer is not None, "ui.Timer made none"
    seen: List[str] = []

    def tick(event: Any) -> None:
        seen.append(str(event.get("who", "")) if isinstance(event, dict) else type(event).__name__)
        if len(seen) >= TICKS:
            dispatcher.ExitLoop()

    dispatcher.On.Timeout = tick
    window.On.stop.Clicked = lambda event: dispatcher.ExitLoop()
    getattr(window.On, TIMER_WINDOW).Close = lambda event: dispatcher.ExitLoop()
    window.Show()
    timer.Start()
    dispatcher.RunLoop()
    timer.Stop()
    window.Hide()
    assert len(seen) >= TICKS, f"{len(seen)} ticks came"
    return f"{len(seen)} ticks from {seen[0] or 'an unnamed timer'}"


def _ask(host: FusionHost, question: str) -> None:
    controls: Dict[int, Dict[Any, Any]] = {
        1: {1: "question", 2: "Text", "Name": "Self-test", "Default": question, "ReadOnly": True, "Lines": 2},
        2: {1: "answer", 2: "Dropdown", "Name": "answer", "Options": {1: "no", 2: "yes"}, "Default": 1},
    }
    answer = host.comp.AskUser(f"{TITLE} Self-test", controls)
    assert answer is not None and int(answer["answer"]) == 1, "the answer was no"
