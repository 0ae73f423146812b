"""What masks given as runs have in common, without decoding them.

Runs are those of `segcli.masks.rle.runs`: ascending starts and stops, each (R,) int64, positions in
column-major order (y + H * x), half-open, of which none touches the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segcli.masks.rle import BoolMask, Positions, runs
from segcli.records import RLE

__all__ = ["Runs", "runs_with_sums"]


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a mask.

    Attributes:
        starts: (R,) first positions.
        stops: (R,) positions behind their ends.
        before: (R + 1,) pixels in the runs before each, and in all.
    """

    starts: Positions
    stops: Positions
    before: Positions

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(self.before[-1])

    def holds(self, positions: npt.NDArray[np.int64]) -> BoolMask:
        """Whether the mask has each of some positions."""
        last = np.searchsorted(self.starts, positions, side="right") - 1
        return (last >= 0) & (positions < self.stops[last]) if len(self.stops) else last >= 0

    def shared_with(self, other: Runs) -> int:
        """Pixels that both masks have."""
        few, many = sorted((self, other), key=lambda r: len(r.starts))
        if not len(few.starts):
            return 0
        return int((many.covered_below(few.stops) - many.covered_below(few.starts)).sum())

    def covered_below(self, positions: Positions) -> Positions:
        """Pixels of the mask before each position."""
        started = np.searchsorted(self.starts, positions, side="left")
        beyond = self.stops[np.maximum(started - 1, 0)] - positions
        return self.before[started] - np.where(started > 0, np.maximum(beyond, 0), 0)


def runs_with_sums(rle: RLE) -> Runs:
    """The runs of a mask.

    Raises:
        MaskError: the counts are damaged.
    """
    starts, stops = runs(rle)
    before = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(stops - starts, out=before[1:])
    return Runs(starts, stops, before)
