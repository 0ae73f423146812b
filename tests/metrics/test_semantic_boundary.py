"""Boundary IoU of class maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_erosion

from segcli.errors import PairError
from segcli.masks.rle import encode
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.boundary import count_boundaries
from segcli.metrics.semantic_boundary import SemanticBoundary, count_class_boundaries
from segcli.records import ImageRef, LabelMap, Segmentation

CLASSES = (0, 3, 7, 255)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=30)
RATIOS = st.sampled_from([0.02, 0.05, 0.1])


@st.composite
def map_pairs(draw):
    """Two class maps of one shape made of blocks, often near each other, and what counts."""
    height, width = draw(SHAPES)
    coarse = hnp.arrays(
        np.uint8, (height // 5 + 1, width // 5 + 1), elements=st.sampled_from(CLASSES)
    )
    pred, gt = (draw(coarse).repeat(5, axis=0).repeat(5, axis=1)[:height, :width] for _ in range(2))
    if draw(st.booleans()):
        pred = np.roll(gt, draw(st.integers(-2, 2)), axis=draw(st.integers(0, 1)))
    return pred, gt, draw(hnp.arrays(bool, (height, width), fill=st.just(True)))


def measured(pred, gt, options=None, **fields):
    image = ImageRef("a.png", *gt.shape)
    sides = [LabelMap(values, "semantic") for values in (pred, gt)]
    pair = Pair(
        "a", 0, Segmentation(image, labels=sides[0]), Segmentation(image, labels=sides[1], **fields)
    )
    return SemanticBoundary(options or MetricOptions()).measure(pair)


@settings(max_examples=80, deadline=None)
@given(map_pairs(), RATIOS)
def test_each_class_equals_its_own_mask(maps, ratio):
    """All classes in one pass give what the definition over two masks gives, class by class."""
    pred, gt, counted = maps
    found = count_class_boundaries(pred, gt, counted, ratio)
    for number in CLASSES:
        alone = count_boundaries((pred == number) & counted, (gt == number) & counted, ratio)
        iou = found[number].iou if number in found else math.nan
        assert iou == pytest.approx(alone.compute()["boundary_iou"], nan_ok=True, rel=0, abs=0)


@settings(deadline=None)
@given(map_pairs(), RATIOS)
def test_the_mean_equals_repeated_erosion(maps, ratio):
    """The mean over classes equals scipy's erosion of each class, nothing left out."""
    pred, gt, _ = maps
    times = max(1, round(ratio * np.hypot(*gt.shape)))
    ious = []
    for number in CLASSES:
        rims = [
            m & ~binary_erosion(m, np.ones((3, 3)), iterations=times, border_value=0)
            for m in (pred == number, gt == number)
        ]
        if (rims[0] | rims[1]).any():
            ious.append((rims[0] & rims[1]).sum() / (rims[0] | rims[1]).sum())
    scores = measured(pred, gt, MetricOptions(boundary_ratio=ratio)).compute()
    assert scores["boundary_miou"] == pytest.approx(np.mean(ious), rel=1e-12)


@settings(deadline=None)
@given(map_pairs())
def test_scores_are_bounded_and_symmetric(maps):
    """The mean lies in 0..1 and does not care which side is which, nor how the image is turned."""
    pred, gt, _ = maps
    there = measured(pred, gt).compute()
    assert 0 <= there["boundary_miou"] <= 1
    assert measured(gt, pred).compute() == there
    assert measured(pred.T, gt.T).compute() == pytest.approx(there, rel=1e-12)


@given(map_pairs())
def test_a_perfect_prediction_scores_one(maps):
    """A class map compared with itself scores 1, a map of a single class too."""
    _, gt, _ = maps
    for values in (gt, np.full_like(gt, 7)):
        assert measured(values, values).compute() == {"boundary_miou": 1.0}


@settings(deadline=None)
@given(map_pairs(), st.permutations([0, 3, 255, -4, 70_000]))
def test_renaming_classes_changes_nothing(maps, names):
    """Scores do not depend on which number stands for which class, large ones and negative ones."""
    table = np.zeros(256, np.int32)
    table[list(CLASSES)] = names[: len(CLASSES)]
    pred, gt, _ = maps
    renamed = measured(table[pred], table[gt]).compute()
    assert renamed == pytest.approx(measured(pred, gt).compute(), rel=1e-12)


