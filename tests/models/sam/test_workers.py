"""Threads for work on the CPU: order, failures, laziness, and how many cores each takes."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest
import torch

from segcli.models.sam.workers import Workers


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_results_come_in_order(cores, count):
    """Results are in the order of the items, however many there are for each thread."""
    turns = threading.Barrier(2)

    def slow_first(item: int) -> int:
        # The first item ends only after the second has begun, where there are two threads.
        if cores > 1 and count > 1 and item < 2:
            turns.wait(30)
        return item * item

    assert list(Workers(cores).map(slow_first, range(count))) == [i * i for i in range(count)]


def test_as_many_run_side_by_side_as_there_are_cores():
    """Work runs in as many threads as there are cores."""
    together = threading.Barrier(3)
    assert list(Workers(3).map(lambda _: together.wait(30), range(3)))


def test_few_items_are_taken_ahead():
    """Items are taken as results are, so an endless or large iterable is no trouble."""
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    workers = Workers(2)
    results = workers.map(lambda item: item, items())
    assert not taken
    for expected in range(10):
        assert next(results) == expected
        assert len(taken) <= expected + 1 + 2 * workers.count
    results.close()
    assert len(taken) < 20


def test_an_exception_comes_out():
    """The exception of an item is raised in its place, and later items are not begun."""
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    workers = Workers(2)
    results = workers.map(work, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert len(begun) <= 4 + 2 * workers.count
    assert list(workers.map(abs, [-1, -2])) == [1, 2]


def test_two_exceptions():
    """Of several failures the first in order is raised; none is left behind unseen."""

    def work(item: int) -> int:
        raise ValueError(str(item))

    with pytest.raises(ValueError, match="0"):
        list(Workers(2).map(work, range(4)))


def test_items_that_fail_to_come():
    """An exception of the iterable itself comes out as well."""

    def items():
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(Workers(2).map(abs, items()))


def test_leaving_early_stops_the_rest():
    """Whoever stops taking results leaves nothing running: pending work is cancelled or done."""
    gate, done = threading.Event(), []

    def work(item: int) -> int:
        if item:
            gate.wait(30)
        done.append(item)
        return item

    results = Workers(1).map(work, range(100))
    assert next(results) == 0
    gate.set()
    results.close()
    after = len(done)
    assert after < 100
    with pytest.raises((StopIteration, CancelledError)):
        next(results)
    assert len(done) == after


@pytest.mark.parametrize(
    ("cores", "threads", "each"), [(0, 1, 1), (1, 1, 1), (4, 4, 1), (40, 16, 2)]
)
def test_threads_share_the_cores(cores, threads, each):
    """Each thread has its share of the cores for torch; the main thread keeps what it has."""
    before = torch.get_num_threads()
    workers = Workers(cores)
    assert workers.count == threads
    assert set(workers.map(lambda _: torch.get_num_threads(), range(5))) == {each}
    assert torch.get_num_threads() == before
