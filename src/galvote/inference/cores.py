"""How many cores a process computes on, and one of them for each thread."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def count_cores() -> int:
    """Return how many cores this process computes on: ``OMP_NUM_THREADS``, or all that it may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_core_each() -> Iterator[Callable[[], None]]:
    """Give each of some threads one core: torch, where it is loaded, would give each of them all.

    Yields
    ------
    What each thread calls first.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield lambda: None
        return
    before = torch.get_num_threads()
    try:
        yield lambda: torch.set_num_threads(1)
    finally:
        torch.set_num_threads(before)  # the other threads' setting would be that of threads yet to come
