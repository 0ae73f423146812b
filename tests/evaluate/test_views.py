"""One side of a pair as the protocol looks at it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segcli.errors import PairError
from segcli.evaluate import EvalSettings
from segcli.evaluate.views import view
from segcli.masks.labels import segments_from_label_map
from segcli.masks.rle import decode, encode
from segcli.metrics import MetricOptions, Pair
from segcli.metrics.semantic import NO_CLASS, Semantic
from segcli.records import ImageRef, LabelMap, Segmentation

VALUES = np.array([[0, 1, 2], [3, 1, 0]], np.uint8)
IMAGE = ImageRef("a.png", 2, 3)


def test_the_zero_label_becomes_void():
    """0 no longer counts, every other class moves down by one, and void from before stays void."""
    settings = EvalSettings(protocol="semantic", reduce_zero_label=True)
    truth = Segmentation(IMAGE, labels=LabelMap(VALUES, "semantic"), ignore=encode(VALUES == 3))
    reduced = view(truth, settings)
    assert reduced.labels is not None
    assert reduced.labels.values.tolist() == [[0, 0, 1], [2, 0, 0]]
    assert reduced.ignore is not None
    assert decode(reduced.ignore).tolist() == ((VALUES == 0) | (VALUES == 3)).tolist()
    assert view(truth, settings, truth=False) is truth


def test_only_class_maps_have_a_zero_label():
    """Objects cannot be renumbered."""
    settings = EvalSettings(protocol="semantic", reduce_zero_label=True)
    with pytest.raises(PairError, match=r"a\.png: has no zero label"):
        view(Segmentation(IMAGE, labels=LabelMap(VALUES, "instance")), settings)


def test_objects_of_a_panoptic_map_are_its_things():
    """Scored as objects, stuff is left out; without a list of things all segments are objects."""
    found = segments_from_label_map(VALUES)
    segments = tuple(replace(s, category=s.id) for s in found)
    whole = Segmentation(
        IMAGE,
        segments,
        labels=LabelMap(VALUES, "panoptic"),
        categories={1: "cat", 2: "dog", 3: "sky"},
        things=frozenset({1, 2}),
    )
    objects = view(whole, EvalSettings(protocol="instance"))
    assert [s.id for s in objects.segments] == [1, 2]
    assert objects.categories == {1: "cat", 2: "dog"}
    assert objects.labels is None
    every = view(replace(whole, things=None), EvalSettings(protocol="instance"))
    assert [s.id for s in every.segments] == [1, 2, 3]
    assert view(whole, EvalSettings(protocol="panoptic")) is whole


def test_classes_of_a_panoptic_map_are_its_categories():
    """Scored as classes, void does not count in ground truth and is wrong in predictions."""
    segments = tuple(
        replace(s, category=7 if s.id == 1 else 8) for s in segments_from_label_map(VALUES)
    )
    whole = Segmentation(IMAGE, segments, labels=LabelMap(VALUES, "panoptic"))
    settings = EvalSettings(protocol="semantic")
    truth, guess = view(whole, settings), view(whole, settings, truth=False)
    assert truth.labels is not None
    assert truth.ignore is not None
    assert guess.labels is not None
    assert truth.labels.values.tolist() == [[0, 7, 8], [8, 7, 0]]
    assert decode(truth.ignore).tolist() == (VALUES == 0).tolist()
    assert guess.labels.values.tolist() == [[NO_CLASS, 7, 8], [8, 7, NO_CLASS]]
    full = replace(truth, ignore=None)
    scores = Semantic(MetricOptions()).measure(Pair("a", 0, guess, full)).compute()
    assert scores["miou"] == (0 + 1 + 1) / 3


def test_void_of_a_panoptic_map_does_not_count_for_its_objects():
    """Scored as objects, pixels without a segment count no more than for the maps themselves."""
    segments = tuple(replace(s, category=s.id) for s in segments_from_label_map(VALUES))
    whole = Segmentation(IMAGE, segments, labels=LabelMap(VALUES, "panoptic"))
    settings = EvalSettings(protocol="instance")
    ignore = view(whole, settings).ignore
    assert ignore is not None
    assert decode(ignore).tolist() == (VALUES == 0).tolist()
    assert view(whole, settings, truth=False).ignore is None
