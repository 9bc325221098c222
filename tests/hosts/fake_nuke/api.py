"""The base of every object that scripts see: it belongs to a session, and only the main thread may touch it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Callable, List, Optional, TypeVar, cast

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.session import FakeNuke

Call = TypeVar("Call", bound=Callable[..., Any])

_SPECIAL = {"__getitem__", "__enter__", "__len__", "__iter__"}
_installed: List[FakeNuke] = []


def current() -> FakeNuke:
    """Return the session that `import nuke` gives now."""
    assert _installed, "no FakeNuke is installed: this object outlived its session"
    return _installed[-1]


def set_current(session: Optional[FakeNuke]) -> None:
    _installed[:] = [session] if session is not None else []


def guarded(call: Call, name: str) -> Call:
    """Return `call`, refused on any thread but the main one."""

    @functools.wraps(call)
    def checked(*args: Any, **kwargs: Any) -> Any:
        current().threads.check(name)
        return call(*args, **kwargs)

    return cast(Call, checked)


class ApiObject:
    """Base of what scripts see. Public methods of subclasses check the thread, and that the object still belongs to
    something; `_private` ones are the fake's own."""

    def _check_alive(self) -> None:
        """Raise ValueError if the thing that the object stands for is deleted."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, value in list(vars(cls).items()):
            if name.startswith("_") and name not in _SPECIAL:
                continue
            if isinstance(value, staticmethod):
                setattr(cls, name, staticmethod(guarded(value.__func__, f"{cls.__name__}.{name}")))
            elif callable(value) and not isinstance(value, (type, classmethod)):
                setattr(cls, name, _guarded_method(value, f"{cls.__name__}.{name}"))


def _guarded_method(method: Call, name: str) -> Call:
    @functools.wraps(method)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        current().threads.check(name)
        if isinstance(self, ApiObject):
            self._check_alive()
        return method(self, *args, **kwargs)

    return cast(Call, checked)
