"""Boundaries in each benchmark's definition, and distances to them, against scipy and loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_erosion

from segcli.masks import boundaries
from segcli.masks.boundaries import (
    CONTOUR_PIECES,
    border_pixels,
    boundary_pixels,
    boundary_width,
    contour_codes,
    contour_points,
    distances_to,
    edge_pixels,
)

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)
MASKS = hnp.arrays(bool, SHAPES)
LABELS = hnp.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 0, 0, 0, 0, 1, 255]))
SPACINGS = st.sampled_from([(1.0, 1.0), (0.5, 2.0), (0.3, 0.7), (2.5, 0.4)])
SQUARE = np.ones((3, 3), bool)


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


@given(MASKS)
def test_border_pixels_equal_erosion_by_a_cross(mask):
    """Pixels that scipy's erosion by a cross takes away, the image's border included."""
    assert (border_pixels(mask) == mask & ~binary_erosion(mask)).all()


@given(MASKS)
def test_edge_pixels_equal_the_definition_pixel_by_pixel(mask):
    """Right, lower and lower right neighbours, none of them taken from beyond the image."""
    height, width = mask.shape
    for y, x in itertools.product(range(height), range(width)):
        near = [
            mask[y + dy, x + dx]
            for dy, dx in ((0, 1), (1, 0), (1, 1))
            if y + dy < height and x + dx < width
        ]
        assert edge_pixels(mask)[y, x] == any(n != mask[y, x] for n in near)


@given(MASKS)
def test_contour_codes_name_the_four_pixels_around_a_corner(mask):
    """Bits are above left, above right, below left, below right; beyond the image is outside."""
    padded = np.pad(mask, 1)
    codes = contour_codes(mask)
    assert codes.shape == (mask.shape[0] + 1, mask.shape[1] + 1)
    for y, x in itertools.product(range(codes.shape[0]), range(codes.shape[1])):
        bits = [padded[y, x], padded[y, x + 1], padded[y + 1, x], padded[y + 1, x + 1]]
        assert codes[y, x] == sum(8 >> i for i, bit in enumerate(bits) if bit)
        assert contour_points(codes)[y, x] == (0 < sum(bits) < 4)


def test_the_contour_of_a_rectangle_has_cut_corners():
    """A rectangle of 3x5: sides between corners count whole, corners as half a diagonal each."""
    mask = np.zeros((9, 9), bool)
    mask[2:5, 1:6] = True
    vertical, horizontal, diagonal = CONTOUR_PIECES[contour_codes(mask)].sum(axis=(0, 1)).tolist()
    assert (vertical, horizontal, diagonal) == (2 * 2, 2 * 4, 4)


def test_contour_pieces_do_not_depend_on_which_side_is_inside():
    """A code and its opposite have the same piece of contour, and no contour has none."""
    assert (CONTOUR_PIECES[::-1] == CONTOUR_PIECES).all()
    assert (CONTOUR_PIECES.sum(axis=1) > 0).tolist() == [False, *[True] * 14, False]


def every_pair(targets, sources, spacing):
    """The definition: the least distance over all pairs."""
    return [
        min(math.hypot((y - v) * spacing[0], (x - u) * spacing[1]) for v, u in np.argwhere(targets))
        for y, x in np.argwhere(sources)
    ]


@pytest.mark.parametrize("way", ["rings and tree", "transform", "as it comes"])
@given(data=st.data())
def test_distances_equal_those_over_all_pairs(way, data):
    """Search near by, search in a tree and distance transform all give the least distance."""
    shape = data.draw(SHAPES)
    sparse = hnp.arrays(bool, shape, elements=st.sampled_from([False] * 12 + [True]))
    targets, sources = data.draw(sparse.filter(np.any)), data.draw(hnp.arrays(bool, shape))
    spacing = data.draw(SPACINGS)
    limits = {"rings and tree": (1.0, 1), "transform": (0.0, 1)}
    with pytest.MonkeyPatch.context() as patch:
        if way in limits:
            patch.setattr(boundaries, "_MOST_SEARCHED", limits[way][0])
            patch.setattr(boundaries, "_LOOKS", limits[way][1])
        found = distances_to(targets, sources, spacing)
    assert found.tolist() == pytest.approx(every_pair(targets, sources, spacing), rel=1e-12)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.1, 0.3), (5.0, 0.2)])
def test_distances_far_and_near(spacing):
    """Every offset up to 12 rows and columns, so that each way of searching is the first to hit."""
    middle = np.zeros((25, 25), bool)
    middle[12, 12] = True
    found = distances_to(middle, np.ones_like(middle), spacing).reshape(25, 25)
    y, x = np.mgrid[-12:13, -12:13]
    assert found == pytest.approx(np.hypot(y * spacing[0], x * spacing[1]), rel=1e-12)


def test_a_distance_to_nothing_is_an_error():
    """No target means no distance: the caller has to say what that is."""
    with pytest.raises(ValueError, match="no target"):
        distances_to(np.zeros((3, 3), bool), np.ones((3, 3), bool))
