"""Which piece of a mask is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segcli.masks.column_runs import column_runs
from segcli.masks.rle import Positions, encode_runs, join_touching
from segcli.records import RLE

__all__ = ["pieces_at"]


def pieces_at(mask: RLE, points_xy: Sequence[tuple[float, float]]) -> RLE:
    """The pieces of a mask on which points lie, or the largest piece if none does.

    Pixels that touch at a corner are of one piece (8 neighbours). Nothing is painted: pieces are
    found among the runs of the columns, in time that grows with their number.

    Args:
        mask: any mask.
        points_xy: x, y in pixels; a pixel is named by its column and row.
    """
    columns, tops, bottoms = column_runs(mask)
    if not len(columns) or _is_one(columns, tops, bottoms):
        return mask
    pieces = _pieces(columns, tops, bottoms, mask.height)
    meant = np.zeros(int(pieces.max()) + 1, dtype=bool)
    for x, y in points_xy:
        meant[pieces[(columns == int(x)) & (tops <= int(y)) & (int(y) < bottoms)]] = True
    if not meant.any():
        meant[np.bincount(pieces, weights=bottoms - tops).argmax()] = True
    kept = meant[pieces]
    if kept.all():
        return mask
    place = columns[kept] * mask.height
    starts, stops = join_touching(place + tops[kept], place + bottoms[kept])
    return encode_runs(starts, stops, mask.height, mask.width)


def _is_one(columns: Positions, tops: Positions, bottoms: Positions) -> bool:
    """Whether it is plain to see that there is one piece: each column has one run by the next."""
    return bool(
        (np.diff(columns) == 1).all()
        and (tops[1:] <= bottoms[:-1]).all()
        and (tops[:-1] <= bottoms[1:]).all()
    )


def _pieces(
    columns: Positions, tops: Positions, bottoms: Positions, height: int
) -> npt.NDArray[np.int32]:
    """(R,) number of the piece of each run, from 0."""
    from scipy.sparse import coo_array  # noqa: PLC0415 (slow to import)
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    # Columns are a row apart here, so that no run touches one of another column.
    place = columns * (height + 1)
    starts, stops = place + tops, place + bottoms
    first = np.searchsorted(stops, starts + height + 1, side="left")
    behind = np.searchsorted(starts, stops + height + 1, side="right")
    counts = np.maximum(behind - first, 0)
    run = np.repeat(np.arange(len(columns)), counts)
    other = np.arange(len(run)) - np.repeat(np.cumsum(counts) - counts, counts) + first[run]
    beside = columns[other] == columns[run] + 1
    links = (np.ones(int(beside.sum()), np.int8), (run[beside], other[beside]))
    graph = coo_array(links, shape=(len(columns), len(columns)))
    pieces: npt.NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return pieces
