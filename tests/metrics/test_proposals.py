"""Average recall of proposals against pycocotools, and best overlap against plain masks."""

from __future__ import annotations

import contextlib
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segcli.errors import PairError
from segcli.masks.rle import decode, encode, segment_from_mask, to_coco
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.proposals import LIMITS, BestOverlap, ProposalRecall
from segcli.records import ImageRef, LabelMap, Segmentation

SIDE = 110
IMAGE = ImageRef("a.png", SIDE, SIDE)
NAMES = list(ProposalRecall.undefined)


def box(y, x, size):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + size, x : x + size] = True
    return mask


@st.composite
def objects(draw, most, **fields):
    """Squares of all three of COCO's sizes, that may overlap."""
    found = []
    for _ in range(draw(st.integers(0, most))):
        y, x = draw(st.integers(0, 60)), draw(st.integers(0, 60))
        mask = box(y, x, draw(st.sampled_from([9, 32, 33, 40, 100])))
        found.append(segment_from_mask(mask, **{k: draw(v) for k, v in fields.items()}))
    return found


@st.composite
def pairs(draw, index=0):
    """Proposals near and far from the objects, with ties in their scores and crowds among these."""
    gt = draw(objects(5, iscrowd=st.sampled_from([False, False, False, True])))
    scores = st.sampled_from([0.1, 0.5, 0.5, 0.9])
    pred = draw(objects(12, score=scores))
    for segment in gt:
        if draw(st.booleans()):
            x, y, w, _ = (int(v) for v in segment.box_xywh)
            shift = draw(st.integers(0, 9))
            pred.append(segment_from_mask(box(y + shift, x, w), score=draw(scores)))
    return Pair("a", index, Segmentation(IMAGE, tuple(pred)), Segmentation(IMAGE, tuple(gt)))


def recall_of_pycocotools(images: list[Pair]) -> dict[str, float]:
    """AR of the same objects by COCOeval without categories, NaN for its -1."""
    truths = [
        {
            "id": 1000 * i + j + 1,
            "image_id": i + 1,
            "category_id": 1 + j % 2,
            "iscrowd": int(s.iscrowd),
            "area": s.area,
            "segmentation": to_coco(s.mask),
        }
        for i, pair in enumerate(images)
        for j, s in enumerate(pair.gt.segments)
    ]
    guesses = [
        {
            "image_id": i + 1,
            "category_id": 1,
            "score": s.score,
            "segmentation": to_coco(s.mask),
        }
        for i, pair in enumerate(images)
        for s in pair.pred.segments
    ]
    # loadRes refuses an empty list; a detection in an image nobody asks about is none.
    guesses.append({**to_empty(), "image_id": len(images) + 1})
    listed = [{"id": i + 1, "height": SIDE, "width": SIDE} for i in range(len(images) + 1)]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
        gt.dataset = {"images": listed, "annotations": truths, "categories": categories, "info": {}}
        gt.createIndex()
        judge = COCOeval(gt, gt.loadRes(guesses), "segm")
        judge.params.imgIds = list(range(1, len(images) + 1))
        judge.params.useCats = 0
        judge.params.maxDets = list(LIMITS)
        judge.evaluate()
        judge.accumulate()
    recall = judge.eval["recall"][:, 0]
    values = [recall[:, 0, k] for k in range(4)] + [recall[:, size, 3] for size in (1, 2, 3)]
    means = [math.nan if (v == -1).all() else float(v.mean()) for v in values]
    return dict(zip(NAMES, means, strict=True))


def to_empty():
    mask = segment_from_mask(np.eye(SIDE, dtype=bool)).mask
    return {"category_id": 1, "score": 1.0, "segmentation": to_coco(mask)}


def total_of(metric, images):
    total = metric.zero()
    for pair in images:
        total.add(metric.measure(pair))
    return total


@settings(deadline=None, max_examples=60)
@given(st.lists(pairs(), min_size=1, max_size=3))
def test_recall_equals_pycocotools(images):
    """AR at each limit and size equals pycocotools without categories, crowds and ties included."""
    ours = total_of(ProposalRecall(MetricOptions()), images).compute()
    assert ours == pytest.approx(recall_of_pycocotools(images), nan_ok=True, rel=0, abs=1e-12)


