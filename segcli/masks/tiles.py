"""Where tiles lie on a picture, and how a mask gets from a tile to the picture without painting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segcli.masks.column_runs import column_runs
from segcli.masks.rle import Positions
from segcli.records import RLE

__all__ = ["Rectangle", "Tile", "runs_in_picture", "tiles_over", "union_of_runs", "window_starts"]


class Rectangle(NamedTuple):
    """Half-open xyxy in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def shared_with(self, other: Rectangle) -> Rectangle | None:
        """What both have, or None."""
        both = Rectangle(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )
        return both if both.right > both.left and both.bottom > both.top else None


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture.

    Attributes:
        area: what is looked at.
        core: the pixels that lie deeper in this tile than in any other; cores cover the picture
            and share nothing.
    """

    area: Rectangle
    core: Rectangle


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """First positions of windows that cover a length, evenly spread, the last one at the end.

    Args:
        length: pixels to cover.
        window: side of a window.
        overlap: least share of a window that it has in common with the next one.
    """
    if length <= window:
        return [0]
    stride = max(1, int(window * (1 - overlap)))
    count = -(-(length - window) // stride) + 1
    return [round(i * (length - window) / (count - 1)) for i in range(count)]


def tiles_over(height: int, width: int, size: int, overlap: int) -> list[Tile]:
    """Tiles that cover a picture, row by row.

    Args:
        height: rows of the picture.
        width: columns of the picture.
        size: side of a tile; a picture that is smaller one way has smaller tiles.
        overlap: pixels that a tile has in common with the next one, at least.
    """
    rows = _spans(height, size, overlap)
    columns = _spans(width, size, overlap)
    return [
        Tile(Rectangle(x[0], y[0], x[1], y[1]), Rectangle(x[2], y[2], x[3], y[3]))
        for y in rows
        for x in columns
    ]


def _spans(length: int, size: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Start and end of each tile, then of its core, along one side."""
    starts = window_starts(length, size, overlap / size)
    ends = [min(start + size, length) for start in starts]
    middles = [(start + end) // 2 for start, end in zip(starts[1:], ends[:-1], strict=True)]
    return list(zip(starts, ends, [0, *middles], [*middles, length], strict=True))


def runs_in_picture(
    mask: RLE, tile: Rectangle, height: int, kept: Rectangle
) -> tuple[Positions, Positions]:
    """The runs of a tile's mask in the picture; none crosses from one column to the next.

    Args:
        mask: of the tile's size.
        tile: where the tile lies.
        height: rows of the picture.
        kept: the part of the picture outside of which nothing is wanted.

    Returns:
        starts and stops, each (R,) int64: positions in column-major order (y + height * x).
    """
    column, above, below = column_runs(mask)
    column = column + tile.left
    above, below = above + tile.top, below + tile.top
    above, below = np.maximum(above, kept.top), np.minimum(below, kept.bottom)
    inside = (column >= kept.left) & (column < kept.right) & (below > above)
    place = column[inside] * height
    return place + above[inside], place + below[inside]


def union_of_runs(parts: Sequence[tuple[Positions, Positions]]) -> tuple[Positions, Positions]:
    """Ascending runs that do not touch, of any that may overlap; as `encode_runs` needs them."""
    starts = np.concatenate([start for start, _ in parts])
    stops = np.concatenate([stop for _, stop in parts])
    if not len(starts):
        return starts, stops
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(stops[order])
    apart = starts[1:] > reached[:-1]
    one = np.ones(1, dtype=bool)
    return starts[np.concatenate((one, apart))], reached[np.concatenate((apart, one))]
