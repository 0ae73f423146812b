"""Starts of stretches are those that a look at each pixel finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.masks import row_runs
from segcli.masks.row_runs import row_starts


def one_by_one(maps):
    height, width = maps[0].shape
    return [
        y * width + x
        for y in range(height)
        for x in range(width)
        if x == 0 or any(m[y, x] != m[y, x - 1] for m in maps)
    ]


@st.composite
def stacks(draw):
    """One to three maps of one shape, of any types and orders in memory."""
    shape = draw(st.tuples(st.integers(0, 9), st.integers(0, 20)))
    dtypes = draw(st.lists(st.sampled_from([np.bool_, np.uint8, np.int64]), min_size=1, max_size=3))
    maps = [draw(hnp.arrays(t, shape, elements=st.integers(0, 1).map(t))) for t in dtypes]
    return [np.asfortranarray(m) if draw(st.booleans()) else m for m in maps]


@given(stacks(), st.sampled_from([1, 8, 60, 1 << 17]))
def test_every_start_is_found(maps, block):
    """In blocks of any size, whole words or not, with rows longer and shorter than a block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_runs, "_BLOCK", block)
        found = row_starts(maps)
    assert found.tolist() == one_by_one(maps)


def test_too_many_are_not_looked_for():
    """The bound itself is allowed."""
    board = np.indices((6, 8)).sum(axis=0) % 2
    assert row_starts([board], 47) is None
    assert row_starts([board], 48).tolist() == list(range(48))
