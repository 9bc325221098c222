"""The fake for Lua scripts: LuaJIT runs them, as in Fusion, with the fake's objects as globals."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Callable, List

from lupa import luajit21  # LuaJIT 2.1 speaks Lua 5.1, as Fusion's does

from tests.hosts.fake_fusion.api import Api
from tests.hosts.fake_fusion.session import FakeFusion


class LuaHost:
    """A LuaJIT with the globals of a Fusion script.

    Attributes:
        printed: the lines that scripts have printed.
        waits: functions that are called in `bmd.wait`, one at each call.
    """

    def __init__(self, fake: FakeFusion) -> None:
        self._fake = fake
        self.printed: List[str] = []
        self.waits: List[Callable[[], None]] = []

    def run(self, path: Path, command: str) -> None:
        """Run a script as `void-bridge install` leaves it, with the absolute command written into it."""
        text = path.read_text(encoding="utf-8")
        assert text.count('local VOID_BRIDGE = ""') == 1
        self._lua = luajit21.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
        names = self._lua.globals()
        names.print = lambda *values: self.printed.append("\t".join(map(str, values)))
        names.fu = self.to_lua(self._fake.fusion)
        names.comp = self.to_lua(self._fake.comp)
        names.bmd = self._lua.table_from({"wait": self._wait})
        self._lua.execute(text.replace('local VOID_BRIDGE = ""', f"local VOID_BRIDGE = [[{command}]]"))

    def _wait(self, seconds: float) -> None:
        if self.waits:
            self.waits.pop(0)()
        threading.Event().wait(0.02)

    def to_lua(self, value: Any) -> Any:
        """Convert a value of the fake: objects to handles, dictionaries to tables."""
        if isinstance(value, Api):
            return _Handle(self, value)
        if isinstance(value, dict):
            table = {int(key) if isinstance(key, float) else key: self.to_lua(each) for key, each in value.items()}
            return self._lua.table_from(table)
        return value

    def to_python(self, value: Any) -> Any:
        """Convert a value of Lua back: handles to objects, tables to dictionaries."""
        if isinstance(value, _Handle):
            return value.thing
        if luajit21.lua_type(value) == "table":
            return {key: self.to_python(each) for key, each in value.items()}
        return value


class _Handle:
    """An object of the fake in Lua: `thing:Method(...)` passes the handle first, `thing.Member` reads."""

    def __init__(self, host: LuaHost, thing: Api) -> None:
        self.host, self.thing = host, thing

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.thing, name)
        if not callable(value) or isinstance(value, Api):
            return self.host.to_lua(value)

        def method(*arguments: Any) -> Any:
            own = arguments[1:] if arguments and arguments[0] is self else arguments
            return self.host.to_lua(value(*map(self.host.to_python, own)))

        return method
