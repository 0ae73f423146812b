"""Several threads that each run small torch work on one core.

Work that fits a core's cache runs faster side by side than with each operation split over the
cores: nothing waits for the slowest part of every operation.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

__all__ = ["Workers", "keep_freed_memory"]

_MOST = 16
# Beyond this glibc refuses; and once one threshold is set by hand, it no longer raises the other.
_HIGHEST_MMAP_THRESHOLD = 1 << 25
_KEPT = 1 << 28
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


def keep_freed_memory() -> None:
    """Let glibc keep what tensors free: mapping it afresh costs more than the arithmetic on it.

    Elsewhere than on Linux with glibc this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, _HIGHEST_MMAP_THRESHOLD)
        mallopt(trim_threshold, _KEPT)
