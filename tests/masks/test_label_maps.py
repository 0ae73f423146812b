"""Label maps to segments and back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.masks import labels
from segcli.masks.labels import (
    foreground,
    label_map_from_segments,
    label_map_of,
    segments_from_label_map,
    segments_of,
)
from segcli.masks.rle import decode, encode, runs, segment_from_mask
from segcli.records import ImageRef, LabelMap, Segmentation

label_maps = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16, np.int32, np.int64]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.integers(0, 5),
)


def result_of(height: int, width: int, **fields) -> Segmentation:
    """A result for an image of that size."""
    return Segmentation(image=ImageRef("x.png", height, width), **fields)


@given(label_maps)
def test_segments_are_those_of_one_mask_per_value(values):
    """The single walk over the map gives what encoding `values == v` for each v gives."""
    found = segments_from_label_map(values)
    expected = [segment_from_mask(values == v, id=int(v)) for v in np.unique(values) if v]
    assert list(found) == expected


@given(label_maps)
def test_a_label_map_survives_the_round_trip(values):
    """Segments of a map, flattened, are the map with its values counted from 1."""
    segments = segments_from_label_map(values)
    again = label_map_from_segments(segments, *values.shape)
    ids = np.array([0, *(s.id for s in segments)])
    assert np.array_equal(ids[again], values)
    assert again.dtype == np.uint16
    assert again.flags.c_contiguous


@pytest.mark.parametrize("value", [-1, 65536, 2**40])
def test_any_integer_can_be_an_id(value):
    """Huge and negative ids cost nothing and are kept."""
    (segment,) = segments_from_label_map(np.array([[0, value]]))
    assert (segment.id, segment.area, segment.box_xywh) == (value, 1, (1, 0, 1, 1))


def test_empty_maps_and_single_pixels():
    """No object gives no segment; a 1x1 map works."""
    assert segments_from_label_map(np.zeros((3, 4), np.uint8)) == ()
    assert segments_from_label_map(np.zeros((0, 4), np.uint8)) == ()
    assert segments_from_label_map(np.ones((1, 1), bool))[0].area == 1
    assert label_map_from_segments((), 2, 3).tolist() == [[0, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="two axes"):
        segments_from_label_map(np.zeros((1, 2, 3), np.uint8))


@pytest.mark.parametrize(
    ("overlap", "scores", "expected"),
    [
        ("score", (0.9, 0.5), [1, 1, 1, 0]),
        ("score", (0.5, 0.9), [1, 2, 1, 0]),
        ("score", (None, None), [1, 1, 1, 0]),
        ("score", (None, 0.1), [1, 2, 1, 0]),
        ("small-on-top", (0.9, 0.5), [1, 2, 1, 0]),
        ("large-on-top", (0.5, 0.9), [1, 1, 1, 0]),
    ],
)
def test_the_overlap_policy_decides_who_is_on_top(overlap, scores, expected):
    """A large segment 1 and a small segment 2 inside it: each policy by hand; ties to the first."""
    large = segment_from_mask(np.array([[1, 1, 1, 0]]), score=scores[0])
    small = segment_from_mask(np.array([[0, 1, 0, 0]]), score=scores[1])
    assert label_map_from_segments([large, small], 1, 4, overlap).tolist() == [expected]


def test_equal_areas_leave_the_pixel_to_the_earlier_segment():
    """Ties are decided by order, whichever policy."""
    twins = [segment_from_mask(np.array([[1, 1, 0]])), segment_from_mask(np.array([[0, 1, 1]]))]
    for overlap in ("score", "small-on-top", "large-on-top"):
        assert label_map_from_segments(twins, 1, 3, overlap).tolist() == [[1, 1, 2]]


def test_beyond_65535_segments_the_map_widens(monkeypatch):
    """The 65536th segment keeps its own id instead of wrapping around to 0."""
    monkeypatch.setattr(labels, "runs", lru_cache(runs))
    pixel = segment_from_mask(np.array([[1, 0]]))
    last = segment_from_mask(np.array([[0, 1]]))
    values = label_map_from_segments([pixel] * 65535 + [last], 1, 2)
    assert values.dtype == np.uint32
    assert values.tolist() == [[1, 65536]]


def test_unfit_arguments_are_refused():
    """A mask of another size and an unknown policy are errors."""
    segment = segment_from_mask(np.ones((2, 2)))
    with pytest.raises(ValueError, match="segment 0 is 2x2, the map is 3x2"):
        label_map_from_segments([segment], 2, 3)
    with pytest.raises(ValueError, match="unknown overlap"):
        label_map_from_segments([segment], 2, 2, "middle")


@given(label_maps)
def test_foreground_is_the_same_from_either_view(values):
    """The union of the segments and the non-zero part of the map agree."""
    as_labels = result_of(*values.shape, labels=LabelMap(values, "instance"))
    as_segments = result_of(*values.shape, segments=segments_from_label_map(values))
    assert np.array_equal(foreground(as_labels), values != 0)
    assert np.array_equal(foreground(as_segments), values != 0)


def test_foreground_leaves_ignored_pixels_out():
    """Void is not foreground, though its value in the map is not 0."""
    values = np.array([[0, 1, 255]], np.uint8)
    result = result_of(1, 3, labels=LabelMap(values, "semantic"), ignore=encode(values == 255))
    assert foreground(result).tolist() == [[False, True, False]]


def test_semantic_values_become_categories():
    """A class map turned into segments keeps class ids and names; 0 is background."""
    classes = LabelMap(np.array([[0, 2, 2, 7]]), "semantic")
    found = segments_of(result_of(1, 4, labels=classes, categories={2: "cell"}))
    assert [(s.category, s.category_name, s.area) for s in found] == [(2, "cell", 2), (7, None, 1)]
    assert decode(found[0].mask).tolist() == [[False, True, True, False]]


def test_label_map_of_prefers_what_is_there():
    """A result that has a map gives it as it is; one that has segments gives them flattened."""
    instances = LabelMap(np.array([[0, 9]]), "instance")
    assert label_map_of(result_of(1, 2, labels=instances)) is instances.values
    segments = (segment_from_mask(np.array([[0, 1]])),)
    assert label_map_of(result_of(1, 2, segments=segments)).tolist() == [[0, 1]]
    assert segments_of(result_of(1, 2, segments=segments)) is segments
