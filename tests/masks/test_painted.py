"""Segments of a map of ids that become records only when asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segcli.masks.labels import segments_from_label_map
from segcli.masks.painted import Columns, PaintedSegments, columns_of

MAP = np.array([[7, 7, 0], [7, 3, 3]])
COLUMNS = Columns([7, 3], [2, 5], [False, True])


def test_they_are_the_segments_of_the_map_in_their_own_order():
    """Masks and boxes are the map's; an area is the one stated, else counted; names by category."""
    painted = PaintedSegments(MAP, COLUMNS, [None, 9.5], {2: "cat"})
    three, seven = segments_from_label_map(MAP)
    expected = (
        replace(seven, category=2, category_name="cat"),
        replace(three, category=5, iscrowd=True, area=9.5),
    )
    assert painted == expected
    assert (len(painted), painted[1], list(painted)) == (2, expected[1], [*expected])


def test_what_they_are_is_known_without_their_masks(monkeypatch):
    """The columns of segments that are no records yet need none, and equal those of records."""
    painted = PaintedSegments(MAP, COLUMNS, [None, None])
    expected = columns_of(tuple(painted))
    fresh = PaintedSegments(MAP, COLUMNS, [None, None])
    monkeypatch.setattr("segcli.masks.painted.segments_from_label_map", None)
    assert columns_of(fresh) == expected == COLUMNS
