"""Objects that overlap against those that do not: every way of counting gives the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.masks.rle import encode, segment_from_mask
from segcli.metrics import intersections
from segcli.metrics.base import Pair
from segcli.metrics.intersections import Intersections, intersect
from segcli.records import ImageRef, LabelMap, Segmentation

SHAPE = (6, 7)
IMAGE = ImageRef("a.png", *SHAPE)
MASKS = st.lists(hnp.arrays(bool, SHAPE), max_size=5)
LABELS = hnp.arrays(np.uint16, SHAPE, elements=st.sampled_from([0, 1, 2, 9, 500]))


def plain(preds, gts, crowd, void) -> dict[str, list]:
    """The same numbers from boolean masks."""
    found = [
        (p, g, int((a & b & ~void).sum()))
        for p, a in enumerate(preds)
        for g, b in enumerate(gts)
        if (a & b & ~void).any()
    ]
    return {
        "pred_areas": [int((p & ~void).sum()) for p in preds],
        "gt_areas": [int((g & ~void).sum()) for g in gts],
        "pred_forgiven": [int((p & (crowd | void)).sum()) for p in preds],
        "pred_full_areas": [int(p.sum()) for p in preds],
        "met": found,
    }


def listed(found: Intersections) -> dict[str, list]:
    met = zip(found.pred.tolist(), found.gt.tolist(), found.pixels.tolist(), strict=True)
    names = ("pred_areas", "gt_areas", "pred_forgiven", "pred_full_areas")
    return {**{n: getattr(found, n).tolist() for n in names}, "met": sorted(met)}


@settings(deadline=None)
@given(MASKS, LABELS, hnp.arrays(bool, SHAPE), hnp.arrays(bool, SHAPE))
def test_masks_against_a_map_equal_plain_masks(preds, labels, crowd, void):
    """Masks that overlap, empty ones too, against objects that do not, with crowd and void."""
    gts = [labels == v for v in np.unique(labels) if v]
    pred = Segmentation(IMAGE, tuple(segment_from_mask(p) for p in preds))
    truths = tuple(segment_from_mask(g) for g in gts)
    truths += (segment_from_mask(crowd, iscrowd=True),)
    gt = Segmentation(IMAGE, truths, ignore=encode(void))
    found = listed(intersect(Pair("a", 0, pred, gt)))
    assert found == plain(preds, gts, crowd, void)


@settings(deadline=None)
@given(MASKS, LABELS)
def test_masks_against_a_label_map_equal_plain_masks(preds, labels):
    """The values of a label map are the objects, whatever the numbers."""
    gts = [labels == v for v in np.unique(labels) if v]
    pred = Segmentation(IMAGE, tuple(segment_from_mask(p) for p in preds))
    gt = Segmentation(IMAGE, labels=LabelMap(labels, "instance"))
    nothing = np.zeros(SHAPE, bool)
    assert listed(intersect(Pair("a", 0, pred, gt))) == plain(preds, gts, nothing, nothing)


def test_empty_predictions_are_objects():
    """An empty mask at the end of the list is a prediction like one in the middle."""
    nothing, one = np.zeros(SHAPE, bool), np.eye(*SHAPE, dtype=bool)
    pred = Segmentation(IMAGE, tuple(segment_from_mask(m) for m in (nothing, one, nothing)))
    found = intersect(Pair("a", 0, pred, pred))
    assert found.pred_areas.tolist() == found.gt_areas.tolist() == [0, 6, 0]


@given(LABELS, MASKS)
def test_a_label_map_against_masks_equals_plain_masks(labels, gts):
    """The other way round: predictions are a map, and the objects overlap."""
    preds = [labels == v for v in np.unique(labels) if v]
    pred = Segmentation(IMAGE, labels=LabelMap(labels, "instance"))
    gt = Segmentation(IMAGE, tuple(segment_from_mask(g) for g in gts))
    nothing = np.zeros(SHAPE, bool)
    assert listed(intersect(Pair("a", 0, pred, gt))) == plain(preds, gts, nothing, nothing)


def test_ids_of_24_bits_are_objects_like_others():
    """Ids beyond 16 bits, as in RGB-coded maps, with the background and without."""
    for background in (0, 70_000):
        labels = np.full(SHAPE, background, np.int64)
        labels[2:, 3:] = 16_000_000
        side = Segmentation(IMAGE, labels=LabelMap(labels, "instance"))
        found = intersect(Pair("a", 0, side, side))
        assert found.gt_areas.tolist() == ([26, 16] if background else [16])


def test_several_metrics_share_one_comparison():
    """Asked twice about one pair, the comparison is made once, and goes with the pair."""
    side = Segmentation(IMAGE, (segment_from_mask(np.eye(*SHAPE)),))
    pair = Pair("a", 0, side, side)
    assert intersect(pair) is intersect(pair)
    assert intersect(Pair("a", 0, side, side)) is not intersect(pair)


@settings(deadline=None)
@given(MASKS, MASKS, hnp.arrays(bool, SHAPE), st.integers(1, 9), st.integers(1, 9))
def test_masks_that_overlap_on_both_sides_in_parts_of_any_size(preds, gts, void, pieces, codes):
    """Large images are worked off in parts; where these end does not matter."""
    pred, gt = (Segmentation(IMAGE, tuple(map(segment_from_mask, m))) for m in (preds, gts))
    gt = replace(gt, ignore=encode(void))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intersections, "_PIECES_AT_ONCE", pieces)
        patch.setattr(intersections, "_CODES_AT_ONCE", codes)
        found = listed(intersect(Pair("a", 0, pred, gt)))
    assert found == plain(preds, gts, np.zeros(SHAPE, bool), void)
