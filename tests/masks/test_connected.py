"""The piece of a mask that is meant, against labels of painted masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from segcli.masks.column_runs import column_runs
from segcli.masks.connected import pieces_at
from segcli.masks.rle import decode, encode

EIGHT = np.ones((3, 3))


@st.composite
def masks(draw):
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random.random((height, width)) < draw(st.sampled_from([0.2, 0.4, 0.6, 0.9, 1.0]))


@given(masks())
def test_column_runs_are_the_pixels(mask):
    """Painting the runs gives the mask, no run leaves its column, and they come in order."""
    painted = np.zeros_like(mask)
    columns, tops, bottoms = column_runs(encode(mask))
    for x, top, bottom in zip(columns, tops, bottoms, strict=True):
        assert 0 <= top < bottom <= len(mask)
        assert not painted[top:bottom, x].any()
        painted[top:bottom, x] = True
    assert (painted == mask).all()
    assert (np.diff(columns * (len(mask) + 1) + tops) > 0).all()


@given(masks(), st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), max_size=3))
def test_pieces_are_those_of_the_painted_mask(mask, shares):
    """The 8-connected components under the points; without one, the first of the largest."""
    height, width = mask.shape
    points = [(x * width, y * height) for x, y in shares]
    kept = decode(pieces_at(encode(mask), points))
    labels, count = ndimage.label(mask, EIGHT)
    under = {int(labels[int(y), int(x)]) for x, y in points} - {0}
    if under:
        assert (kept == np.isin(labels, list(under))).all()
    elif count:
        assert ndimage.label(kept, EIGHT)[1] == 1
        assert (kept <= mask).all()
        assert kept.sum() == np.bincount(labels.ravel())[1:].max()
    else:
        assert not kept.any()


def test_a_mask_of_one_piece_is_left_as_it_is():
    """A ring, a diagonal and a full picture are one piece each."""
    ring = np.ones((9, 9), bool)
    ring[3:6, 3:6] = False
    for mask in (ring, np.eye(9, dtype=bool), np.ones((9, 9), bool)):
        assert pieces_at(encode(mask), [(0.0, 0.0)]) == encode(mask)
        assert pieces_at(encode(mask), []) == encode(mask)


def test_the_end_of_a_column_does_not_touch_the_next():
    """The last row of a column and the first of the next are neighbours in no picture."""
    mask = np.zeros((5, 4), bool)
    mask[4, 1] = mask[0, 2] = True
    assert (np.argwhere(decode(pieces_at(encode(mask), [(2.0, 0.0)]))) == [[0, 2]]).all()