def test_recall_equals_pycocotools_beyond_the_limits():
    """With 1200 proposals of one image, each limit cuts where pycocotools cuts."""
    rng = np.random.default_rng(3)
    gt = [segment_from_mask(box(20 * (i // 5), 20 * (i % 5), 16)) for i in range(25)]
    pred = []
    for score in rng.permutation(1200):
        y, x = rng.integers(0, 90, 2)
        mask = box(y, x, int(rng.integers(12, 20)))
        pred.append(segment_from_mask(mask, score=float(score)))
    pair = Pair("a", 0, Segmentation(IMAGE, tuple(pred)), Segmentation(IMAGE, tuple(gt)))
    sums = ProposalRecall(MetricOptions()).measure(pair)
    ours = sums.compute()
    assert ours == pytest.approx(recall_of_pycocotools([pair]), nan_ok=True, rel=0, abs=1e-12)
    assert 0 < ours["ar_10"] < ours["ar_100"] < ours["ar_1000"] < 1
    assert "more than 1000" in sums.notes()[-1]


def scored(mask, **fields):
    return segment_from_mask(mask, **fields)


def recall_at_one(*segments) -> float:
    pred = Segmentation(IMAGE, segments)
    gt = Segmentation(IMAGE, (segment_from_mask(box(0, 0, 40)),))
    return ProposalRecall(MetricOptions()).measure(Pair("a", 0, pred, gt)).compute()["ar_1"]


def test_rank_is_the_mean_of_predicted_iou_and_stability():
    """Both of SAM's numbers rank a proposal where all state them, and the score where not."""
    good, bad = box(0, 0, 40), box(60, 60, 40)
    high = {"predicted_iou": 0.6, "stability_score": 0.9, "score": 0.1}
    low = {"predicted_iou": 0.7, "stability_score": 0.7, "score": 0.9}
    assert recall_at_one(scored(bad, **low), scored(good, **high)) == 1
    assert recall_at_one(scored(good, **low), scored(bad, **high)) == 0
    high["stability_score"] = None
    assert recall_at_one(scored(bad, **low), scored(good, **high)) == 0
    assert recall_at_one(scored(good, score=0.5), scored(bad, score=0.5)) == 1


def test_a_score_that_is_no_number_is_an_error():
    """NaN ranks nothing."""
    with pytest.raises(PairError, match="score nan"):
        recall_at_one(scored(box(0, 0, 40), score=math.nan))


@settings(deadline=None, max_examples=40)
@given(st.lists(pairs(), min_size=1, max_size=3), st.randoms())
def test_best_overlap_equals_plain_masks(images, random):
    """The best IoU of each object equals the largest of all on masks, in any order of images."""
    best = []
    for pair in images:
        preds = [decode(s.mask) for s in pair.pred.segments]
        for s in pair.gt.segments:
            gt = decode(s.mask)
            ious = [float((p & gt).sum() / (p | gt).sum()) for p in preds]
            best += [] if s.iscrowd else [max(ious, default=0.0)]
    metric = BestOverlap(MetricOptions())
    scores = total_of(metric, images).compute()
    share = [float(np.mean([b >= t for b in best])) if best else math.nan for t in (0.5, 0.75)]
    wanted = {
        "best_overlap_miou": float(np.mean(best)) if best else math.nan,
        "best_overlap_recall_50": share[0],
        "best_overlap_recall_75": share[1],
        "proposals_per_image": float(np.mean([len(p.pred.segments) for p in images])),
    }
    assert scores == pytest.approx(wanted, nan_ok=True, abs=1e-12)
    random.shuffle(images)
    assert repr(total_of(metric, images).compute()) == repr(scores)


@settings(deadline=None, max_examples=40)
@given(pairs(), st.randoms())
def test_scores_are_bounded_and_more_never_costs(pair, random):
    """AR grows with the limit, stays in 0..1, and a perfect set of proposals reaches 1."""
    metric = ProposalRecall(MetricOptions())
    scores = metric.measure(pair).compute()
    rising = [scores[f"ar_{k}"] for k in LIMITS]
    assert all(math.isnan(v) for v in rising) or rising == sorted(rising)
    assert all(0 <= v <= 1 for v in scores.values() if not math.isnan(v))
    truths = [s for s in pair.gt.segments if not s.iscrowd]
    random.shuffle(truths)
    perfect = replace(pair, pred=Segmentation(IMAGE, tuple(truths)))
    assert math.isnan(rising[0]) or metric.measure(perfect).compute()["ar_1000"] == 1
    best = BestOverlap(MetricOptions()).measure(perfect).compute()["best_overlap_miou"]
    assert math.isnan(rising[0]) or best == 1


def test_nothing_proposed_and_nothing_to_find():
    """Objects without proposals score 0; without objects every recall is undefined."""
    one, none = Segmentation(IMAGE, (segment_from_mask(box(0, 0, 40)),)), Segmentation(IMAGE)
    for metric in (ProposalRecall(MetricOptions()), BestOverlap(MetricOptions())):
        missed = metric.measure(Pair("a", 0, none, one)).compute()
        assert {v for v in missed.values() if not math.isnan(v)} == {0.0}
        idle = metric.measure(Pair("a", 0, one, none)).compute()
        assert all(math.isnan(v) for n, v in idle.items() if n != "proposals_per_image")
        assert list(idle) == list(metric.undefined)


def test_label_maps_have_objects_without_scores():
    """Values of label maps are proposals and objects; the reader is told that none has a score."""
    labels = np.where(box(0, 0, 40), 7, 3)
    side = Segmentation(IMAGE, labels=LabelMap(labels, "instance"))
    sums = ProposalRecall(MetricOptions()).measure(Pair("a", 0, side, side))
    assert sums.compute()["ar_1000"] == 1
    assert sums.compute()["ar_1"] == 0.5
    assert "2 of 2 proposals state no score" in sums.notes()[0]


def test_scores_of_a_panoptic_map_rank_its_segments():
    """Segments listed in another order than their ids keep their scores."""
    labels = np.where(box(0, 0, 40), 7, 3)
    listed = (
        segment_from_mask(labels == 7, id=7, score=0.9),
        segment_from_mask(labels == 3, id=3, score=0.1),
    )
    pred = Segmentation(IMAGE, listed, LabelMap(labels, "panoptic"))
    gt = Segmentation(IMAGE, (segment_from_mask(box(0, 0, 40)),))
    assert ProposalRecall(MetricOptions()).measure(Pair("a", 0, pred, gt)).compute()["ar_1"] == 1


def test_pixels_that_do_not_count_are_cut_from_both_sides():
    """A proposal that runs on into void is as good as one that stops there."""
    gt = Segmentation(IMAGE, (segment_from_mask(box(0, 0, 40)),), ignore=encode(~box(0, 0, 40)))
    pred = Segmentation(IMAGE, (segment_from_mask(box(0, 0, 90)), segment_from_mask(box(9, 9, 90))))
    sums = BestOverlap(MetricOptions()).measure(Pair("a", 0, pred, gt))
    assert sums.compute()["best_overlap_miou"] == 1
