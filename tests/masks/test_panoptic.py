"""Panoptic maps from coded values, and from every other kind of result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.errors import MaskError
from segcli.masks.panoptic import CLASS_AGNOSTIC, PanopticCode, panoptic_of
from segcli.masks.rle import decode, encode, segment_from_mask
from segcli.records import ImageRef, LabelMap, Segmentation

CODE = PanopticCode(divisor=1000, things=frozenset({26}))
VALUES = np.array([[0, 7, 7, 26], [26_000, 26_000, 26_001, 23_000]])


def result(values: np.ndarray, kind: str, **fields) -> Segmentation:
    return Segmentation(ImageRef("x.png", *values.shape), labels=LabelMap(values, kind), **fields)


def test_values_are_classes_and_objects():
    """7 is stuff, 26 a crowd of a thing, 26000 and 26001 its objects, 23000 stuff as DeepLab's."""
    ids, segments = CODE.read(VALUES)
    assert np.array_equal(ids, VALUES)
    assert [(s.id, s.category, s.iscrowd) for s in segments] == [
        (7, 7, False),
        (26, 26, True),
        (23_000, 23, False),
        (26_000, 26, False),
        (26_001, 26, False),
    ]


def test_void_is_the_class_0_and_the_classes_named():
    """Where 0 is a class, its pixels are a segment; ignored classes are void with their objects."""
    ids, segments = replace(CODE, void={7, 26}).read(VALUES)
    assert [s.category for s in segments] == [23]
    assert np.array_equal(ids != 0, VALUES == 23_000)
    ids, segments = replace(CODE, zero_is_class=True, void={255}).read(VALUES)
    assert sorted({s.category for s in segments}) == [0, 7, 23, 26]
    assert (ids != 0).all()
    assert all(np.array_equal(decode(s.mask), ids == s.id) for s in segments)


def test_numbered_stuff_and_negative_values_are_refused():
    """Two objects of a class that is no thing cannot be told from a thing that was not listed."""
    with pytest.raises(MaskError, match="the class 26 has several objects") as error:
        replace(CODE, things=frozenset()).read(VALUES)
    assert "thing = true" in error.value.fix
    with pytest.raises(MaskError, match="-3 is negative"):
        CODE.read(np.array([[-3]]))


@given(
    hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
               elements=st.sampled_from([0, 7, 26, 26_000, 26_007, 8000])),
    st.booleans(),
)  # fmt: skip
def test_segments_cover_all_but_void_and_nothing_twice(values, zero):
    """Every pixel is in exactly the segment its id names; void is 0."""
    ids, segments = replace(CODE, zero_is_class=zero).read(values)
    drawn = np.zeros(values.shape, int)
    for segment in segments:
        drawn[decode(segment.mask)] += segment.id
    assert np.array_equal(drawn, ids)
    assert np.array_equal(ids == 0, (values == 0) & (not zero))


def test_class_maps_become_stuff_and_objects_things():
    """Each class is one segment of stuff; each object a thing of the class that stands for none."""
    classes = panoptic_of(result(np.array([[0, 3, 5]]), "semantic", categories={3: "road"}))
    assert classes.names == {3: "road", 5: "5"}
    assert (classes.things, [s.category for s in classes.segments]) == (frozenset(), [3, 5])
    objects = panoptic_of(result(np.array([[0, 3, 5]]), "instance"))
    assert objects.names == {CLASS_AGNOSTIC: "object"}
    assert objects.things == frozenset({CLASS_AGNOSTIC})
    stated = result(np.array([[3, 5]]), "semantic", things=frozenset({5, 9}))
    assert panoptic_of(stated).things == frozenset({5})


def test_what_must_not_count_is_void():
    """Ignored pixels of a class map belong to no segment."""
    ignore = encode(np.array([[False, True, False]]))
    drawn = panoptic_of(result(np.array([[3, 3, 5]]), "semantic", ignore=ignore))
    assert [(s.category, s.area) for s in drawn.segments] == [(3, 1.0), (5, 1.0)]
    assert drawn.values.tolist() == [[1, 0, 2]]


def test_overlapping_segments_are_flattened():
    """Who is on top keeps the pixel; a covered segment is no segment of the map."""
    masks = (np.array([[1, 1, 0]]), np.array([[1, 1, 1]]))
    segments = tuple(
        segment_from_mask(m, score=s, category=c, category_name=n, iscrowd=s < 0.5)
        for m, s, c, n in zip(masks, (0.9, 0.3), (2, 4), ("cat", None), strict=True)
    )
    drawn = panoptic_of(Segmentation(ImageRef("x.png", 1, 3), segments=segments))
    assert [(s.category, s.area, s.iscrowd) for s in drawn.segments] == [
        (2, 2.0, False),
        (4, 1.0, True),
    ]
    assert drawn.names == {2: "cat", 4: "4"}
    covered = Segmentation(ImageRef("x.png", 1, 3), segments=segments[::-1])
    assert len(panoptic_of(covered, "large-on-top").segments) == 1


def test_ids_that_colours_cannot_hold_are_made_anew():
    """Ids beyond 24 bits become small ones; regions and classes stay."""
    values = np.array([[0, 1 << 24, 5]])
    ids, segments = PanopticCode(1 << 23, frozenset()).read(values)
    drawn = panoptic_of(replace(result(ids, "panoptic"), segments=segments))
    assert drawn.values.max() == 2
    assert [(s.category, s.area) for s in drawn.segments] == [(5, 1.0), (2, 1.0)]
    kept = panoptic_of(replace(result(ids[:, :1], "panoptic"), segments=()))
    assert (kept.segments, kept.names) == ((), {})


def test_a_class_0_that_is_no_background_is_a_segment():
    """Road is 0 in Cityscapes' train ids; a background 0 is void."""
    values, names = np.array([[0, 1, 255]], np.uint8), {0: "road", 1: "car"}
    ignore = encode(values == 255)
    drawn = panoptic_of(result(values, "semantic", categories=names, ignore=ignore))
    assert [(s.category, s.area) for s in drawn.segments] == [(0, 1.0), (1, 1.0)]
    assert (drawn.names, drawn.values.tolist()) == (names, [[1, 2, 0]])
    plain = panoptic_of(result(values, "semantic", categories={0: "background"}, ignore=ignore))
    assert [s.category for s in plain.segments] == [1]
