"""Whether what two tiles say of the pixels that they share is one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.masks.rle import decode
from segcli.masks.tiles import Rectangle
from segcli.records import Segment

__all__ = ["AGREE", "Seen", "agreement", "seen_in_band"]

AGREE = 0.5
"""Share of pixels from which two masks are the same."""
# Models answer at a lower resolution: a mask may end so many pixels before the border that cut it.
_NEAR = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """What a tile says of an object within a band that it shares with another tile.

    Attributes:
        number: which segment.
        category: its category.
        place: the box of it in the picture, within the band.
        pieces: (h, w) over that box: number of the connected piece, from 1; 0 = outside.
        areas: (P + 1,) pixels of each piece.
        cut: (P + 1,) whether the piece reaches a border of its tile that lies in the other one.
        most: (P + 1,) whether the piece is most of the whole segment.
    """

    number: int
    category: int | None
    place: Rectangle
    pieces: npt.NDArray[np.integer[Any]]
    areas: npt.NDArray[np.int64]
    cut: npt.NDArray[np.bool_]
    most: npt.NDArray[np.bool_]


def seen_in_band(
    segments: Sequence[tuple[int, Segment]], tile: Rectangle, other: Rectangle
) -> list[Seen]:
    """What a tile says within the band that it shares with another; nothing if they share none.

    Args:
        segments: number and segment, in the tile's own pixels.
        tile: where the tile lies.
        other: where the other one lies.
    """
    band = tile.shared_with(other)
    if band is None:
        return []
    found = []
    for number, segment in segments:
        x, y, width, height = (int(v) for v in segment.box_xywh)
        left, top = x + tile.left, y + tile.top
        place = band.shared_with(Rectangle(left, top, left + width, top + height))
        if place is None:
            continue
        mask = decode(segment.mask)[
            place.top - tile.top : place.bottom - tile.top,
            place.left - tile.left : place.right - tile.left,
        ]
        if mask.any():
            found.append(_seen(number, segment, mask, place, tile, other))
    return found


def _seen(
    number: int,
    segment: Segment,
    mask: npt.NDArray[np.bool_],
    place: Rectangle,
    tile: Rectangle,
    other: Rectangle,
) -> Seen:
    from scipy import ndimage  # noqa: PLC0415 (slow to import)

    pieces, count = ndimage.label(mask)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)
    areas[0] = 0
    cut = np.zeros(count + 1, dtype=bool)
    if tile.right < other.right:
        cut[pieces[:, max(tile.right - _NEAR - place.left, 0) :]] = True
    if tile.left > other.left:
        cut[pieces[:, : max(tile.left + _NEAR - place.left, 0)]] = True
    if tile.bottom < other.bottom:
        cut[pieces[max(tile.bottom - _NEAR - place.top, 0) :]] = True
    if tile.top > other.top:
        cut[pieces[: max(tile.top + _NEAR - place.top, 0)]] = True
    return Seen(number, segment.category, place, pieces, areas, cut, areas >= AGREE * segment.area)


def agreement(one: Seen, two: Seen) -> float:
    """How well two tiles agree that they see one object: a share of pixels, 0 for another one.

    It is decided by connected pieces, because an object may come into the band several times. A
    piece that both tiles cut off goes through the band, and both must see the same of it. One
    that a single tile cuts off may be little of what the other sees, and must lie in it. For one
    that no tile cuts off the same holds as for the first; and a piece that is not cut off counts
    only where it is most of its segment: crumbs tie no objects together.
    """
    both = one.place.shared_with(two.place)
    if both is None or one.category != two.category:
        return 0.0
    first, second = _at(one, both), _at(two, both)
    inside = (first > 0) & (second > 0)
    if not inside.any():
        return 0.0
    behind = len(two.areas)
    pairs, shared = np.unique(
        first[inside].astype(np.int64) * behind + second[inside], return_counts=True
    )
    a, b = pairs // behind, pairs % behind
    of_one, of_two = shared / one.areas[a], shared / two.areas[b]
    of_both = shared / (one.areas[a] + two.areas[b] - shared)
    cut_a, cut_b = one.cut[a], two.cut[b]
    share = np.where(cut_a == cut_b, of_both, np.where(cut_a, of_one, of_two))
    counts = (cut_a & cut_b) | (one.most[a] & ~cut_b) | (two.most[b] & ~cut_a)
    counts &= cut_a | cut_b | (one.most[a] & two.most[b])
    share = np.where(counts & (share >= AGREE), share, 0.0)
    return float(share.max())


def _at(seen: Seen, place: Rectangle) -> npt.NDArray[np.integer[Any]]:
    return seen.pieces[
        place.top - seen.place.top : place.bottom - seen.place.top,
        place.left - seen.place.left : place.right - seen.place.left,
    ]
