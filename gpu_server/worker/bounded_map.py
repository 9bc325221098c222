"""Work on a thread pool a few items ahead of whoever takes the results, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def bounded_map(
    pool: ThreadPoolExecutor, count: int, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """`work` of each item, in their order; at most `count` are begun before the first of them is taken.

    Raises what `work` raises, at its turn; what was not begun by then is not.

    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(bounded_map(pool, 2, lambda n: n * n, range(5)))
    [0, 1, 4, 9, 16]
    """
    coming: deque[Future[Result]] = deque()
    try:
        for item in items:
            coming.append(pool.submit(work, item))
            if len(coming) >= count:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        for future in coming:
            future.cancel()
