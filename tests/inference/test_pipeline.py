"""The pipeline: everything in order, in bounded memory, and on one core for each network."""

import threading
import time
from collections.abc import Iterator
from itertools import chain

import pytest
import torch

from galvote.inference.pipeline import in_batches, run_ahead


@pytest.fixture
def two_cores(monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_batches_hold_everything_in_order():
    assert list(in_batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(in_batches([], 3)) == []


def test_rows_come_in_order_whoever_is_slow(two_cores):
    def read(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number

    def predict(numbers: list[int]) -> list[int]:
        time.sleep(0.004 * (numbers[0] % 2))
        return [2 * number for number in numbers]

    rows = run_ahead(in_batches(range(50), 5), read, predict, prefetch=20)
    assert list(chain.from_iterable(rows)) == [2 * number for number in range(50)]


@pytest.mark.parametrize("ahead", [1, 10, 25])
def test_no_more_pictures_are_in_memory_than_allowed(two_cores, ahead):
    taken = yielded = most = 0

    def images() -> Iterator[int]:
        nonlocal taken, most
        for number in range(100):
            taken += 1
            most = max(most, taken - yielded)
            yield number

    for batch in run_ahead(in_batches(images(), 5), lambda number: number, list, prefetch=ahead):
        yielded += len(batch)
    assert yielded == 100
    # One batch more has been taken from the listing when there turns out to be no room for it.
    assert most <= max(ahead, 5) + 5


def test_reading_goes_on_while_a_network_works(two_cores):
    read, busy = set[int](), threading.Event()

    def predict(numbers: list[int]) -> int:
        if numbers[0] == 0:
            assert busy.wait(10), "nobody read the next pictures meanwhile"
        return len(numbers)

    def note(number: int) -> int:
        read.add(number)
        if 9 in read:
            busy.set()
        return number

    assert list(run_ahead(in_batches(range(10), 5), note, predict, prefetch=20)) == [5, 5]


def test_each_network_has_one_core_and_the_caller_keeps_all(two_cores):
    cores = run_ahead([[0], [1], [2]], lambda number: number, lambda _: torch.get_num_threads(), prefetch=2)
    assert list(cores) == [1, 1, 1]
    assert torch.get_num_threads() == 2
    found = list[int]()
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


def test_an_error_ends_it_and_nothing_is_left_running(two_cores):
    before = threading.active_count()

    def predict(numbers: list[int]) -> int:
        if numbers[0] >= 20:
            raise ValueError("number 20")
        return numbers[0]

    made = list[int]()
    with pytest.raises(ValueError, match="number 20"):
        for first in run_ahead(in_batches(range(1000), 5), lambda number: number, predict, prefetch=100):
            made.append(first)
    assert made == [0, 5, 10, 15]
    wait_for_threads(before)


def test_who_stops_listening_stops_it(two_cores):
    before, read = threading.active_count(), list[int]()

    def note(number: int) -> int:
        time.sleep(0.001)
        read.append(number)
        return number

    rows = run_ahead(in_batches(range(100_000), 5), note, list, prefetch=50)
    assert next(rows) == [0, 1, 2, 3, 4]
    rows.close()
    wait_for_threads(before)
    assert len(read) <= 100


def test_a_slow_source_does_not_hold_up_the_end(two_cores):
    before, began = threading.active_count(), list[int]()
    first = threading.Event()

    def fetch(number: int) -> int:
        began.append(number)
        if number >= 5:
            first.wait(10)
        return number

    rows = run_ahead(in_batches(range(1000), 5), fetch, list, prefetch=500)
    assert next(rows) == [0, 1, 2, 3, 4]
    closing = threading.Thread(target=rows.close)
    closing.start()
    time.sleep(0.1)
    asked = len(began)
    first.set()
    closing.join()
    wait_for_threads(before)
    assert len(began) <= asked + 10, "each thread ends with the picture that it has"


def wait_for_threads(count: int) -> None:
    deadline = time.monotonic() + 10
    while threading.active_count() > count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
