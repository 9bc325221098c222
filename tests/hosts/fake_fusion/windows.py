"""The fake's UI manager: windows of checked widgets, and a dispatcher whose loop a test's user drives."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence

from tests.hosts.fake_fusion.api import Api

if TYPE_CHECKING:
    from tests.hosts.fake_fusion.session import FakeFusion

_COMMON = {"ID", "Weight", "ToolTip", "MinimumSize", "MaximumSize"}
# The options, the attributes that can be set and the events of each kind of widget.
_KINDS: Dict[str, tuple[set[str], set[str], set[str]]] = {
    "VGroup": ({"Spacing"}, set(), set()),
    "HGroup": ({"Spacing"}, set(), set()),
    "Stack": (set(), {"CurrentIndex"}, set()),
    "TabBar": (set(), {"CurrentIndex"}, {"CurrentChanged"}),
    "Label": ({"Text", "WordWrap"}, {"Text"}, set()),
    "LineEdit": ({"Text", "PlaceholderText"}, {"Text"}, set()),
    "TextEdit": ({"PlainText"}, {"PlainText"}, set()),
    "SpinBox": ({"Minimum", "Maximum", "Value"}, {"Value"}, set()),
    "DoubleSpinBox": ({"Minimum", "Maximum", "Value"}, {"Value"}, set()),
    "CheckBox": ({"Text", "Checked"}, {"Checked", "Text"}, set()),
    "ComboBox": (set(), {"CurrentIndex"}, set()),
    "Button": ({"Text"}, {"Text"}, {"Clicked"}),
}
_START = {"Text": "", "PlainText": "", "Value": 0, "Checked": False, "CurrentIndex": 0, "PlaceholderText": ""}
SETTABLE = ("Text", "PlainText", "PlaceholderText", "Value", "Checked", "CurrentIndex")


class Item(Api):
    """A widget. Attributes that its kind lacks can be neither read nor set."""

    settable = SETTABLE

    def __init__(self, session: FakeFusion, kind: str, options: Mapping[str, Any], children: Sequence[Item]) -> None:
        self.thread = session.thread
        own_options, self.attributes, self.events = _KINDS[kind]
        unknown = set(options) - own_options - _COMMON
        assert not unknown, f"{kind} has no options {unknown}"
        self.kind, self.children, self.entries = kind, list(children), []
        self.id = options.get("ID", "")
        self.tip = options.get("ToolTip", "")
        self.limits = (options.get("Minimum", 0), options.get("Maximum", 99))
        for name in self.attributes | (own_options & set(SETTABLE)):
            object.__setattr__(self, name, options.get(name, _START[name]))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SETTABLE and name not in self.attributes:
            raise AttributeError(f"{self.kind} has no {name} that can be set")
        if name == "CurrentIndex" and self.kind == "ComboBox":
            assert 0 <= value < len(self.entries), f"{self.id} has {len(self.entries)} entries, not {value + 1}"
        if name == "Value":
            value = min(max(value, self.limits[0]), self.limits[1])
        if name in ("Text", "PlainText"):
            assert isinstance(value, str), f"{self.id}.{name} takes text, got {value!r}"
        super().__setattr__(name, value)

    def AddItem(self, text: str) -> None:
        assert self.kind == "ComboBox"
        self.entries.append(str(text))

    def AddTab(self, text: str) -> None:
        assert self.kind == "TabBar"
        self.entries.append(str(text))

    def Clear(self) -> None:
        assert self.kind == "ComboBox"
        self.entries.clear()
        object.__setattr__(self, "CurrentIndex", -1)

    def with_children(self) -> List[Item]:
        """Return the widget and all widgets in it."""
        return [self, *(item for child in self.children for item in child.with_children())]


class Events:
    """The handlers of one widget, which has to have their events."""

    def __init__(self, names: set[str]) -> None:
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "handlers", {})

    def __setattr__(self, name: str, handler: Callable[[Any], None]) -> None:
        if name not in self.names:
            raise AttributeError(f"no event {name} here; it has {self.names or 'none'}")
        self.handlers[name] = handler


class WindowEvents:
    def __init__(self, known: Dict[str, Events]) -> None:
        object.__setattr__(self, "known", known)

    def __getattr__(self, id: str) -> Events:
        if id not in object.__getattribute__(self, "known"):
            raise AttributeError(f"the window has no {id}")
        return object.__getattribute__(self, "known")[id]


class Window(Api):
    def __init__(self, session: FakeFusion, options: Mapping[str, Any], children: Sequence[Item]) -> None:
        self.thread = session.thread
        unknown = set(options) - {"ID", "WindowTitle", "Geometry"}
        assert not unknown, f"a window has no options {unknown}"
        self.id, self.title, self.is_shown, self.raised = options["ID"], options["WindowTitle"], False, 0
        found = [item for child in children for item in child.with_children() if item.id]
        self.items = {item.id: item for item in found}
        assert len(self.items) == len(found), "two widgets have the same ID"
        self.events = {item.id: Events(item.events) for item in found}
        self.events[self.id] = Events({"Close"})

    @property
    def On(self) -> WindowEvents:
        return WindowEvents(self.events)

    def GetItems(self) -> Dict[str, Item]:
        return self.items

    def Show(self) -> None:
        self.is_shown = True

    def Hide(self) -> None:
        self.is_shown = False

    def Raise(self) -> None:
        self.raised += 1


class Timer(Api):
    def __init__(self, session: FakeFusion, id: str) -> None:
        self.thread = session.thread
        self.id, self.is_running = id, False

    def Start(self) -> None:
        self.is_running = True

    def Stop(self) -> None:
        self.is_running = False


class UIManager(Api):
    def __init__(self, session: FakeFusion) -> None:
        self.thread = session.thread
        self.session = session
        self.windows: Dict[str, Window] = {}
        self.timers: List[Timer] = []

    def FindWindow(self, id: str) -> Optional[Window]:
        window = self.windows.get(id)
        return window if window is not None and window.is_shown else None

    def VGroup(self, options: Mapping[str, Any], children: Sequence[Item]) -> Item:
        return Item(self.session, "VGroup", options, children)

    def HGroup(self, options: Mapping[str, Any], children: Sequence[Item]) -> Item:
        return Item(self.session, "HGroup", options, children)

    def Stack(self, options: Mapping[str, Any], children: Sequence[Item]) -> Item:
        return Item(self.session, "Stack", options, children)

    def TabBar(self, options: Mapping[str, Any]) -> Item:
        return Item(self.session, "TabBar", options, ())

    def Label(self, options: Mapping[str, Any]) -> Item:
        return Item(self.session, "Label", options, ())

    def LineEdit(self, options: Mapping[str, Any]) -> Item:
        return Item(self.session, "LineEdit", options, ())

    def TextEdit(self, options: Mapping[str, Any]) -> Item:
        return Item(self.session, "TextEdit", options, ())

    def SpinBox(self, options: Mapping[str, Any]) -> Item:
        return Item(self.session, "SpinBox", options, ())

    def DoubleSpinBox(self, options: Mapping[str, Any]) -> Item:
        return Item(self.session, "DoubleSpinBox", options, ())

    def CheckBox(self, options: Mapping[str, Any]) -> Item:
        return Item(self.session, "CheckBox", options, ())

    def ComboBox(self, options: Mapping[str, Any]) -> Item:
        return Item(self.session, "ComboBox", options, ())

    def Button(self, options: Mapping[str, Any]) -> Item:
        return Item(self.session, "Button", options, ())

    def Timer(self, options: Mapping[str, Any]) -> Timer:
        assert set(options) == {"ID", "Interval"}
        timer = Timer(self.session, options["ID"])
        self.timers.append(timer)
        return timer


class DispatcherEvents(Events):
    def __init__(self) -> None:
        super().__init__({"Timeout"})


class Dispatcher(Api):
    """A dispatcher whose RunLoop calls the session's `user`, which has to end the loop."""

    def __init__(self, session: FakeFusion, ui: UIManager) -> None:
        self.thread = session.thread
        self.session, self.ui, self.is_over = session, ui, False
        self.window: Optional[Window] = None
        self._on = DispatcherEvents()

    @property
    def On(self) -> DispatcherEvents:
        return self._on

    def AddWindow(self, options: Mapping[str, Any], children: Sequence[Item]) -> Window:
        self.window = Window(self.session, options, children)
        self.ui.windows[self.window.id] = self.window
        return self.window

    def RunLoop(self) -> None:
        assert self.session.user is not None, "the test has no user for the window"
        self.session.user(User(self))
        assert self.is_over, "the window was left open: nothing ended the loop"

    def ExitLoop(self) -> None:
        self.is_over = True


