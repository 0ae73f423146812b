"""The central point of an object, and the click that corrects a mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.masks.points import central_point, corrective_click

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any)


def square(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top : top + side, left : left + side] = True
    return mask


@settings(max_examples=80, deadline=None)
@given(MASKS)
def test_it_is_the_first_of_the_farthest_pixels(mask):
    """Squared distances to every pixel outside, the frame round the image among them, say so."""
    framed = np.pad(mask, 1)
    outside = np.argwhere(~framed)
    depth = np.zeros(framed.shape, int)
    for y, x in np.argwhere(framed):
        depth[y, x] = ((outside - (y, x)) ** 2).sum(1).min()
    y, x = divmod(int(depth.argmax()), framed.shape[1])
    assert central_point(mask) == (x - 1, y - 1)


@settings(max_examples=30, deadline=None)
@given(MASKS, st.integers(0, 5), st.integers(0, 5))
def test_it_moves_with_the_object(mask, down, right):
    """Empty rows and columns round an object change nothing but the origin."""
    x, y = central_point(mask)
    assert central_point(np.pad(mask, ((down, 2), (right, 3)))) == (x + right, y + down)


def test_the_border_of_the_image_is_a_border():
    """The point of a square in a corner is its middle, not the corner."""
    assert central_point(square(9, 12, 0, 0, 5)) == (2, 2)
    assert central_point(square(9, 12, 4, 7, 5)) == (9, 6)
    assert central_point(np.ones((5, 9), bool)) == (2, 2)


def test_a_ring_is_asked_on_itself():
    """The point lies on the object where its middle does not."""
    ring = square(11, 11, 1, 1, 9) & ~square(11, 11, 4, 4, 3)
    x, y = central_point(ring)
    assert ring[y, x]


def test_the_larger_part_has_the_point():
    """An object of two parts has its point in the thicker one."""
    assert central_point(square(20, 20, 1, 1, 3) | square(20, 20, 10, 10, 7)) == (13, 13)


def test_an_empty_mask_has_none():
    """There is no central point of nothing."""
    with pytest.raises(ValueError, match="empty"):
        central_point(np.zeros((3, 3), bool))


def depths(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest one outside, the frame round the image included."""
    framed = np.pad(mask, 1)
    outside = np.argwhere(~framed)
    depth = np.zeros(framed.shape)
    for y, x in np.argwhere(framed):
        depth[y, x] = np.sqrt(((outside - (y, x)) ** 2).sum(1).min())
    return depth[1:-1, 1:-1]


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda size: st.tuples(hnp.arrays(bool, size), hnp.arrays(bool, size))
    ),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=4),
)
def test_a_correction_is_that_of_the_reference(masks, clicked):
    """Missed and surplus pixels apart, the deeper one that was not clicked, surplus when equal."""
    truth, mask = masks
    missed, surplus = depths(truth & ~mask), depths(mask & ~truth)
    for x, y in clicked:
        if y < truth.shape[0] and x < truth.shape[1]:
            missed[y, x] = surplus[y, x] = 0
    inside = missed.max() > surplus.max()
    plane = missed if inside else surplus
    expected = None
    if plane.max():
        y, x = divmod(int(plane.argmax()), plane.shape[1])
        expected = (x, y, int(inside))
    assert corrective_click(truth ^ mask, truth, clicked) == expected


def test_corrections_of_whole_pictures():
    """Nothing wrong, nothing to click; equally deep errors are clicked outside first."""
    left, right = square(9, 20, 2, 1, 5), square(9, 20, 2, 12, 5)
    assert corrective_click(left ^ left, left) is None
    assert corrective_click(left ^ right, left) == (14, 4, 0)
    assert corrective_click(left ^ right, left, [(14, 4)]) == (3, 4, 1)
