"""Pairs of files counted by other threads before anybody asks for them.

Opening two folders takes a look at a sample of each, and a score takes all of both: so a file is
decoded once for both, and while one thread judges and adds up, others go on counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from segcli.formats.kept import Stamp, stamp_of
from segcli.formats.value_pairs import PairCounter, ValuePairs

__all__ = ["count_ahead", "counted_pair", "counted_side", "is_counted_ahead"]

_AHEAD = 32

Names = tuple[str, str]
Side = Literal[0, 1]
Stamps = tuple[Stamp | None, Stamp | None]


@dataclass(frozen=True, slots=True)
class _Counted:
    """The pairs of values of two files; of looked-at ones what they were, as time will pass."""

    stamps: Stamps | None
    pairs: ValuePairs | None


class _Counting:
    """Some pairs are under way or wait to be taken; each that is taken makes room for another."""

    def __init__(self, names: Sequence[Names], sample: int, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="segcli-count")
        self._counter = PairCounter()
        self._left = iter(names)
        self._found: dict[str, tuple[str, Future[_Counted]]] = {}
        self._sides: dict[str, tuple[str, Side]] = {}
        self._lock = Lock()
        for first, second in names[:sample]:
            self._sides[second], self._sides[first] = (first, 1), (first, 0)
        self._start(sample + _AHEAD)

    def _start(self, most: int) -> None:
        # Stopped means that other folders were opened meanwhile.
        with suppress(RuntimeError):
            for _, (first, second) in zip(range(most), self._left, strict=False):
                self._found[first] = second, self._pool.submit(self._count, first, second)

    def _count(self, first: str, second: str) -> _Counted:
        looked_at = first in self._sides
        stamps = _stamps(first, second) if looked_at else None
        return _Counted(stamps, self._counter.count(first, second))

    def covers(self, first: str, second: str) -> bool:
        if self._found.get(first, ("",))[0] != second:
            return False
        sample = [self._found.get(first) for first, side in self._sides.values() if side == 0]
        results = [_result(found[1]) for found in sample if found is not None]
        return all(found is not None and found.pairs is not None for found in results)

    def pair(self, first: str, second: str) -> ValuePairs | None:
        with self._lock:
            if self._found.get(first, ("",))[0] != second:
                return None
            found = self._found.pop(first)
            self._start(1)
            if not self._found:
                self.stop()
        return _fresh(first, *found)

    def side(self, path: str) -> tuple[ValuePairs, Side] | None:
        first, side = self._sides.get(path, ("", 0))
        found = self._found.get(first)
        counted = None if found is None else _result(found[1])
        return None if counted is None or counted.pairs is None else (counted.pairs, side)

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _fresh(first: str, second: str, counted: Future[_Counted]) -> ValuePairs | None:
    """What was counted, unless a file has changed since it was looked at."""
    found = _result(counted)
    if found is None or found.stamps not in (None, _stamps(first, second)):
        return None
    return found.pairs


def _result(counted: Future[_Counted]) -> _Counted | None:
    try:
        return counted.result()
    except CancelledError:
        return None


def _stamps(first: str, second: str) -> Stamps:
    return stamp_of(first), stamp_of(second)


_current: _Counting | None = None
_changing = Lock()


def count_ahead(names: Sequence[Names], sample: int, threads: int) -> None:
    """Start counting pairs of files; what was started before is forgotten.

    Args:
        names: paths of both files of each pair, those of the sample first.
        sample: how many will be looked at and then be taken; of the others, some at a time.
        threads: files decoded at once.
    """
    global _current  # noqa: PLW0603 (it serves whoever opens and scores, as a cache would)
    with _changing:
        if _current is not None:
            _current.stop()
        _current = _Counting(names, sample, threads) if names else None


def is_counted_ahead(first: str, second: str) -> bool:
    """Whether a pair is among those counted ahead, and no file of the sample had to be left out.

    Then there is little left to do for who asks for them, and all processors are at work.
    """
    counting = _current
    return counting is not None and counting.covers(first, second)


def counted_pair(first: str, second: str) -> ValuePairs | None:
    """What was counted of two files; given away once. None where nothing was."""
    counting = _current
    return None if counting is None else counting.pair(first, second)


def counted_side(path: str) -> tuple[ValuePairs, Side] | None:
    """The pair that a file of the sample is in, and whether it is first (0) or second (1) there."""
    counting = _current
    return None if counting is None else counting.side(path)
