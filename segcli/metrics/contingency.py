"""How often each value of one map meets each value of another: the count behind most scores.

Neighbouring pixels of label maps are mostly equal, so runs of equal pairs are found first and only
these are counted: comparing neighbours costs a twentieth of counting pixels one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.masks.row_runs import row_starts
from segcli.metrics.base import BoolMask

__all__ = ["Contingency", "contingency"]

_PIXELS_A_RUN = 8
_DENSE_LIMIT = 1 << 16
_JOINT_LIMIT = 1 << 22

Integers = npt.NDArray[np.int64]
Values = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Contingency:
    """The pairs of values that occur, each once, ascending by first and then by second value.

    Attributes:
        first: (N,) int64 value of the first map.
        second: (N,) int64 value of the second map.
        pixels: (N,) int64 pixels that hold both, at least 1.
    """

    first: Integers
    second: Integers
    pixels: Integers


def contingency(first: Values, second: Values, counted: BoolMask | None = None) -> Contingency:
    """Count the pixels of two maps by their pair of values.

    The same counts as scikit-image's `contingency_table`, for values of any size and sign.

    Args:
        first: (H, W) integers or bools.
        second: (H, W) integers or bools.
        counted: (H, W) bool, the pixels that count; None means all.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape or (counted is not None and counted.shape != first.shape):
        raise ValueError(f"maps of shapes {first.shape} and {second.shape} cannot be compared")
    a, b = _flat(first), _flat(second)
    inside = None if counted is None else counted.ravel()
    lengths: Integers | None = None
    maps = (first, second) if counted is None else (first, second, counted)
    starts = row_starts(maps, a.size // _PIXELS_A_RUN)
    if starts is not None:
        lengths = np.diff(starts, append=a.size)
        a, b = a[starts], b[starts]
        if inside is not None:
            kept = inside[starts]
            a, b, lengths = a[kept], b[kept], lengths[kept]
    elif inside is not None:
        a, b = a[inside], b[inside]
    return _counted(a, b, lengths)


def _flat(values: Values) -> Values:
    flat = values.ravel()
    return flat.view(np.uint8) if flat.dtype == bool else flat


def _counted(a: Values, b: Values, lengths: Integers | None) -> Contingency:
    if a.size == 0:
        nothing = np.zeros(0, np.int64)
        return Contingency(nothing, nothing, nothing)
    a_values, a_codes = _codes(a)
    b_values, b_codes = _codes(b)
    width = len(b_values)
    size = len(a_values) * width
    # One joint code a run or pixel, as small as it can be: the memory traffic is the cost.
    dtype = np.uint16 if size <= 1 << 16 else np.uint32 if size <= 1 << 32 else np.uint64
    joint = np.multiply(a_codes, width, dtype=dtype, casting="unsafe")
    np.add(joint, b_codes, out=joint, casting="unsafe")
    if size <= max(_DENSE_LIMIT, min(_JOINT_LIMIT, 4 * a.size)):
        # Sums of whole numbers in float64 are exact below 2^53 pixels.
        table = np.bincount(joint, lengths, minlength=size)
        found = np.flatnonzero(table)
        pixels = table[found]
    elif lengths is None:
        found, pixels = np.unique(joint, return_counts=True)
    else:
        found, place = np.unique(joint, return_inverse=True)
        pixels = np.bincount(place, lengths)
    found = found.astype(np.int64)
    return Contingency(a_values[found // width], b_values[found % width], pixels.astype(np.int64))


def _codes(values: Values) -> tuple[Integers, Values]:
    """Values that may occur, ascending, and the index among them of each pixel's."""
    lowest, highest = int(values.min()), int(values.max())
    if lowest >= 0 and highest < 256:
        return np.arange(highest + 1), values
    if lowest >= 0 and highest < _DENSE_LIMIT:
        # Looking values up is many times faster than sorting them.
        present = np.bincount(values) > 0
        codes: Values = (np.cumsum(present) - 1).astype(np.uint16)[values]
        return np.flatnonzero(present), codes
    found, inverse = np.unique(values, return_inverse=True)
    return found.astype(np.int64), inverse
