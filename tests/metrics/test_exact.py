"""Weighted sums and means against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.metrics.exact import exact_sums, weighted_means

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(st.lists(st.tuples(FINITE, st.integers(0, 9)), min_size=1, max_size=8))
def test_sums_are_exact(items):
    """Every sum equals the one in fractions, tiny and huge numbers side by side."""
    values = np.array([[v] for v, _ in items])
    weights = np.array([[w for _, w in items]])
    expected = sum(Fraction(v) * w for v, w in items)
    assert exact_sums(weights, values) == [[expected]]


def test_whole_numbers_stay_whole():
    """Counts stay int, so that sums of counts are counts."""
    found = exact_sums(np.array([[2, 0, 1]]), np.array([[3.0, 2.0**30], [5.0, 0.0], [7.0, 1.0]]))
    assert found == [[13, 2**31 + 1]]
    assert type(found[0][0]) is int


def test_no_columns():
    """Nothing to add gives empty rows, one a draw."""
    assert exact_sums(np.ones((3, 2), np.int64), np.zeros((2, 0))) == [[], [], []]


def test_what_is_not_finite_has_no_sum():
    """An infinite number is refused."""
    with pytest.raises(ValueError, match="not finite"):
        exact_sums(np.ones((1, 2), np.int64), np.array([[1.0], [math.inf]]))


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), min_size=1, max_size=9))
def test_means_leave_undefined_values_out(values):
    """The mean is correctly rounded, NaN where nothing defined is drawn."""
    table = np.array(values)[:, None]
    weights = np.array([[1] * len(values), list(range(len(values)))])
    for found, row in zip(weighted_means(weights, table)[:, 0], weights.tolist(), strict=True):
        pairs = [
            (Fraction(v), w) for v, w in zip(values, row, strict=True) if w and not math.isnan(v)
        ]
        count = sum(w for _, w in pairs)
        if not count:
            assert math.isnan(found)
        else:
            assert found == float(sum(v * w for v, w in pairs) / count)


def test_the_mean_of_a_constant_is_the_constant():
    """No draw of equal numbers has another mean."""
    weights = np.random.default_rng(0).multinomial(49, [1 / 49] * 49, size=99)
    assert set(weighted_means(weights, np.full((49, 1), 0.7)).ravel().tolist()) == {0.7}
