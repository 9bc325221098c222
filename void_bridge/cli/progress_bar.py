"""Progress of a command that needs no server."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import Callable, Iterator

from void_bridge.cli.progress import progress_view


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Yields what to call with the frames done and their count, 0 while that is unknown."""
    with progress_view() as view:
        yield partial(view.show_step, name)
