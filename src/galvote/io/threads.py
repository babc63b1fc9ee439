"""One function for work in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Iterator[Result]:
    """Apply a function to each item in threads.

    Parameters
    ----------
    function
        Called by several threads at once.
    items
        Taken in the caller's thread, at most four for each thread ahead of what is yielded.
    threads
        How many.

    Yields
    ------
    Result
        What the function returned, in the order of the items. What it raises is raised here; items that are
        not begun then are dropped.
    """
    waiting = deque[Future[Result]]()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
