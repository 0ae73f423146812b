"""One visit to a mask: from low-resolution logits to its runs, stability and box.

Between two rows of the logits (or of the model's input) pixels are interpolated in a straight line,
so a column enters or leaves the mask at most once there, and where is solved for rather than
searched: the mask's border is found, and neither mask nor logits are ever painted at full size.
Only columns and rows within reach of logits above the lowest cutoff are looked at; interpolation
averages, so nothing else can pass it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from segcli.masks.rle import encode_runs, join_touching
from segcli.models.sam.resize import Resizer
from segcli.records import RLE

__all__ = ["Frame", "Traced", "trace"]

_Numbers = npt.NDArray[np.int64]
# Columns are made so many values at a time, for the cache.
_VALUES_AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the enlarged picture lies in the image: all of it, or a crop.

    Attributes:
        left: first column.
        top: first row.
        height: rows of the whole image.
        width: columns of the whole image.
    """

    left: int
    top: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Traced:
    """A mask in the whole image.

    Attributes:
        starts: (R,) first positions of its runs in column-major order (y + H * x).
        stops: (R,) positions behind their ends.
        inner: pixels above the raised cutoff.
        outer: pixels above the lowered cutoff.
        frame: where it lies.
    """

    starts: _Numbers
    stops: _Numbers
    inner: int
    outer: int
    frame: Frame

    @property
    def stability(self) -> float:
        """IoU of the mask at a raised and a lowered cutoff, as float32; NaN if both are empty."""
        return float(np.float32(self.inner) / np.float32(self.outer)) if self.outer else np.nan

    @property
    def rle(self) -> RLE:
        """The mask, at the image's size."""
        return encode_runs(self.starts, self.stops, self.frame.height, self.frame.width)

    @property
    def inclusive_box(self) -> npt.NDArray[np.float32]:
        """(4,) float32 xyxy of the whole image, last pixel inclusive; zeros for an empty mask."""
        if not len(self.starts):
            return np.zeros(4, np.float32)
        height = self.frame.height
        first, last = self.starts // height, (self.stops - 1) // height
        top, bottom = self.starts - first * height, self.stops - 1 - last * height
        if (last > first).any():
            return np.array([first[0], 0, last[-1], height - 1], np.float32)
        return np.array([first[0], top.min(), last[-1], bottom.max()], np.float32)


