"""Weighted sums of floats without rounding, so that a resample of equal images scores as they do.

Numbers are cut into digits of 26 bits. Whole numbers below 2^53 add exactly in a matrix product, so
the product of whole weights with each digit is exact, and the digits are put together as fractions.
The idea is that of error-free transformation (Ozaki, Ogita, Oishi and Rump 2012).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = ["exact_sums", "weighted_means"]

_BITS = 26

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.int64]


def exact_sums(weights: Weights, values: Floats) -> list[list[Fraction | int]]:
    """The sums of columns under each row of weights, exactly.

    Args:
        weights: (B, N) whole numbers from 0, each row adding up to less than 2^26.
        values: (N, F) finite numbers.

    Returns:
        B rows of F sums; those of a column of small whole numbers as int.

    Raises:
        ValueError: a value is not finite.
    """
    columns = [
        [Fraction(total, 1 << shift) for total in totals] if shift else totals
        for totals, shift in _totals(weights, values)
    ]
    return [list(row) for row in zip(*columns, strict=True)] or [[] for _ in weights]


def weighted_means(weights: Weights, values: Floats) -> Floats:
    """The means of columns under each row of weights, NaN values left out.

    Args:
        weights: (B, N) whole numbers from 0.
        values: (N, F) numbers, NaN where undefined.

    Returns:
        (B, F), correctly rounded; NaN where no defined value has a weight.
    """
    defined = ~np.isnan(values)
    # As floats, which multiply many times faster than whole numbers, and as exactly here.
    counts = (weights.astype(np.float64) @ defined.astype(np.float64)).astype(np.int64)
    means = np.full(counts.shape, np.nan)
    for j, (totals, shift) in enumerate(_totals(weights, np.where(defined, values, 0.0))):
        pairs = zip(totals, counts[:, j].tolist(), strict=True)
        # Python divides whole numbers of any size with one rounding.
        means[:, j] = [total / (count << shift) if count else np.nan for total, count in pairs]
    return means


def _totals(weights: Weights, values: Floats) -> list[tuple[list[int], int]]:
    """Of each column its sums as whole numbers, and the power of 1/2 that they are multiples of."""
    if not np.isfinite(values).all():
        raise ValueError("a number that is not finite has no exact sum")
    largest = np.abs(values).max(axis=0, initial=0.0)
    whole = (values == np.rint(values)).all(axis=0) & (largest < 1 << _BITS)
    exponents = np.where(whole, 0, np.frexp(largest)[1].astype(np.int64) - _BITS)
    lowest = np.minimum(exponents, 0)
    digits: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    weighed, rest = weights.astype(np.float64), values.copy()
    while len(active := np.flatnonzero(rest.any(axis=0))):
        own = exponents[active]
        digit = np.trunc(np.ldexp(rest[:, active], -own))
        rest[:, active] -= np.ldexp(digit, own)
        digits.append((active, own, (weighed @ digit).astype(np.int64)))
        lowest[active] = np.minimum(own, 0)
        exponents[active] -= _BITS
    totals = [[0] * len(weights) for _ in largest]
    for active, own, sums in digits:
        for j, power, column in zip(active.tolist(), own.tolist(), sums.T.tolist(), strict=True):
            shift = power - int(lowest[j])
            totals[j] = [total + (v << shift) for total, v in zip(totals[j], column, strict=True)]
    return [(column, -int(low)) for column, low in zip(totals, lowest, strict=True)]
