"""What other draws of the same images would have scored.

A resample takes each image some number of times. Its sums are the images' sums, each as often as
its image was drawn, and its scores are the ratios of those sums: no image is measured again.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.metrics.base import Metric, Row, Sums
from segcli.metrics.exact import Weights, exact_sums
from segcli.metrics.numbers import Number, Path, numbers, put, understood

__all__ = ["Additive", "ClassKey", "Resampled", "Resampler", "Summing", "chained", "gather"]

Floats = npt.NDArray[np.float64]
ClassKey = tuple[Any, Any]

_TERMS = 3
_REST = "rest"


@dataclass(slots=True)
class Resampled:
    """Scores of B draws.

    Attributes:
        scores: (B,) by name, NaN where undefined.
        classes: (B,) by (class id, class name) and score, NaN where undefined.
    """

    scores: dict[str, Floats] = field(default_factory=dict)
    classes: dict[ClassKey, dict[str, Floats]] = field(default_factory=dict)


def chained(parts: Iterable[Resampled]) -> Resampled:
    """The scores of some draws and of further ones, in that order; NaN where a part has none."""
    result, count = Resampled(), 0
    for part in parts:
        tables = [part.scores, *part.classes.values()]
        size = max((len(values) for table in tables for values in table.values()), default=0)
        _chain(result.scores, part.scores, count, size)
        for key in {**result.classes, **part.classes}:
            known = result.classes.setdefault(key, {})
            _chain(known, part.classes.get(key, {}), count, size)
        count += size
    return result


def _chain(known: dict[str, Floats], new: dict[str, Floats], count: int, size: int) -> None:
    for name in {**known, **new}:
        before = known.get(name, np.full(count, math.nan))
        known[name] = np.concatenate([before, new.get(name, np.full(size, math.nan))])


class Resampler(ABC):
    """Keeps what each image adds to one metric's sums."""

    @abstractmethod
    def keep(self, sums: Sums) -> None:
        """Keep the sums of one image; images are counted in the order they come."""

    @abstractmethod
    def resample(self, weights: Weights) -> Resampled:
        """The scores when images are taken some number of times.

        Args:
            weights: (B, N) times that each of the N images kept is taken, in each of B draws.
        """


class Summing(Resampler):
    """Adds the sums of every image anew for each draw: right for any metric, and slow."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._images: list[Sums] = []

    def keep(self, sums: Sums) -> None:
        """Keep the sums themselves."""
        self._images.append(sums)

    def resample(self, weights: Weights) -> Resampled:
        """Add up, draw by draw."""
        return gather((self._drawn(row) for row in weights), len(weights))

    def _drawn(self, weights: Weights) -> Sums:
        total = self._metric.zero()
        for i in np.flatnonzero(weights).tolist():
            for _ in range(int(weights[i])):
                total.add(self._images[i])
        return total


class Additive(Resampler):
    """Weighted sums of the numbers that understood sums consist of, without rounding."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._zero = metric.zero()
        self._total = metric.zero()
        self._columns: dict[Path, int] = {}
        self._images: list[tuple[npt.NDArray[np.int64], Floats]] = []

    @staticmethod
    def fits(metric: Metric) -> bool:
        """Whether the sums of this metric are numbers that add one by one."""
        return understood(metric.zero())

    def keep(self, sums: Sums) -> None:
        """Keep the numbers."""
        self._total.add(sums)
        found = dict(_floats(numbers(sums)))
        indices = [self._columns.setdefault(path, len(self._columns)) for path in found]
        values = np.array(list(found.values()), np.float64)
        self._images.append((np.array(indices, np.int64), values))

    def resample(self, weights: Weights) -> Resampled:
        """Weigh the numbers, and score what they add up to."""
        values = self._values()
        if not (np.isfinite(values).all() and self._additive(values)):
            return self._one_by_one(values).resample(weights)
        return gather((self._sums(row) for row in exact_sums(weights, values)), len(weights))

    def _values(self) -> Floats:
        values = np.zeros((len(self._images), len(self._columns)))
        for row, (indices, found) in zip(values, self._images, strict=True):
            row[indices] = found
        return values

    def _additive(self, values: Floats) -> bool:
        """Whether adding sums adds their numbers: a field may hold a largest value, or a limit."""
        ones = np.ones((1, len(values)), np.int64)
        added = dict(numbers(self._sums(exact_sums(ones, values)[0])))
        real = dict(numbers(self._total))
        return all(
            math.isclose(added.get(path, 0), real.get(path, 0), rel_tol=1e-9)
            for path in {*added, *real}
        )

    def _one_by_one(self, values: Floats) -> Summing:
        slow = Summing(self._metric)
        for row in values.tolist():
            slow.keep(self._sums(row))
        return slow

    def _sums(self, values: Iterable[Number]) -> Sums:
        found: dict[Path, Number] = {}
        for path, value in zip(self._columns, values, strict=True):
            if value:
                whole = path[:-2] if path[-2:-1] == (_REST,) else path
                found[whole] = found.get(whole, 0) + _exact(value)
        sums = put(self._total, found, self._zero)
        assert isinstance(sums, Sums)
        return sums


def _exact(value: Number) -> Number:
    return Fraction(value) if isinstance(value, float) and math.isfinite(value) else value


def _floats(found: Iterable[tuple[Path, Number]]) -> Iterator[tuple[Path, float]]:
    """Numbers as floats; what a fraction is more than its float, in further terms."""
    for path, value in found:
        yield path, float(value)
        rest = value - Fraction(float(value)) if isinstance(value, Fraction) else 0
        for term in range(1, _TERMS):
            if rest:
                yield (*path, _REST, term), float(rest)
                rest -= Fraction(float(rest))


def gather(draws: Iterable[Sums], count: int) -> Resampled:
    """The scores of several sums, one after the other, side by side.

    Args:
        draws: the sums of each draw.
        count: how many there are.
    """
    result = Resampled()
    for i, sums in enumerate(draws):
        _set(result.scores, i, sums.compute(), count)
        for row in sums.tables().get("per_class", []):
            key = next(iter(row.values())), row.get("name")
            _set(result.classes.setdefault(key, {}), i, _scores_of(row), count)
    return result


def _scores_of(row: Row) -> dict[str, float]:
    return {k: v for k, v in row.items() if isinstance(v, float) and not k.endswith("_sum")}


def _set(table: dict[str, Floats], i: int, values: dict[str, float], count: int) -> None:
    for name, value in values.items():
        if name not in table:
            table[name] = np.full(count, math.nan)
        table[name][i] = value
