"""Coded segments are the tuple of segments that they stand for, made when it is needed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from segcli.masks import coded as module
from segcli.masks.coded import CodedSegments, masks_of
from segcli.masks.rle import encode
from segcli.records import ImageRef, Segment, Segmentation


def three() -> tuple[CodedSegments, tuple[Segment, ...]]:
    masks = [np.zeros((4, 5), bool) for _ in range(3)]
    masks[0][1:3, 2:5] = masks[1][0, 0] = True
    rles = [encode(mask) for mask in masks]
    coded = CodedSegments(
        4,
        5,
        counts=[rle.counts for rle in rles],
        categories=[7, None, 8],
        scores=[0.5, None, 0.25],
        areas=[5.5, None, None],
        crowds=[False, True, False],
        ids=[1, 0, None],
        names={7: "seven"},
    )
    segments = (
        Segment(rles[0], 5.5, (2.0, 1.0, 3.0, 2.0), 0.5, 7, "seven", id=1),
        Segment(rles[1], 1, (0.0, 0.0, 1.0, 1.0), id=0, iscrowd=True),
        Segment(rles[2], 0, (0.0, 0.0, 0.0, 0.0), 0.25, 8),
    )
    return coded, segments


def test_they_are_a_sequence_of_records():
    """Length, items, slices, order, equality on either side, hash and text are a tuple's."""
    coded, segments = three()
    assert len(coded) == 3
    assert tuple(coded) == segments
    assert coded[0] == segments[0]
    assert coded[-1] is coded[2]
    assert coded[1:] == segments[1:]
    assert list(reversed(coded)) == list(reversed(segments))
    assert coded == segments
    assert segments == coded
    assert coded == three()[0]
    assert coded != segments[:2]
    assert coded != list(segments)
    assert hash(coded) == hash(segments)
    assert repr(coded) == repr(segments)
    image = ImageRef("a.png", 4, 5)
    assert Segmentation(image, coded) == Segmentation(image, segments)
    assert Segmentation(image, segments) == Segmentation(image, coded)


def test_without_what_only_ground_truth_states():
    """Areas, crowds and ids may be left out, and none is no object."""
    coded, _ = three()
    plain = CodedSegments(4, 5, coded.counts[:1], [7], [0.5])
    assert plain == (Segment(coded[0].mask, 6, (2.0, 1.0, 3.0, 2.0), 0.5, 7),)
    assert plain.known_areas == [6.0]
    empty = CodedSegments(4, 5, [], [], [])
    assert not empty
    assert empty == ()
    assert empty.known_areas == []


def test_areas_are_those_stated_or_counted():
    """One that is missing is counted, and the others stay as stated."""
    assert three()[0].known_areas == [5.5, 1.0, 0.0]


def test_pickled_they_are_records():
    """Whoever unpickles them needs no more than the records."""
    coded, segments = three()
    found = pickle.loads(pickle.dumps(coded))
    assert type(found) is tuple
    assert found == segments


def test_masks_and_columns_make_no_records(monkeypatch):
    """That is what they are for."""

    def refuse(_):
        pytest.fail("records were made")

    monkeypatch.setattr(module, "measure", refuse)
    coded, segments = three()
    assert masks_of(coded) == [segment.mask for segment in segments]
    assert coded.categories == [7, None, 8]
    assert len(coded) == 3


def test_masks_of_records():
    """Other sequences give their masks as well."""
    _, segments = three()
    assert masks_of(segments) == [segment.mask for segment in segments]
