"""Distances to the nearest target, counted, against all pairs of points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.masks import nearest
from segcli.masks.bitmaps import pack, stride_of
from segcli.masks.nearest import CLEARANCE, count_distances

SHAPES = st.one_of(
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=19),
    st.sampled_from([(1, 40), (40, 1), (1, 1), (16, 8)]),
)
SPACINGS = st.sampled_from([(1.0, 1.0), (0.5, 2.0), (0.3, 0.7), (2.5, 0.4)])


def every_pair(targets, sources, spacing):
    """The definition: the least distance over all pairs, ascending."""
    steps = (np.argwhere(sources)[:, None] - np.argwhere(targets)[None]) * spacing
    return np.sort(np.sqrt((steps**2).sum(axis=2)).min(axis=1))


def check(targets, kinds, spacing):
    """Every kind has the points of the definition at its distances."""
    stride = stride_of(targets.shape[1], CLEARANCE)
    counts = {}
    packed = [pack(kind, stride) for kind in kinds]
    count_distances(counts, pack(targets, stride), packed, stride, spacing)
    distances = sorted(counts)
    for i, kind in enumerate(kinds):
        found = np.repeat(distances, [counts[distance][i] for distance in distances])
        assert found == pytest.approx(every_pair(targets, kind, spacing), rel=1e-12)


def only_rows(targets, sources, stride, spacing):
    """Look through all rows around each source."""
    return nearest._search_rows(targets, sources, 50, stride, spacing)


def only(patch, way):
    """Leave all that is not on a target to one way of searching."""
    if way != "steps first":
        patch.setattr(nearest, "_SMALL", -1)
        patch.setattr(nearest, "_WORTH", 0)
    if way == "rows":
        patch.setattr(nearest, "_search", only_rows)
    elif way == "tree":
        patch.setattr(nearest, "_search", nearest._search_tree)
    elif way == "rows, then tree":
        patch.setattr(nearest, "_FEW_ROWS", 1)


@pytest.mark.parametrize("way", ["steps first", "rows", "tree", "rows, then tree"])
@given(data=st.data())
def test_distances_equal_those_over_all_pairs(way, data):
    """Each way of searching finds the nearest target of every point, of every kind."""
    shape = data.draw(SHAPES)
    sparse = hnp.arrays(bool, shape, elements=st.sampled_from([False] * 12 + [True]))
    targets = data.draw(st.one_of(sparse, hnp.arrays(bool, shape)).filter(np.any))
    # Two kinds and what is of neither.
    drawn = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, 1, 2])))
    with pytest.MonkeyPatch.context() as patch:
        only(patch, way)
        check(targets, (drawn == 1, drawn == 2), data.draw(SPACINGS))


@pytest.mark.parametrize("way", ["steps first", "rows", "tree", "rows, then tree"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.1, 0.3), (5.0, 0.2)])
def test_distances_far_and_near(way, spacing, monkeypatch):
    """Every offset up to 12 rows and columns, so that each step is the first to hit once."""
    middle = np.zeros((25, 25), bool)
    middle[12, 12] = True
    only(monkeypatch, way)
    check(middle, [np.ones_like(middle)], spacing)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.3, 0.7), (2.0, 0.5)])
def test_few_points_far_from_many_targets(spacing):
    """So few that ever more rows are looked through, and the tree for what is beyond them."""
    targets, sources = np.zeros((300, 200), bool), np.zeros((300, 200), bool)
    targets[200:, ::2] = True
    sources[[0, 120, 150, 180, 195, 250], [7, 0, 199, 33, 80, 1]] = True
    check(targets, [sources], spacing)


def test_a_target_just_beyond_the_rows_looked_through_is_found():
    """One is 11.5 away in the point's own row, one 11 away in the first row not looked at."""
    targets, sources = np.zeros((90, 60), bool), np.zeros((90, 60), bool)
    sources[30, 30] = True
    # As many targets as rows are looked through to each side.
    targets[30, 53] = targets[41, 30] = targets[80, :8] = True
    check(targets, [sources], (1.0, 0.5))


def test_counts_are_added_to_those_before():
    """What was counted stays."""
    mask = pack(np.ones((2, 3), bool), stride_of(3, CLEARANCE))
    counts = {0.0: [1], 2.0: [5]}
    count_distances(counts, mask, [mask], stride_of(3, CLEARANCE), (1.0, 1.0))
    assert counts == {0.0: [7], 2.0: [5]}


def test_no_points_have_no_distances():
    """Nothing to measure adds nothing."""
    counts = {}
    count_distances(counts, 1 << 20, [0, 0], 12, (1.0, 1.0))
    assert counts == {}


def test_a_distance_to_nothing_is_an_error():
    """No target means no distance: the caller has to say what that is."""
    with pytest.raises(ValueError, match="no target"):
        count_distances({}, 0, [1 << 20], 12, (1.0, 1.0))
