"""Several threads that each run small torch work on one core.

Work that fits a core's cache runs faster side by side than with each operation split over the
cores: nothing waits for the slowest part of every operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

__all__ = ["Workers"]

_MOST = 16
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Workers:
    """A pool of threads for work on the CPU."""

    def __init__(self, cores: int) -> None:
        """Start no thread yet.

        Args:
            cores: how many may be busy; more than 16 threads share them out.
        """
        self.count = max(1, min(cores, _MOST))
        each = max(1, cores // self.count)
        self._pool = ThreadPoolExecutor(
            self.count, "segcli-model", initializer=torch.set_num_threads, initargs=(each,)
        )

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Iterator[_Result]:
        """Results in the order of the items, of which few are taken ahead.

        Without further items an exception of one is raised, and the others are not begun.
        """
        waiting = iter(items)
        started = [self._pool.submit(function, item) for item in islice(waiting, 2 * self.count)]
        try:
            while started:
                result = started.pop(0).result()
                started += [self._pool.submit(function, item) for item in islice(waiting, 1)]
                yield result
        finally:
            for future in started:
                future.cancel()
            for future in started:
                if not future.cancelled():
                    future.exception()
