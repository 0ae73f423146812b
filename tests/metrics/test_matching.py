"""Optimal matching of objects, and the intersections it rests on."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.errors import PairError
from segcli.masks.rle import encode, segment_from_mask
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.intersections import intersect
from segcli.metrics.matching import THRESHOLDS, Matching, match
from segcli.records import ImageRef, LabelMap, Segmentation

HEIGHT, WIDTH = 6, 7
IMAGE = ImageRef("a.png", HEIGHT, WIDTH)
MASKS = st.lists(hnp.arrays(bool, (HEIGHT, WIDTH)).filter(np.any), min_size=0, max_size=4)
LABELS = hnp.arrays(np.uint16, (HEIGHT, WIDTH), elements=st.sampled_from([0, 1, 2, 9, 500]))


def of_masks(masks, **fields) -> Segmentation:
    return Segmentation(IMAGE, tuple(segment_from_mask(m) for m in masks), **fields)


def of_labels(values, **fields) -> Segmentation:
    image = ImageRef("a.png", *values.shape)
    return Segmentation(image, labels=LabelMap(values, "instance"), **fields)


def brute_force(preds, gts, threshold: Fraction):
    """The best matching by trying every injection: most pairs, then the largest sum of IoU."""

    def iou(p, g):
        return Fraction(int((p & g).sum()), int((p | g).sum()))

    few, many = (preds, gts) if len(preds) <= len(gts) else (gts, preds)
    best = (0, Fraction())
    for chosen in itertools.permutations(range(len(many)), len(few)):
        values = [iou(few[i], many[j]) for i, j in enumerate(chosen)]
        kept = [v for v in values if v >= threshold]
        best = max(best, (len(kept), sum(kept, Fraction())))
    return best


@settings(max_examples=30, deadline=None)
@given(MASKS, MASKS)
def test_matching_equals_brute_force(preds, gts):
    """Overlapping objects: counts and matched IoU equal those of the best of all assignments."""
    sums = match(intersect(Pair("a", 0, of_masks(preds), of_masks(gts))))
    for i, threshold in enumerate(THRESHOLDS):
        tp, iou = brute_force(preds, gts, Fraction(str(round(threshold, 2))))
        assert (sums.tp[i], sums.fp[i], sums.fn[i]) == (tp, len(preds) - tp, len(gts) - tp)
        assert float(sums.iou[i]) == pytest.approx(float(iou), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(LABELS, LABELS, hnp.arrays(bool, (HEIGHT, WIDTH)))
def test_label_maps_and_masks_give_the_same(pred, gt, void):
    """The joint bincount over label maps equals mask-by-mask comparison, with void and without."""
    gt = np.where(void, 0, gt)
    ignore = encode(void)
    preds = [pred == v for v in np.unique(pred) if v]
    gts = [gt == v for v in np.unique(gt) if v]
    by_map = match(intersect(Pair("a", 0, of_labels(pred), of_labels(gt, ignore=ignore))))
    by_mask = match(intersect(Pair("a", 0, of_masks(preds), of_masks(gts, ignore=ignore))))
    for name in ("tp", "fp", "fn", "forgiven"):
        assert getattr(by_map, name).tolist() == getattr(by_mask, name).tolist()
    assert by_map.iou == by_mask.iou


@settings(max_examples=30, deadline=None)
@given(MASKS, MASKS)
def test_intersections_equal_plain_counts(preds, gts):
    """Areas and common pixels equal those counted on dense masks."""
    found = intersect(Pair("a", 0, of_masks(preds), of_masks(gts)))
    assert found.pred_areas.tolist() == [int(p.sum()) for p in preds]
    assert found.gt_areas.tolist() == [int(g.sum()) for g in gts]
    common = {(p, g): n for p, g, n in zip(found.pred, found.gt, found.pixels, strict=True)}
    for (i, p), (j, g) in itertools.product(enumerate(preds), enumerate(gts)):
        assert common.get((i, j), 0) == int((p & g).sum())


@given(LABELS, LABELS, st.permutations([1, 2, 9, 500]))
def test_renaming_objects_changes_nothing(pred, gt, names):
    """Scores do not depend on the ids of objects."""
    table = np.zeros(501, np.uint16)
    table[[1, 2, 9, 500]] = names
    plain = match(intersect(Pair("a", 0, of_labels(pred), of_labels(gt)))).compute()
    renamed = match(intersect(Pair("a", 0, of_labels(table[pred]), of_labels(gt)))).compute()
    assert renamed == pytest.approx(plain, nan_ok=True, rel=1e-12)


@given(LABELS.filter(np.any))
def test_a_perfect_prediction_scores_one(labels):
    """Objects compared with themselves reach the best of every score."""
    scores = match(intersect(Pair("a", 0, of_labels(labels), of_labels(labels)))).compute()
    assert scores.pop("over_segmented") == scores.pop("under_segmented") == 0
    assert set(scores.values()) == {1.0}


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=4), st.randoms())
def test_shards_add_up_in_any_order(images, random):
    """Sums over images are the same, to the last bit, in any order."""
    metric = Matching(MetricOptions())
    measured = [metric.measure(Pair("a", i, *map(of_labels, m))) for i, m in enumerate(images)]
    totals = []
    for _ in range(2):
        total = metric.zero()
        for sums in measured:
            total.add(sums)
        totals.append(total.compute())
        random.shuffle(measured)
    assert totals[0] == pytest.approx(totals[1], nan_ok=True, rel=0, abs=0)


def test_an_iou_of_exactly_the_threshold_matches():
    """IoU 0.5 and 0.75 count as reached: thresholds are compared in whole numbers."""
    gt = np.zeros((1, 20), np.uint8)
    gt[0, :20] = 1
    for pixels, reached in ((10, 1), (11, 2), (15, 6), (19, 10)):
        pred = np.zeros_like(gt)
        pred[0, :pixels] = 1
        assert match(intersect(Pair("a", 0, of_labels(pred), of_labels(gt)))).tp.sum() == reached


def test_more_pairs_win_over_better_ones():
    """The greedy choice by IoU would leave an object unmatched; the optimal one does not."""
    row = np.arange(10)[None]
    gts = [row < 10, row >= 4]
    preds = [row >= 1, row < 6]
    sides = [
        Segmentation(ImageRef("a.png", 1, 10), tuple(segment_from_mask(m) for m in masks))
        for masks in (preds, gts)
    ]
    sums = match(intersect(Pair("a", 0, *sides)))
    assert sums.tp[0] == brute_force(preds, gts, Fraction(1, 2))[0] == 2


EMPTY, ONE = np.zeros((HEIGHT, WIDTH), np.uint8), np.ones((HEIGHT, WIDTH), np.uint8)
CASES = {
    "no objects": (EMPTY, EMPTY, {"f1_50": None, "ap_dsb": None, "matched_iou_50": None}),
    "all missed": (EMPTY, ONE, {"f1_50": 0, "ap_dsb": 0, "precision_50": 0, "recall_50": 0}),
    "all invented": (ONE, EMPTY, {"f1_50": 0, "ap_dsb": 0, "precision_50": 0, "recall_50": None}),
}


@pytest.mark.parametrize("case", CASES)
def test_empty_sides_are_undefined_or_zero(case):
    """No objects on both sides is undefined; on one side F1 and AP-DSB are 0.

    Predicting nothing where there is something has precision 0.
    """
    pred, gt, wanted = CASES[case]
    scores = match(intersect(Pair("a", 0, of_labels(pred), of_labels(gt)))).compute()
    for name, value in wanted.items():
        assert math.isnan(scores[name]) if value is None else scores[name] == value


@given(MASKS, MASKS)
def test_splits_and_merges_equal_a_table_of_iou(preds, gts):
    """Splits and merges are the rows and columns of the IoU table with two or more above 0.1."""
    table = np.array(
        [[Fraction(int((p & g).sum()), int((p | g).sum())) for p in preds] for g in gts]
    )
    near = (table > Fraction(1, 10)).reshape(len(gts), len(preds))
    sums = match(intersect(Pair("a", 0, of_masks(preds), of_masks(gts))))
    assert sums.over_segmented == int((near.sum(axis=1) > 1).sum())
    assert sums.under_segmented == int((near.sum(axis=0) > 1).sum())


def test_splits_and_merges_are_counted_in_images_and_in_all():
    """A nucleus cut in two and two nuclei taken for one; a speck of a tenth splits nothing."""
    whole = np.ones((1, 20), np.uint8)
    halves = whole.copy()
    halves[0, 10:] = 2
    speck = whole.copy()
    speck[0, 18:] = 2
    total = Matching(MetricOptions()).zero()
    for pred, gt in ((halves, whole), (whole, halves), (whole, halves), (speck, whole)):
        total.add(match(intersect(Pair("a", 0, of_labels(pred), of_labels(gt)))))
    assert total.counts()["over_segmented"] == total.compute()["over_segmented"] == 1
    assert total.counts()["under_segmented"] == 2


def test_crowds_forgive_predictions_and_are_no_objects():
    """A prediction mostly in a crowd is no false positive; the crowd itself is not to be found."""
    left, right = np.zeros((2, HEIGHT, WIDTH), bool)
    left[:, :3], right[:, 3:] = True, True
    crowd = replace(segment_from_mask(left), iscrowd=True)
    gt = Segmentation(IMAGE, (crowd, segment_from_mask(right)))
    sums = match(intersect(Pair("a", 0, of_masks([left, right]), gt)))
    assert (sums.tp[0], sums.fp[0], sums.fn[0], sums.forgiven[0]) == (1, 0, 0, 1)


def test_void_is_cut_from_both_sides():
    """Pixels that do not count are cut before IoU, and a prediction mostly in them is forgiven."""
    void = np.zeros((HEIGHT, WIDTH), bool)
    void[:, 3:] = True
    gt = np.zeros((HEIGHT, WIDTH), np.uint8)
    gt[:3, :3] = 1
    pred = gt.copy()
    pred[:3, 3] = 1
    pred[4:, 3:] = 2
    pair = Pair("a", 0, of_labels(pred), of_labels(gt, ignore=encode(void)))
    sums = match(intersect(pair))
    assert (sums.tp[9], sums.fp[9], sums.fn[9], sums.forgiven[9]) == (1, 0, 0, 1)
    assert float(sums.iou[9]) == 1.0


def test_many_objects_do_not_make_a_dense_table():
    """A map in which every pixel is an object of its own is compared without a table of pairs."""
    labels = np.arange(1, 90 * 90 + 1, dtype=np.uint32).reshape(90, 90)
    sums = match(intersect(Pair("a", 0, of_labels(labels), of_labels(labels[::-1]))))
    assert sums.tp[0] == labels.size


def test_a_negative_id_is_an_error_and_0_stays_the_background():
    """-1 is no object id, and must not turn the background into an object."""
    values = np.zeros((HEIGHT, WIDTH), np.int64)
    values[0, 0] = 70000
    found = intersect(Pair("a", 0, of_labels(values), of_labels(values)))
    assert found.gt_areas.tolist() == found.pred_areas.tolist() == [1]
    values[0, 1] = -1
    with pytest.raises(PairError, match="negative object id -1"):
        intersect(Pair("a", 0, of_labels(values), of_labels(values)))
