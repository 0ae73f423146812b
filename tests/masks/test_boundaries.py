"""Boundaries in each benchmark's definition, against scipy and loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_erosion

from segcli.masks.bitmaps import pack, positions, stride_of
from segcli.masks.boundaries import (
    border_pixels,
    boundary_pixels,
    boundary_width,
    contour_corners,
    edge_pixels,
    window_around,
)

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)
MASKS = hnp.arrays(bool, SHAPES)
LABELS = hnp.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 0, 0, 0, 0, 1, 255]))
SQUARE = np.ones((3, 3), bool)


def packed(mask, clearance=1):
    """The mask as an integer, and its stride."""
    stride = stride_of(mask.shape[1], clearance)
    return pack(mask, stride), stride


def pixels(bits, stride, shape, first=1):
    """A mask of the bits; an error where one lies outside of the shape."""
    found = np.zeros(shape, bool)
    rows, columns = np.divmod(positions(bits), stride)
    found.flat[np.ravel_multi_index((rows - first, columns - first), shape)] = True
    return found


@given(LABELS, st.integers(1, 4))
def test_boundaries_of_all_values_equal_repeated_erosion(labels, radius):
    """For each value, the mask minus its erosion by 3x3, `radius` times, nothing beyond."""
    near = boundary_pixels(labels, radius)
    assert near.shape == labels.shape
    for value in (0, 1, 255):
        mask = labels == value
        eroded = binary_erosion(mask, SQUARE, iterations=radius, border_value=0)
        assert (mask & near == mask & ~eroded).all()


def test_a_boundary_of_a_large_square_is_a_frame():
    """The frame is as deep as the radius, also along the image's border."""
    mask = np.zeros((20, 20), bool)
    mask[:, 5:] = True
    inside = np.zeros_like(mask)
    inside[3:17, 8:17] = True
    assert (mask & ~boundary_pixels(mask, 3) == inside).all()


@pytest.mark.parametrize(
    ("height", "width", "ratio", "expected"),
    [(480, 640, 0.02, 16), (1024, 1024, 0.02, 29), (10, 10, 0.02, 1), (300, 400, 0.005, 2)],
)
def test_the_width_is_a_rounded_share_of_the_diagonal(height, width, ratio, expected):
    """At least 1, and a half goes to the even number as in the reference (2.5 → 2)."""
    assert boundary_width(height, width, ratio) == expected


@given(MASKS, st.integers(0, 7))
def test_border_pixels_equal_erosion_by_a_cross(mask, clearance):
    """Pixels that scipy's erosion by a cross takes away, the image's border included."""
    bits, stride = packed(mask, clearance)
    found = pixels(border_pixels(bits, stride), stride, mask.shape)
    assert (found == mask & ~binary_erosion(mask)).all()


@given(MASKS, st.integers(0, 7))
def test_edge_pixels_equal_the_definition_pixel_by_pixel(mask, clearance):
    """Right, lower and lower right neighbours, none of them taken from beyond the image."""
    height, width = mask.shape
    bits, stride = packed(mask, clearance)
    image = pack(np.ones_like(mask), stride)
    found = pixels(edge_pixels(bits, image, stride), stride, mask.shape)
    for y, x in itertools.product(range(height), range(width)):
        near = [
            mask[y + dy, x + dx]
            for dy, dx in ((0, 1), (1, 0), (1, 1))
            if y + dy < height and x + dx < width
        ]
        assert found[y, x] == any(n != mask[y, x] for n in near)


def kind_of_corner(square):
    """Which piece of contour passes between 2x2 pixels: its number, or None."""
    (a, b), (c, d) = square.tolist()
    if (a + b + c + d) % 2:
        return 2
    if a == b == c == d:
        return None
    return 3 if a == d else 0 if a == c else 1


@given(MASKS, st.integers(0, 7))
def test_contour_corners_equal_the_definition_corner_by_corner(mask, clearance):
    """Vertical, horizontal, one half diagonal, two: by the four pixels around each corner."""
    bits, stride = packed(mask, clearance)
    shape = mask.shape[0] + 1, mask.shape[1] + 1
    found = [pixels(kind, stride, shape, first=0) for kind in contour_corners(bits, stride)]
    padded = np.pad(mask, 1)
    for y, x in itertools.product(*map(range, shape)):
        kind = kind_of_corner(padded[y : y + 2, x : x + 2])
        assert [own[y, x] for own in found] == [i == kind for i in range(4)]


def test_the_contour_of_a_rectangle_has_cut_corners():
    """A rectangle of 3x5: sides between corners count whole, corners as half a diagonal each."""
    mask = np.zeros((9, 9), bool)
    mask[2:5, 1:6] = True
    assert [kind.bit_count() for kind in contour_corners(*packed(mask))] == [2 * 2, 2 * 4, 4, 0]


def test_contour_pieces_do_not_depend_on_which_side_is_inside():
    """Away from the image's border, a mask and its complement have the same contour."""
    mask = np.zeros((12, 12), bool)
    mask[3:9, 3:9] = np.random.default_rng(0).random((6, 6)) < 0.5
    shape, stride = (13, 13), stride_of(12, 1)
    inside, outside = (
        [pixels(kind, stride, shape, first=0)[1:-1, 1:-1] for kind in contour_corners(bits, stride)]
        for bits in (pack(mask, stride), pack(~mask, stride))
    )
    assert np.array_equal(inside, outside)


@given(st.data(), SHAPES, st.integers(1, 3), st.integers(0, 2))
def test_the_window_is_the_box_around_all_masks(data, shape, number, margin):
    """Rows and columns from the first pixel of any mask to the last, and the margin."""
    sparse = hnp.arrays(bool, shape, elements=st.sampled_from([False] * 12 + [True]))
    masks = [data.draw(sparse) for _ in range(number)]
    window = window_around(*masks, margin=margin)
    rows, columns = np.nonzero(np.any(masks, axis=0))
    if not len(rows):
        assert window is None
        return
    box = np.zeros(np.add(shape, 2 * margin), bool)
    box[
        rows.min() : rows.max() + 1 + 2 * margin, columns.min() : columns.max() + 1 + 2 * margin
    ] = 1
    expected = box[margin : margin + shape[0], margin : margin + shape[1]]
    found = np.zeros(shape, bool)
    found[window] = True
    assert (found == expected).all()
