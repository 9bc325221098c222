"""The fake for Lua scripts: LuaJIT, as in Fusion, runs them for real (lupa) with the fake's objects bound in."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from lupa import luajit21  # LuaJIT 2.1 speaks Lua 5.1, as Fusion's does

from tests.hosts.fake_fusion.api import Api
from tests.hosts.fake_fusion.session import FakeFusion


class LuaHost:
    """printed: what the script printed. waits: called at each `bmd.wait`, one after the other."""

    def __init__(self, fake: FakeFusion) -> None:
        self._fake = fake
        self.printed: List[str] = []
        self.waits: List[Callable[[], None]] = []

    def run(self, path: Path, command: str) -> None:
        """A script as it was installed: with the absolute command written into it."""
        text = path.read_text(encoding="utf-8")
        assert text.count('local VOID_BRIDGE = ""') == 1
        self._lua = luajit21.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
        names = self._lua.globals()
        names.print = lambda *words: self.printed.append("\t".join(str(word) for word in words))
        names.fu = self._bound(self._fake.fusion)
        names.comp = self._bound(self._fake.comp)
        names.bmd = self._lua.table_from({"wait": self._wait})
        self._lua.execute(text.replace('local VOID_BRIDGE = ""', f"local VOID_BRIDGE = [[{command}]]"))

    def _wait(self, seconds: float) -> None:
        if self.waits:
            self.waits.pop(0)()
        threading.Event().wait(0.02)

    def _bound(self, value: Any) -> Any:
        """From the fake to Lua: objects as handles, dictionaries as tables."""
        if isinstance(value, Api):
            return _Handle(self, value)
        if isinstance(value, dict):
            whole = {int(key) if isinstance(key, float) else key: self._bound(each) for key, each in value.items()}
            return self._lua.table_from(whole)
        return value

    def _plain(self, value: Any) -> Any:
        """From Lua to the fake."""
        if isinstance(value, _Handle):
            return value.thing
        if luajit21.lua_type(value) == "table":
            return {key: self._plain(each) for key, each in value.items()}
        return value


class _Handle:
    """`thing:Method(...)` hands the handle itself over first; `thing.Member` reads."""

    def __init__(self, host: LuaHost, thing: Api) -> None:
        self.host, self.thing = host, thing

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.thing, name)
        if not callable(value) or isinstance(value, Api):
            return self.host._bound(value)

        def method(*arguments: Any) -> Any:
            own = arguments[1:] if arguments and arguments[0] is self else arguments
            return self.host._bound(_called(value, [self.host._plain(each) for each in own]))

        return method


def _called(method: Callable[..., Any], arguments: List[Any]) -> Any:
    return method(*arguments)


Answer = Optional[Dict[str, Any]]
