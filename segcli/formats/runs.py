"""A label map as rows of equal pixels: counts and pieces without touching every pixel again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.masks.row_runs import row_starts

__all__ = ["Runs", "pieces", "runs_of"]

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Runs:
    """The stretches of equal pixels within the rows of a map, in reading order.

    Attributes:
        starts: (N,) position of each stretch's first pixel in the flattened map.
        values: (N,) its value.
        height: rows of the map.
        width: pixels of a row.
    """

    starts: Indices
    values: npt.NDArray[Any]
    height: int
    width: int

    def histogram(self) -> tuple[npt.NDArray[Any], Indices]:
        """The distinct values, ascending, and the pixels of each."""
        lengths = np.diff(self.starts, append=self.height * self.width)
        if self.values.dtype.kind in "bu" and self.values.dtype.itemsize <= 2:
            # Sums of whole numbers below 2**53 are exact.
            counts = np.bincount(self.values, weights=lengths)
            present = np.flatnonzero(counts)
            return present, counts[present].astype(np.intp)
        present, codes = np.unique(self.values, return_inverse=True)
        return present, np.bincount(codes, weights=lengths).astype(np.intp)


def runs_of(values: npt.NDArray[Any]) -> Runs:
    """The stretches of equal pixels of a map.

    Args:
        values: (H, W) integers or bools, of at least one pixel.
    """
    height, width = values.shape
    starts = row_starts([values])
    assert starts is not None
    return Runs(starts, values.ravel()[starts], height, width)


def pieces(runs: Runs) -> npt.NDArray[np.intp]:
    """How many 8-connected pieces each value has.

    Args:
        runs: the stretches of a map of values from 0 to 255.

    Returns:
        (256,) pieces by value.
    """
    above, below = _touching(runs)
    same = runs.values[above] == runs.values[below]
    roots = _roots(len(runs.starts), above[same], below[same])
    own = roots == np.arange(len(roots))
    return np.bincount(runs.values[own].astype(np.uint8), minlength=256)


def _touching(runs: Runs) -> tuple[Indices, Indices]:
    """Pairs of stretches in neighbouring rows that share an edge or a corner."""
    starts, width = runs.starts, runs.width
    stops = np.append(starts[1:], runs.height * width)
    below = np.flatnonzero(starts >= width)
    # Stretches tile the row above: those touched run from the one over the pixel before the first
    # to the one over the pixel after the last, within that row.
    row = starts[below] // width * width
    left = np.maximum(starts[below] - 1, row) - width
    right = np.minimum(stops[below], row + width - 1) - width
    lowest = np.searchsorted(starts, left, "right") - 1
    counts = np.searchsorted(starts, right, "right") - lowest
    offsets = np.cumsum(counts) - counts
    above = np.arange(int(counts.sum())) + np.repeat(lowest - offsets, counts)
    return above, np.repeat(below, counts)


def _roots(count: int, left: Indices, right: Indices) -> Indices:
    """The lowest member of each of `count` nodes' component, given the edges of the graph."""
    parents = np.arange(count)
    while left.size:
        left, right = parents[left], parents[right]
        apart = left != right
        left, right = left[apart], right[apart]
        np.minimum.at(parents, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(flatter := parents[parents], parents):
            parents = flatter
    return parents
