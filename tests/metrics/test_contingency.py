"""Counting pairs of values, whether they come in runs or one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import contingency_table

from segcli.metrics.contingency import contingency

VALUES = {
    np.bool_: [False, True],
    np.uint8: [0, 1, 255],
    np.int16: [-3, 0, 7],
    np.uint16: [0, 300, 65_535],
    np.int32: [0, 70_000, 16_777_215],
    np.int64: [-(2**40), 0, 2**40],
}


@st.composite
def maps(draw):
    """Two maps of one shape and of any types, in long runs or short ones, and what counts."""
    repeat = draw(st.sampled_from([1, 5, 40]))
    shape = draw(st.tuples(st.integers(0, 6), st.integers(1, 6)))

    def one():
        dtype = draw(st.sampled_from(list(VALUES)))
        cells = draw(hnp.arrays(dtype, shape, elements=st.sampled_from(VALUES[dtype])))
        values = np.repeat(cells, repeat, axis=1)
        return np.asfortranarray(values) if draw(st.booleans()) else values

    counted = draw(st.none() | hnp.arrays(bool, (shape[0], shape[1] * repeat)))
    return one(), one(), counted


@given(maps())
def test_counts_equal_a_loop_over_pixels(case):
    """Each pair that occurs is listed once, in order, with as many pixels as a loop finds."""
    first, second, counted = case
    inside = np.ones(first.shape, bool) if counted is None else counted
    pairs = zip(first[inside].tolist(), second[inside].tolist(), strict=True)
    wanted = Counter((int(a), int(b)) for a, b in pairs)
    found = contingency(first, second, counted)
    listed = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert listed == sorted(wanted)
    assert found.pixels.tolist() == [wanted[pair] for pair in listed]
    assert found.first.dtype == found.second.dtype == found.pixels.dtype == np.int64


@given(
    hnp.arrays(np.int64, (7, 30), elements=st.integers(0, 5)),
    hnp.arrays(np.int64, (7, 30), elements=st.integers(0, 5)),
)
def test_counts_equal_scikit_image(first, second):
    """The same table as scikit-image's."""
    table = contingency_table(first, second).toarray()
    found = contingency(first, second)
    assert table[found.first, found.second].tolist() == found.pixels.tolist()
    assert table.sum() == found.pixels.sum()


@pytest.mark.parametrize("side", [3, 120])
def test_many_values_do_not_make_a_dense_table(side):
    """Maps in which every pixel has a value of its own are counted without a table of all pairs."""
    values = np.arange(side * side, dtype=np.int32).reshape(side, side) * 1000
    found = contingency(values, values[::-1])
    assert found.pixels.tolist() == [1] * values.size
    runs = np.repeat(values, 20, axis=1)
    assert contingency(runs, runs[::-1]).pixels.tolist() == [20] * values.size


def test_shapes_must_agree():
    """Maps, and what counts of them, are never broadcast."""
    full, row = np.zeros((2, 3), int), np.zeros((1, 3), int)
    for case in ((full, row), (full, full, row.astype(bool))):
        with pytest.raises(ValueError, match="cannot be compared"):
            contingency(*case)
