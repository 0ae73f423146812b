"""Resampled distances: every distance keeps its place, and a draw changes how often it counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from segcli.metrics.base import Metric, Sums
from segcli.metrics.distance import DistanceSums, Tally
from segcli.metrics.exact import Weights
from segcli.metrics.resample import Resampled, Resampler, gather

__all__ = ["DistanceResampler"]

_AT_ONCE = 50

Points = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


class DistanceResampler(Resampler):
    """Keeps how many points of each image lie at each distance."""

    def __init__(self, metric: Metric) -> None:
        zero = metric.zero()
        assert isinstance(zero, DistanceSums)
        self._zero = zero
        self._tallies: tuple[list[Points], list[Points], list[Points]] = ([], [], [])
        self._one_sided: list[int] = []

    def keep(self, sums: Sums) -> None:
        """Keep the distances of one image."""
        assert isinstance(sums, DistanceSums)
        for kept, tally in zip(self._tallies, (sums.border, sums.pred, sums.gt), strict=True):
            kept.append(tally.settled())
        self._one_sided.append(sums.one_sided)

    def resample(self, weights: Weights) -> Resampled:
        """Weigh the counts at each distance, and score what they add up to."""
        one_sided = (weights @ np.array(self._one_sided, np.int64)).tolist()
        drawn = zip(*(_drawn(points, weights) for points in self._tallies), one_sided, strict=True)
        draws = (
            replace(self._zero, border=border, pred=pred, gt=gt, one_sided=count)
            for border, pred, gt, count in drawn
        )
        return gather(draws, len(weights))


def _drawn(images: Sequence[Points], weights: Weights) -> Iterator[Tally]:
    """The tally of each draw."""
    from scipy import sparse  # noqa: PLC0415 (slow to import)

    kinds = images[0][1].shape[1]
    distances = np.unique(np.concatenate([own for own, _ in images]))
    columns = [np.searchsorted(distances, own)[:, None] * kinds + range(kinds) for own, _ in images]
    starts = np.cumsum([0, *(own.size for own in columns)])
    values = np.concatenate([counts.ravel() for _, counts in images])
    where = np.concatenate([own.ravel() for own in columns]).astype(np.int64)
    shape = len(images), len(distances) * kinds
    stacked = sparse.csr_array((values, where, starts), shape=shape).T.tocsr()
    for start in range(0, len(weights), _AT_ONCE):
        for counts in (stacked @ weights[start : start + _AT_ONCE].T).T:
            table = counts.reshape(-1, kinds)
            there = np.flatnonzero(table.any(axis=1))
            yield Tally(kinds, [(distances[there], table[there])])
