"""Reading, decoding and the network at the same time, in order and in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from threadpoolctl import threadpool_limits

from galvote.inference.cores import count_cores, one_core_each

Item = TypeVar("Item")
Read = TypeVar("Read")
Rows = TypeVar("Rows")

BATCH = 64
"""Galaxies that are read, predicted and made rows of together; a backend may compute fewer at once."""

_MORE_READERS = 6
"""Threads that read beyond one for each core, so that a slow disk has something to do at once."""

_READ_AT_ONCE = 16
"""Images that a thread reads in a row: each change of threads has its price."""


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield `size` items at a time; the last batch may be smaller."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def run_ahead(
    batches: Iterable[Sequence[Item]],
    read: Callable[[Item], Read],
    predict: Callable[[Sequence[Read]], Rows],
    *,
    prefetch: int,
) -> Iterator[Rows]:
    """Read each image and predict each batch of them in threads, some batches ahead of the caller.

    Parameters
    ----------
    batches
        Taken in the caller's thread, one at a time and only when there is room.
    read
        Fetches an image; called by several threads at once, which wait for the disk in the networks' stead.
    predict
        Makes the rows of a batch, on one core; called by as many threads at once as there are cores.
    prefetch
        Most images that are in memory at once, waiting, read or predicted; at least one batch is.

    Yields
    ------
    What `predict` made of each batch, in order.

    Notes
    -----
    Each batch has one core for itself: cores that share every layer wait at its end for the slowest, and one
    that also decodes for another's network is slow. It makes rows independent of the number of cores, too,
    which decides in what order a layer's sums are added. What takes a core belongs into `predict`: threads
    that decode beside the networks make both slower. Meanwhile NumPy's products take one thread each, the
    caller's too.
    """
    cores = count_cores()
    reading = ThreadPoolExecutor(cores + _MORE_READERS, "read")
    given_up = threading.Event()

    def read_some(images: Sequence[Item]) -> list[Read]:
        # When nobody listens any more, a slow source shall not hold up the end.
        return [read(image) for image in images if not given_up.is_set()]

    def predict_when_read(parts: Sequence[Future[list[Read]]]) -> Rows:
        return predict([image for part in parts for image in part.result()])

    waiting = deque[tuple[int, Future[Rows]]]()
    images = 0
    # NumPy's own threads wait for their next small product by spinning, on cores that others want.
    with one_core_each() as begin, threadpool_limits(1, user_api="blas"):
        predicting = ThreadPoolExecutor(cores, "predict", initializer=begin)
        try:
            for batch in batches:
                while waiting and images + len(batch) > prefetch:
                    yield waiting[0][1].result()
                    images -= waiting.popleft()[0]
                parts = [reading.submit(read_some, some) for some in in_batches(batch, _READ_AT_ONCE)]
                waiting.append((len(batch), predicting.submit(predict_when_read, parts)))
                images += len(batch)
            while waiting:
                yield waiting.popleft()[1].result()
        finally:
            given_up.set()
            reading.shutdown(wait=False, cancel_futures=True)
            # Left to the garbage collector, this may end in one of the threads, which cannot wait for itself.
            own = threading.current_thread().name.startswith(("predict_", "read_"))
            predicting.shutdown(wait=not own, cancel_futures=True)
