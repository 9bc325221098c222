"""What every object of the fake's API does: it belongs to one thread, and it dies with its composition."""

from __future__ import annotations

import threading
from typing import Any


class Threaded:
    """The one thread that may use a session's objects: that which made it."""

    def __init__(self) -> None:
        self._thread = threading.current_thread()

    def check(self, name: str) -> None:
        here = threading.current_thread()
        if here is not self._thread:
            raise AssertionError(
                f"{name} was used on the thread {here.name!r}: Fusion's API belongs to the script's own"
            )


class Api:
    """Names with a capital are the vendor's; the rest is the fake's own.

    A dead handle raises on every use, as None does for a script in the real program.
    """

    _threaded: Threaded
    _is_dead = False

    def __getattribute__(self, name: str) -> Any:
        if name[:1].isupper():
            _check(self, name)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name[:1].isupper():
            _check(self, name)
            if name not in object.__getattribute__(self, "settable"):
                raise AttributeError(f"{type(self).__name__} has no {name} that can be set")
        object.__setattr__(self, name, value)

    settable: tuple[str, ...] = ()


def _check(thing: Api, name: str) -> None:
    object.__getattribute__(thing, "_threaded").check(f"{type(thing).__name__}.{name}")
    if object.__getattribute__(thing, "_is_dead"):
        raise TypeError(f"'NoneType' object is not callable ({type(thing).__name__}.{name} of something that is gone)")
