"""The base of the fake's API objects: each belongs to one thread and becomes unusable with its composition."""

from __future__ import annotations

import threading
from typing import Any


class ThreadCheck:
    """The thread that made a session, which alone may use its objects."""

    def __init__(self) -> None:
        self._thread = threading.current_thread()

    def check(self, name: str) -> None:
        """Raise AssertionError if another thread uses `name`."""
        here = threading.current_thread()
        if here is not self._thread:
            raise AssertionError(
                f"{name} was used on the thread {here.name!r}: Fusion's API belongs to the script's own"
            )


class Api:
    """An object of the API. Names with a capital are the vendor's; the others are the fake's own.

    The handle of a deleted object raises on every use, as a handle of None does in the real program.

    Attributes:
        settable: the vendor's attributes that a script may set.
    """

    thread: ThreadCheck
    is_deleted = False
    settable: tuple[str, ...] = ()

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


def _check(thing: Api, name: str) -> None:
    object.__getattribute__(thing, "thread").check(f"{type(thing).__name__}.{name}")
    if object.__getattribute__(thing, "is_deleted"):
        raise TypeError(f"'NoneType' object is not callable ({type(thing).__name__}.{name} of something that is gone)")