def trace(
    resizer: Resizer, frame: Frame, plane: torch.Tensor, *, threshold: float, offset: float
) -> Traced:
    """Find a mask's runs in the image.

    Args:
        resizer: from the logits to the picture's pixels.
        frame: where that picture lies.
        plane: (h, w) float32 logits on the CPU.
        threshold: logit above which a pixel is inside.
        offset: how far the cutoff is moved up and down for stability; at least 0.
    """
    starts, stops, inner, outer = [], [], 0, 0
    for left, strip in _strips(resizer, plane, threshold - offset):
        runs, raised, lowered = strip.runs((threshold, threshold + offset, threshold - offset))
        inner += raised.pixels
        outer += lowered.pixels
        filled = runs.behinds > runs.firsts
        place = (frame.left + left + runs.columns[filled]) * frame.height + frame.top
        starts.append(place + runs.firsts[filled])
        stops.append(place + runs.behinds[filled])
    joined = join_touching(_together(starts), _together(stops))
    return Traced(*joined, inner, outer, frame)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs down the columns of a strip, in order.

    Attributes:
        columns: (R,) column of each, counted from the strip's first.
        firsts: (R,) first row.
        behinds: (R,) row behind the last; not behind the first where no row lies in a run.
    """

    columns: _Numbers
    firsts: _Numbers
    behinds: _Numbers

    @property
    def pixels(self) -> int:
        """How many are in runs."""
        return int(np.maximum(self.behinds - self.firsts, 0).sum())


@dataclass(frozen=True, slots=True)
class _Strip:
    """Some columns of a mask, known at nodes between which they run straight.

    Attributes:
        values: (columns, nodes) float32.
        first: number of the first of these nodes.
        rows_per_node: how many rows of the picture lie between two nodes.
        height: rows of the picture.
    """

    values: npt.NDArray[np.float32]
    first: int
    rows_per_node: float
    height: int

    def runs(self, cutoffs: Sequence[float]) -> list[_Runs]:
        """Runs above each cutoff."""
        columns, nodes = self.values.shape
        fenced = np.zeros((len(cutoffs), columns, nodes + 2), dtype=bool)
        for plane, cutoff in zip(fenced, cutoffs, strict=True):
            np.greater(self.values, cutoff, out=plane[:, 1:-1])
        # Fenced in, a column ends outside and the next begins there: all are read as one line.
        line = fenced.ravel()
        changes = np.flatnonzero(line[1:] != line[:-1])
        place, node = np.divmod(changes, nodes + 2)
        which, column = np.divmod(place, columns)
        if self.rows_per_node == 1:
            firsts, behinds = node[::2] + self.first, node[1::2] + self.first
        else:
            row = self._row(self._where(column, node, np.array(cutoffs)[which]))
            # Inside is above the cutoff: a row on the very spot is not.
            firsts, behinds = np.floor(row[::2]) + 1, np.ceil(row[1::2])
            firsts = np.minimum(np.maximum(firsts, 0), self.height).astype(np.int64)
            behinds = np.minimum(np.maximum(behinds, 0), self.height).astype(np.int64)
        ends = np.searchsorted(which[::2], np.arange(len(cutoffs) + 1))
        return [
            _Runs(column[2 * start : 2 * stop : 2], firsts[start:stop], behinds[start:stop])
            for start, stop in pairwise(ends)
        ]

    def _where(
        self, column: _Numbers, node: _Numbers, cutoff: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Where columns pass the cutoffs, each between a node and the one before."""
        last = self.values.shape[1] - 1
        values = self.values.ravel()
        start = column * (last + 1)
        before = values[start + np.maximum(node - 1, 0)].astype(np.float64)
        step = values[start + np.minimum(node, last)] - before
        # A mask that is cut off by the picture's border begins above it and ends below.
        above, below = node == 0, node > last
        step[above | below] = 1.0
        where: npt.NDArray[np.float64] = self.first + node - 1 + (cutoff - before) / step
        # Where these nodes end inside it, rounding has lifted logits equal to the cutoff above it.
        behind = self.first + last
        all_nodes = round(self.height / self.rows_per_node)
        where[above] = self.first or -np.inf
        where[below] = np.inf if behind + 1 == all_nodes else behind
        return where

    def _row(self, where: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Rows of the picture, as real numbers, from places among the nodes."""
        rows: npt.NDArray[np.float64] = (where + 0.5) * self.rows_per_node - 0.5
        return rows


def _strips(resizer: Resizer, plane: torch.Tensor, cutoff: float) -> Iterator[tuple[int, _Strip]]:
    """The columns that may hold logits above a cutoff, from left to right, some at a time."""
    above = (plane > cutoff).numpy()
    rows, columns = np.flatnonzero(above.any(1)), np.flatnonzero(above.any(0))
    if not len(rows):
        return
    top, bottom = resizer.nodes.reached_by(int(rows[0]), int(rows[-1]))
    left, right = resizer.columns.reached_by(int(columns[0]), int(columns[-1]))
    # One node more on either side, so that the mask is left between nodes that are there.
    top, bottom = max(top - 1, 0), min(bottom + 1, len(resizer.nodes.indices))
    tall = resizer.nodes.apply(plane, top, bottom).T.contiguous()
    step = max(1, _VALUES_AT_ONCE // (bottom - top))
    for start in range(left, right, step):
        values = resizer.columns.apply(tall, start, min(start + step, right))
        yield start, _Strip(values.numpy(), top, resizer.rows_per_node, resizer.height)


def _together(parts: list[_Numbers]) -> _Numbers:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
