"""Counts and pieces read off runs are those that SciPy finds pixel by pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from segcli.formats.runs import pieces, runs_of

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
LABELS = arrays.arrays(np.uint8, SHAPES, elements=st.integers(0, 3))


@given(LABELS)
def test_pieces_are_connected_components(values):
    """By value, the 8-connected components of `scipy.ndimage.label`."""
    found = pieces(runs_of(values))
    assert found.shape == (256,)
    for value in range(4):
        assert found[value] == ndimage.label(values == value, np.ones((3, 3)))[1]


@given(LABELS, st.sampled_from([np.uint8, np.uint16, np.int32, np.int64, np.uint64]))
def test_the_histogram_is_that_of_the_pixels(values, dtype):
    """Distinct values and their pixels, as `numpy.unique` counts them, for every integer type."""
    values = values.astype(dtype)
    if dtype not in (np.uint8, np.uint16):
        values = values * dtype(1 << 30)
    found = runs_of(values).histogram()
    for mine, expected in zip(found, np.unique(values, return_counts=True), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_bools_have_a_histogram():
    """Masks too, with the values 0 and 1."""
    values, counts = runs_of(np.array([[True, False, True]])).histogram()
    assert (values.tolist(), counts.tolist()) == ([0, 1], [1, 2])


def test_a_winding_path_is_one_piece():
    """A snake through 400 rows is joined end to end, and what lies between its turns is not."""
    snake = np.zeros((400, 30), np.uint8)
    snake[::2] = 1
    snake[1::4, -1] = 1
    snake[3::4, 0] = 1
    assert pieces(runs_of(snake))[:2].tolist() == [200, 1]


def test_a_checkerboard_is_joined_at_its_corners():
    """Pixels that touch at a corner are one piece, also at the left and right edge."""
    board = np.indices((9, 9)).sum(axis=0) % 2
    assert pieces(runs_of(board.astype(np.uint8)))[:2].tolist() == [1, 1]
