"""IoU, Dice, accuracy, precision and recall of two masks."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.metrics.base import ExactSum, Pair
from segcli.metrics.overlap import Overlap, OverlapSums, count_overlap, overlap_scores
from segcli.records import ImageRef, LabelMap, Segmentation

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


@st.composite
def mask_triples(draw):
    """A prediction, a ground truth and the pixels that count, all of one shape."""
    shape = draw(SHAPES)
    return tuple(draw(hnp.arrays(bool, shape)) for _ in range(3))


def pixel_by_pixel(pred, gt, counted):
    """The definitions written out, one pixel at a time."""
    tp = fp = fn = tn = 0
    for y in range(gt.shape[0]):
        for x in range(gt.shape[1]):
            if not counted[y, x]:
                continue
            tp += pred[y, x] and gt[y, x]
            fp += pred[y, x] and not gt[y, x]
            fn += not pred[y, x] and gt[y, x]
            tn += not pred[y, x] and not gt[y, x]
    exact = {
        "iou": (tp, tp + fp + fn),
        "dice": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp) if tp + fp or not fn else (0, 1),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "pixel_accuracy": (tp + tn, tp + fp + fn + tn),
    }
    return {
        name: float(Fraction(int(a), int(b))) if b else math.nan for name, (a, b) in exact.items()
    }


def pair_of(pred: np.ndarray, gt: np.ndarray, index: int = 0) -> Pair:
    image = ImageRef("a.png", *gt.shape)
    sides = [Segmentation(image, labels=LabelMap(m.astype(np.uint8), "binary")) for m in (pred, gt)]
    return Pair("a", index, *sides)


@given(mask_triples())
def test_scores_equal_the_definition_pixel_by_pixel(masks):
    """Every ratio equals a plain loop over the pixels, exactly, with and without void."""
    pred, gt, counted = masks
    assert overlap_scores(count_overlap(pred, gt, counted)) == pytest.approx(
        pixel_by_pixel(pred, gt, counted), nan_ok=True, rel=0, abs=0
    )
    everything = np.ones_like(gt)
    assert overlap_scores(count_overlap(pred, gt)) == pytest.approx(
        pixel_by_pixel(pred, gt, everything), nan_ok=True, rel=0, abs=0
    )


@given(mask_triples())
def test_scores_are_bounded_and_symmetric(masks):
    """Scores lie in 0..1; IoU and Dice do not care which side is which; Dice is never below IoU."""
    pred, gt, _ = masks
    there, back = (overlap_scores(count_overlap(*pair)) for pair in ((pred, gt), (gt, pred)))
    assert all(0 <= v <= 1 for v in there.values() if not math.isnan(v))
    assert there["iou"] == pytest.approx(back["iou"], nan_ok=True, abs=0)
    assert there["dice"] == pytest.approx(back["dice"], nan_ok=True, abs=0)
    missed = gt.any() and not pred.any()
    assert there["precision"] == (
        0 if missed else pytest.approx(back["recall"], nan_ok=True, abs=0)
    )
    assert math.isnan(there["iou"]) or there["dice"] >= there["iou"]


@given(hnp.arrays(bool, SHAPES).filter(np.any))
def test_a_perfect_prediction_scores_one(gt):
    """A mask compared with itself reaches the best of every score that is defined."""
    scores = overlap_scores(count_overlap(gt, gt))
    assert math.isnan(scores["specificity"]) == gt.all()
    assert {v for v in scores.values() if not math.isnan(v)} == {1.0}


EMPTY, FULL = np.zeros((3, 4), bool), np.ones((3, 4), bool)
CASES = {
    "both empty": (EMPTY, EMPTY, {"iou": None, "dice": None, "precision": None, "recall": None}),
    "missed": (EMPTY, FULL, {"iou": 0, "dice": 0, "precision": 0, "recall": 0}),
    "invented": (FULL, EMPTY, {"iou": 0, "dice": 0, "precision": 0, "recall": None}),
}


@pytest.mark.parametrize("case", CASES)
def test_empty_masks_are_undefined_or_zero(case):
    """Both empty is undefined; one empty is 0: a missed object never improves a score."""
    pred, gt, wanted = CASES[case]
    scores = overlap_scores(count_overlap(pred, gt))
    for name, value in wanted.items():
        assert math.isnan(scores[name]) if value is None else scores[name] == value


def test_no_pixel_counts():
    """When every pixel is void, nothing is defined, pixel accuracy included."""
    assert all(math.isnan(v) for v in overlap_scores(count_overlap(FULL, FULL, EMPTY)).values())


def test_shapes_must_agree():
    """Masks of different shapes are refused, never broadcast."""
    with pytest.raises(ValueError, match="cannot be compared"):
        count_overlap(FULL, FULL[:1])


@given(st.lists(mask_triples(), min_size=1, max_size=4), st.randoms())
def test_sums_add_in_any_order(triples, random):
    """The sums of shards are the sums of the whole, in any order."""
    images = [count_overlap(*masks) for masks in triples]
    whole, shuffled = OverlapSums(), OverlapSums()
    for sums in images:
        whole.add(sums)
    random.shuffle(images)
    for sums in images:
        shuffled.add(sums)
    assert whole == shuffled


def test_a_prefix_names_the_scores():
    """Foreground scores beside object scores carry their prefix in every name."""
    metric = Overlap("foreground.")
    scores = metric.measure(pair_of(FULL, FULL)).compute()
    assert list(scores) == list(metric.undefined)
    assert all(name.startswith("foreground.") for name in scores)
    assert "foreground.iou.pooled" in metric.names()


@given(st.lists(st.floats(0, 1) | st.just(math.nan)), st.randoms())
def test_means_do_not_depend_on_order(values, random):
    """A mean over images is the same to the last bit in any order and split, NaN left out."""
    whole, left, right = ExactSum(), ExactSum(), ExactSum()
    for value in values:
        whole.push(value)
    random.shuffle(values)
    for i, value in enumerate(values):
        (left if i % 2 else right).push(value)
    left.add(right)
    defined = [v for v in values if not math.isnan(v)]
    assert left == whole
    assert whole.undefined == len(values) - len(defined)
    expected = math.fsum(defined) / len(defined) if defined else math.nan
    assert whole.mean == pytest.approx(expected, nan_ok=True, rel=1e-15)
