"""Outlines: filling one gives back the part it surrounds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import measure

from segcli.masks.polygons import outer_contours, polygon_area
from segcli.masks.rle import decode, from_polygons


def filled_parts(mask: np.ndarray) -> list[np.ndarray]:
    """The 8-connected parts of a mask with their holes filled, found by others."""
    labels = measure.label(mask, connectivity=2)
    return [ndimage.binary_fill_holes(labels == i) for i in range(1, labels.max() + 1)]


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_rasterising_an_outline_gives_the_filled_part_back(mask):
    """COCO's rasteriser turns each outline into exactly one 8-connected part, holes filled."""
    parts = filled_parts(mask)
    drawn = [decode(from_polygons([c.ravel().tolist()], *mask.shape)) for c in outer_contours(mask)]
    assert len(drawn) == len(parts)
    assert {d.tobytes() for d in drawn} == {p.tobytes() for p in parts}


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_the_enclosed_area_is_the_filled_area(mask):
    """Outlines run along pixel edges, so their areas add up to the pixels enclosed."""
    areas = sorted(polygon_area(c) for c in outer_contours(mask))
    assert areas == sorted(float(p.sum()) for p in filled_parts(mask))


def test_a_ring_by_hand():
    """Only the outer edge of a ring is traced, clockwise from the first pixel, corners only."""
    ring = np.ones((3, 4), dtype=bool)
    ring[1, 1:3] = False
    (contour,) = outer_contours(np.pad(ring, ((1, 0), (2, 0))))
    assert sorted(map(tuple, contour.tolist())) == [(2, 1), (2, 4), (6, 1), (6, 4)]
    assert polygon_area(contour) == 12


def test_the_largest_part_comes_first():
    """Formats that keep one polygon keep the one with the most pixels."""
    mask = np.array([[1, 0, 1, 1], [0, 0, 1, 1]], dtype=bool)
    assert [polygon_area(c) for c in outer_contours(mask)] == [4, 1]
    assert outer_contours(np.zeros((2, 2), dtype=bool)) == []
