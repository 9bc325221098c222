"""The functions of the `nuke` module that show something or install into the interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from tests.hosts.fake_nuke.dialogs import Menu

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.session import FakeNuke


class DialogFunctions:
    def __init__(self, session: FakeNuke) -> None:
        self._session = session

    def menu(self, name: str) -> Menu:
        if not self._session.gui:
            raise RuntimeError(f"menu {name}: there are no menus in nuke -t")
        return self._session.menus.setdefault(name, Menu(name))

    def message(self, prompt: str) -> None:
        self._session.dialogs.message(prompt)

    def ask(self, prompt: str) -> bool:
        return self._session.dialogs.ask(prompt)

    def getInput(self, prompt: str, default: str = "") -> Optional[str]:
        return self._session.dialogs.get_input(prompt, default)

    def tprint(self, *args: Any, sep: str = " ", end: str = "\n", file: Any = None) -> None:
        self._session.dialogs.printed.append(sep.join(str(arg) for arg in args))
