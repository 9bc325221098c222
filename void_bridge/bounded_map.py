"""A map over a thread pool that stays a bounded number of items ahead of its consumer."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Iterable, Iterator, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def bounded_map(
    pool: ThreadPoolExecutor, limit: int, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Apply `work` to each item on a thread pool and yield the results in order.

    Args:
        pool: the threads.
        limit: items in work, or done and not yet taken, at the same time.
        work: called with each item.
        items: read as far as `limit` allows.

    Raises:
        Exception: the failure of an item, at its turn. Items that have not begun by then are cancelled.

    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(bounded_map(pool, 2, lambda n: n * n, range(5)))
    [0, 1, 4, 9, 16]
    """
    running: Deque[Future[Result]] = deque()
    try:
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) >= limit:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
