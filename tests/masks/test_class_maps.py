"""Class maps and one segment for each class, there and back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segcli.formats.ndjson import from_record, to_record
from segcli.masks.classes import class_map, no_class, segments_of_classes
from segcli.records import ImageRef, LabelMap, Segmentation


def result(values, categories) -> Segmentation:
    height, width = values.shape
    return Segmentation(
        ImageRef("a.png", height, width), segments_of_classes(values), categories=categories
    )


@given(arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)),
              elements=st.integers(0, 5)))  # fmt: skip
def test_there_and_back(values):
    """Every class comes back where it was, 0 like any other."""
    again = class_map(result(values, {i: f"c{i}" for i in range(6)}))
    assert again.dtype == np.uint8
    assert (again == values).all()


def test_void_is_no_class():
    """Pixels that no segment covers are 0, or what no class is where 0 is one."""
    image = ImageRef("a.png", 2, 2)
    for categories, void in (
        ({1: "a"}, 0), ({0: "background", 1: "a"}, 0), ({0: "sky"}, 255),
        ({0: "sky", 255: "sea"}, 65535), ({}, 0),
    ):  # fmt: skip
        nothing = Segmentation(image, (), categories=categories)
        assert no_class(nothing) == void
        assert (class_map(nothing) == void).all()


def test_records_keep_kind_categories_and_things():
    """A record brings back the class map, its list of classes and which are things."""
    values = np.array([[0, 0, 1], [2, 2, 1]])
    made = result(values, {0: "sky", 1: "road", 2: "car"})
    made = Segmentation(
        made.image, made.segments, LabelMap(values, "semantic"), "m",
        categories=made.categories, things=frozenset({2}),
    )  # fmt: skip
    again = from_record(to_record(made))
    assert again.labels is not None
    assert again.labels.kind == "semantic"
    assert (again.labels.values == values).all()
    assert again.categories == made.categories
    assert again.things == {2}
    plain = to_record(Segmentation(made.image, made.segments))
    assert not {"kind", "categories", "things"} & plain.keys()