class User:
    """A user of a window, who types, chooses, clicks and waits."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        assert dispatcher.window is not None
        self.window = dispatcher.window

    def item(self, id: str) -> Item:
        """Return a widget."""
        return self.window.items[id]

    def text(self, id: str) -> str:
        """Return the text of a widget."""
        return str(self.item(id).Text)

    def type(self, id: str, text: str) -> None:
        """Enter text into a text field."""
        item = self.item(id)
        setattr(item, "PlainText" if item.kind == "TextEdit" else "Text", text)

    def choose(self, id: str, entry: str) -> None:
        """Choose an entry of a combo box or a tab bar."""
        item = self.item(id)
        assert entry in item.entries, f"{id} offers {item.entries}, not {entry!r}"
        item.CurrentIndex = item.entries.index(entry)

    def set(self, id: str, value: Any) -> None:
        """Set a check box or a number."""
        item = self.item(id)
        setattr(item, "Checked" if item.kind == "CheckBox" else "Value", value)

    def turn_to(self, id: str, entry: str) -> None:
        """Choose a tab."""
        self.choose(id, entry)
        self._fire(id, "CurrentChanged")

    def click(self, id: str) -> None:
        """Press a button."""
        assert self.item(id).kind == "Button"
        self._fire(id, "Clicked")

    def close(self) -> None:
        """Press the close button of the title bar."""
        self._fire(self.window.id, "Close")

    def tick(self) -> None:
        """Run every running timer once. Its event reaches the dispatcher, not the window."""
        for timer in self.dispatcher.ui.timers:
            if timer.is_running:
                self.dispatcher.On.handlers["Timeout"]({"who": timer.id})

    def until(self, condition: Callable[[], Any], timeout_s: float = 90.0) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + timeout_s
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < end, f"the condition does not hold; the window says {self.text('status')!r}"
            self.tick()
            pause.wait(0.02)

    def _fire(self, id: str, event: str) -> None:
        handler = self.window.events[id].handlers.get(event)
        assert handler is not None, f"{id}.{event} has no handler"
        handler({"who": id})
