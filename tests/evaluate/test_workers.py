"""Work on several items at once, in order and within bounds."""

from __future__ import annotations

import threading

import pytest

from segcli.evaluate.workers import in_order


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_the_order_of_the_items(workers):
    """Also when later items are done first."""
    gates = [threading.Event() for _ in range(6)]

    def work(number: int) -> int:
        if workers > 1 and number % workers == 0 and number + 1 < len(gates):
            gates[number + 1].wait(5)
        gates[number].set()
        return number * number

    assert list(in_order(work, range(6), workers)) == [n * n for n in range(6)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_items_are_taken_no_further_ahead_than_the_bound(workers):
    """At most two a worker are under way or waiting, however slowly results are taken."""
    taken = []

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    for done, _ in enumerate(in_order(lambda n: n, items(), workers)):
        assert len(taken) <= done + 2 * workers


def test_an_error_reaches_the_caller():
    """And what waits is not begun."""

    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    with pytest.raises(ValueError, match="two"):
        list(in_order(work, range(100), 3))