@settings(deadline=None)
@given(st.lists(map_pairs(), min_size=1, max_size=4), st.randoms())
def test_shards_add_up_in_any_order(images, random):
    """Sums over images are the same in any order, tables included."""
    metric = SemanticBoundary(MetricOptions())
    parts = [measured(pred, gt) for pred, gt, _ in images]
    whole = metric.zero()
    for part in parts:
        whole.add(part)
    random.shuffle(parts)
    left, right = metric.zero(), metric.zero()
    for i, part in enumerate(parts):
        (left if i % 2 else right).add(part)
    left.add(right)
    assert left == whole
    assert left.compute() == whole.compute()
    assert left.tables() == whole.tables()


def halves(split: int) -> np.ndarray:
    """20 x 40 pixels: class 1 left of a column, class 2 from there on."""
    values = np.ones((20, 40), np.uint8)
    values[:, split:] = 2
    return values


def test_a_hand_made_case():
    """Boundaries 1 deep of two halves, the border between them off by one column."""
    sums = measured(halves(20), halves(21))
    one, two = sums.classes[1], sums.classes[2]
    assert (one.pred, one.gt, one.both) == (2 * 20 + 2 * 18, 2 * 21 + 2 * 18, 2 * 20 + 18)
    assert (two.pred, two.gt, two.both) == (2 * 20 + 2 * 18, 2 * 19 + 2 * 18, 2 * 19 + 18)
    assert sums.compute()["boundary_miou"] == pytest.approx((one.iou + two.iou) / 2)


def test_absent_classes_are_dropped_and_invented_ones_cost():
    """A listed class on neither side is a row without a number; one only predicted scores 0."""
    names = {1: "left", 2: "right", 3: "ghost", 4: "invented"}
    pred = halves(20)
    pred[5:9, 5:9] = 4
    sums = measured(pred, halves(20), MetricOptions(names))
    rows = {row["name"]: row for row in sums.tables()["per_class"]}
    assert math.isnan(rows["ghost"]["boundary_iou.pooled"])
    assert rows["invented"]["boundary_iou.pooled"] == 0.0
    assert rows["right"]["boundary_iou.mean_of_images"] == 1.0
    shown = [rows[name]["boundary_iou.pooled"] for name in ("left", "right", "invented")]
    assert sums.compute()["boundary_miou"] == pytest.approx(sum(shown) / 3)


def test_missing_a_class_scores_zero():
    """A class of the ground truth that is never predicted is a 0 in the mean, not left out."""
    sums = measured(halves(40), halves(30))
    assert sums.classes[2].iou == 0.0
    assert sums.compute()["boundary_miou"] == sums.classes[1].iou / 2


def test_pixels_that_do_not_count_are_no_class():
    """Errors under void cost nothing, and a class predicted there alone does not occur."""
    gt = halves(20)
    gt[5:10, 5:10] = 255
    pred = halves(20)
    pred[6:9, 6:9] = 9
    options = MetricOptions(ignore_index=255)
    sums = measured(pred, gt, options, ignore=encode(gt == 255))
    assert sums.compute() == {"boundary_miou": 1.0}
    assert set(sums.classes) == {1, 2}


def test_no_pixels_are_undefined():
    """When everything is void, and for no image, the mean is NaN."""
    gt = halves(20)
    sums = measured(gt, gt, ignore=encode(np.ones_like(gt)))
    for empty in (sums, SemanticBoundary(MetricOptions()).zero()):
        assert math.isnan(empty.compute()["boundary_miou"])


def test_a_value_outside_the_class_list_is_an_error():
    """A stray value is refused and named."""
    with pytest.raises(PairError, match="outside the class list: 2"):
        measured(halves(20), halves(40), MetricOptions({1: "left"}))


def test_predicting_the_ignore_index_is_wrong():
    """What is predicted as void is missed, and its class is in no mean."""
    ignoring = measured(halves(20), halves(40), MetricOptions(ignore_index=2)).tables()
    plain = measured(halves(20), halves(40)).tables()
    assert ignoring["per_class"] == [r for r in plain["per_class"] if r["class"] != 2]


def test_shapes_must_agree():
    """Class maps of different shapes are refused."""
    with pytest.raises(ValueError, match="cannot be compared"):
        count_class_boundaries(halves(20), halves(20)[:5])
