"""A mask as runs that end with their column."""

from __future__ import annotations

import numpy as np

from segcli.masks.rle import Positions, runs
from segcli.records import RLE

__all__ = ["column_runs"]


def column_runs(mask: RLE) -> tuple[Positions, Positions, Positions]:
    """The runs of a mask, those that go on in the next column in parts.

    Returns:
        column, first row and row behind, each (R,) int64: by column, then by row.
    """
    starts, stops = runs(mask)
    filled = stops > starts
    starts, stops = starts[filled], stops[filled]
    rows = mask.height
    first, last = starts // rows, (stops - 1) // rows
    counts = last - first + 1
    owner = np.repeat(np.arange(len(starts)), counts)
    column = first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    above = np.maximum(starts[owner] - column * rows, 0)
    below = np.minimum(stops[owner] - column * rows, rows)
    return column, above, below
