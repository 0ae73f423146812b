"""Masks as integers: packing, and erosion and dilation against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_dilation, binary_erosion

from segcli.masks.bitmaps import (
    dilate_by_disk,
    erode_by_square,
    holds,
    pack,
    positions,
    stride_of,
)

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=19)
MASKS = SHAPES.flatmap(
    lambda shape: st.one_of(
        hnp.arrays(bool, shape),
        hnp.arrays(bool, shape, elements=st.sampled_from([True] * 20 + [False])),
        hnp.arrays(bool, shape, elements=st.sampled_from([False] * 20 + [True])),
    )
)
DRAWN = [
    mask
    for shape in ((1, 1), (1, 30), (30, 1), (9, 8), (7, 13))
    for mask in (np.zeros(shape, bool), np.ones(shape, bool), np.indices(shape).sum(axis=0) == 5)
]


def bits_of(mask, stride):
    """The definition: bit (y + 1) * stride + x + 1 for each pixel."""
    return sum(1 << (y + 1) * stride + x + 1 for y, x in np.argwhere(mask).tolist())


def check_square(mask, radius, clearance):
    stride = stride_of(mask.shape[1], clearance)
    square = np.ones((2 * radius + 1, 2 * radius + 1), bool)
    expected = binary_erosion(mask, square, border_value=0)
    assert erode_by_square(pack(mask, stride), radius, stride) == bits_of(expected, stride)


def check_disk(mask, radius, clearance):
    stride = stride_of(mask.shape[1], clearance)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    expected = binary_dilation(mask, y * y + x * x <= radius * radius)
    found = dilate_by_disk(pack(mask, stride), radius, stride) & bits_of(mask | True, stride)
    assert found == bits_of(expected, stride)


@given(MASKS, st.integers(0, 9))
def test_a_packed_mask_has_a_bit_per_pixel(mask, clearance):
    """Each pixel at its place, and the places of all are given back in order."""
    stride = stride_of(mask.shape[1], clearance)
    bits = pack(mask, stride)
    assert bits == bits_of(mask, stride)
    y, x = np.nonzero(mask)
    assert positions(bits).tolist() == ((y + 1) * stride + x + 1).tolist()


def test_masks_that_do_not_lie_row_by_row_in_memory_are_packed_alike():
    """Transposed, reversed and cut masks."""
    mask = np.random.default_rng(0).random((11, 17)) < 0.5
    for seen in (mask.T, mask[::-1, ::-1], mask[2:7, 3:14], np.asfortranarray(mask)):
        assert pack(seen, 30) == bits_of(seen, 30)


@given(st.sets(st.integers(0, 400)), st.sets(st.integers(0, 500), min_size=1))
def test_bits_are_looked_up_by_their_places(members, places):
    """Also beyond the highest bit that is set."""
    bits, asked = sum(1 << i for i in members), sorted(places)
    assert holds(bits, np.array(asked)).tolist() == [i in members for i in asked]
    assert positions(bits).tolist() == sorted(members)


@given(MASKS, st.integers(1, 6), st.integers(0, 7))
def test_erosion_equals_scipys_with_a_square(mask, radius, clearance):
    """With nothing beyond the image; erosion needs no clearance."""
    check_square(mask, radius, clearance)


@given(MASKS, st.integers(0, 7), st.integers(0, 5))
def test_dilation_equals_scipys_with_a_disk(mask, radius, more):
    """No pixel reaches into another row, with as little clearance as is asked for."""
    check_disk(mask, radius, radius + more)


@pytest.mark.parametrize("mask", DRAWN, ids=lambda mask: f"{mask.shape}-{mask.sum()}")
@pytest.mark.parametrize("radius", [1, 2, 4, 12])
def test_single_rows_and_columns_and_empty_and_full_masks(mask, radius):
    """Structures larger than the mask, and widths that fill no byte."""
    check_square(mask, radius, radius)
    check_disk(mask, radius, radius)
