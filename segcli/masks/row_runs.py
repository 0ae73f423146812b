"""Where stretches of equal pixels start in label maps: few places, found without a look at each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["row_starts"]

# What is compared should still be in the processor's cache when the places are looked for.
_BLOCK = 1 << 17

Positions = npt.NDArray[np.intp]


def row_starts(maps: Sequence[npt.NDArray[Any]], most: int | None = None) -> Positions | None:
    """Positions of pixels that differ from their left neighbour in one of several maps.

    Args:
        maps: each (H, W), of one shape.
        most: how many positions are worth having; None means any number.

    Returns:
        Ascending positions in the flattened maps, the first pixel of each row among them; None
        when there are more than `most`.
    """
    width, total = maps[0].shape[-1], maps[0].size
    if not total:
        return np.zeros(0, np.intp)
    flat = [values.ravel() for values in maps]
    size = max(1, _BLOCK // width) * width
    words = np.zeros(-(-size // 8), np.uint64)
    differs, other = words.view(np.bool_), np.empty(size, np.bool_)
    found: list[Positions] = []
    for start in range(0, total, size):
        pixels = min(size, total - start)
        differs[pixels:] = False
        _compare([values[start : start + pixels] for values in flat], differs[:pixels], other)
        differs[:pixels:width] = True
        found.append(_true(words) + start)
        if most is not None and sum(map(len, found)) > most:
            return None
    return np.concatenate(found)


def _compare(
    maps: Sequence[npt.NDArray[Any]], differs: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]
) -> None:
    """Mark, but for the first, the pixels that differ from the one before in one of the maps."""
    tail, other = differs[1:], other[1 : differs.size]
    first, *others = maps
    np.not_equal(first[1:], first[:-1], out=tail)
    for values in others:
        np.not_equal(values[1:], values[:-1], out=other)
        np.logical_or(tail, other, out=tail)


def _true(words: npt.NDArray[np.uint64]) -> Positions:
    """The positions of the True among bools that are given eight a word."""
    held = np.flatnonzero(words != 0)
    within = np.flatnonzero(words[held].view(np.bool_))
    places: Positions = held[within >> 3] * 8 + (within & 7)
    return places
