"""One queue before the networks: images of concurrent requests are run together."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, runtime_checkable

from galvote.inference.cores import one_core_each
from galvote.serve.errors import RequestError, busy


@runtime_checkable
class Task(Hashable, Protocol):
    """What a network does; items of equal tasks are given to one of them in one call."""

    @property
    def weight(self) -> int:
        """How many places each item takes: how often the network runs for it."""
        ...

    def __call__(self, items: Sequence[Any], /) -> Sequence[Any]:
        """Return one result for each item."""
        ...


class _Job:
    def __init__(self, item: Any) -> None:
        self.item = item
        self.result = Future[Any]()
        self.arrived = time.monotonic()


class Reservation:
    """Places in a `Batcher`'s queue."""

    def __init__(self, put: Callable[[Task, Any], Future[Any]], forgo: Callable[[int], None], places: int):
        self._put, self._forgo = put, forgo
        self.coming = places
        """Places whose items have not arrived."""
        self.results = list[Future[Any]]()

    def put(self, task: Task, item: Any) -> Future[Any]:
        """Queue an item; its result comes as a future."""
        self.coming -= task.weight
        self.results.append(self._put(task, item))
        return self.results[-1]

    def forgo(self, places: int) -> None:
        """Declare that nothing will come for some of the places."""
        self.coming -= places
        self._forgo(places)


class Batcher:
    """Threads that each run a network on one core, and the queue before them.

    Places in the queue are reserved before images are decoded: a request that would wait too long is refused
    before it costs anything, and a batch knows whether more images are on their way.

    Parameters
    ----------
    threads
        How many networks run at once.
    places
        How many may be reserved at once.
    batch
        Most places in one call.
    wait
        Seconds that a batch waits at most for what is on its way; without any it starts at once.
    on_batch
        Called after each call with the number of items and the seconds that it took.
    """

    def __init__(
        self,
        threads: int,
        places: int,
        *,
        batch: int = 64,
        wait: float = 0.005,
        on_batch: Callable[[int, float], None] = lambda items, seconds: None,
    ) -> None:
        self.places = places
        self._batch, self._wait, self._on_batch = batch, wait, on_batch
        self._waiting = dict[Task, deque[_Job]]()
        self._reserved = self._coming = 0
        self._closing = False
        self._changed = threading.Condition()
        self._collecting = threading.Lock()
        self._cores = ExitStack()
        self._begin = self._cores.enter_context(one_core_each())
        self._threads = [
            threading.Thread(target=self._work, name=f"network-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def reserved(self) -> int:
        """Places that are taken."""
        return self._reserved

    @contextmanager
    def reserve(self, places: int) -> Iterator[Reservation]:
        """Reserve places for a ``with`` block; raise a `RequestError` if there are too few."""
        with self._changed:
            if places > self.places:
                raise RequestError(
                    413,
                    "too-many-images",
                    f"{places} images, times orientations, are more than the {self.places} that may wait at "
                    "once; average fewer orientations, or send fewer images at once.",
                )
            if self._closing:
                raise busy("The server is being stopped.")
            if self._reserved + places > self.places:
                raise busy(f"{self._reserved} of {self.places} places in the queue are taken.")
            self._reserved += places
            self._coming += places
        reservation = Reservation(self._put, self._forgo, places)
        try:
            yield reservation
        finally:
            for result in reservation.results:
                result.cancel()
            with self._changed:
                self._reserved -= places
            self._forgo(reservation.coming)

    def close(self) -> None:
        """Finish what waits, then end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._cores.close()

    def _put(self, task: Task, item: Any) -> Future[Any]:
        job = _Job(item)
        with self._changed:
            self._waiting.setdefault(task, deque()).append(job)
            self._coming -= task.weight
            self._changed.notify_all()
        return job.result

    def _forgo(self, places: int) -> None:
        with self._changed:
            self._coming -= places
            self._changed.notify_all()

    def _work(self) -> None:
        # Cores that share every layer wait at its end for the slowest; see galvote.inference.pipeline.
        self._begin()
        while True:
            with self._collecting:  # one thread gathers a batch while the others compute
                gathered = self._gather()
            if gathered is None:
                return
            self._run(*gathered)

    def _gather(self) -> tuple[Task, list[_Job]] | None:
        """Wait for a batch; None when the queue is closed and empty."""
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                self._changed.wait()
            task = min(self._waiting, key=lambda task: self._waiting[task][0].arrived)
            jobs = self._waiting[task]
            most = max(1, self._batch // task.weight)
            until = jobs[0].arrived + self._wait
            while (
                len(jobs) < most
                and self._coming > 0
                and not self._closing
                and (left := until - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            taken = [jobs.popleft() for _ in range(min(most, len(jobs)))]
            if not jobs:
                del self._waiting[task]
        return task, taken

    def _run(self, task: Task, jobs: list[_Job]) -> None:
        # Whoever asked may have gone meanwhile.
        jobs = [job for job in jobs if job.result.set_running_or_notify_cancel()]
        if not jobs:
            return
        began = time.monotonic()
        try:
            results = task([job.item for job in jobs])
        except Exception as error:
            for job in jobs:
                job.result.set_exception(error)
        else:
            for job, result in zip(jobs, results, strict=True):
                job.result.set_result(result)
        self._on_batch(len(jobs), time.monotonic() - began)
