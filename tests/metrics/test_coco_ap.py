"""COCO mask AP and AR against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segcli.errors import PairError
from segcli.evaluate import Side, evaluate, open_sides
from segcli.masks.rle import encode, segment_from_mask, to_coco
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.coco_ap import CocoAp
from segcli.records import ImageRef, Segmentation

NAMES = list(CocoAp.undefined)
SIDE = 120


def twelve_of_pycocotools(pairs: list[Pair], *, agnostic: bool = False) -> dict[str, float]:
    """The twelve numbers as pycocotools gives them for the same objects, NaN for its -1."""
    images = [{"id": i + 1, "height": SIDE, "width": SIDE} for i in range(len(pairs))]
    categories = [{"id": c, "name": str(c)} for c in (1, 2, 3)]
    truths, guesses = [], []
    for i, pair in enumerate(pairs):
        for s in pair.gt.segments:
            truths.append(
                {
                    "id": len(truths) + 1,
                    "image_id": i + 1,
                    "category_id": s.category,
                    "iscrowd": int(s.iscrowd),
                    "area": s.area,
                    "segmentation": to_coco(s.mask),
                }
            )
        guesses += [
            {
                "image_id": i + 1,
                "category_id": s.category,
                "score": s.score,
                "segmentation": to_coco(s.mask),
            }
            for s in pair.pred.segments
        ]
    if not guesses:
        # loadRes refuses an empty list; a detection in an image nobody asks about is none.
        images.append({"id": 99, "height": SIDE, "width": SIDE})
        empty = segment_from_mask(np.eye(SIDE, dtype=bool))
        guesses = [
            {"image_id": 99, "category_id": 1, "score": 1.0, "segmentation": to_coco(empty.mask)}
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {"images": images, "annotations": truths, "categories": categories, "info": {}}
        gt.createIndex()
        judge = COCOeval(gt, gt.loadRes(guesses), "segm")
        judge.params.imgIds = list(range(1, len(pairs) + 1))
        judge.params.useCats = int(not agnostic)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return dict(zip(NAMES, [math.nan if v == -1 else float(v) for v in judge.stats], strict=True))


def boxes(draw, count):
    """Masks of boxes, of all three of COCO's sizes."""
    found = []
    for _ in range(count):
        y, x = draw(st.integers(0, 70)), draw(st.integers(0, 70))
        size = draw(st.sampled_from([9, 25, 40, 50, 110]))
        mask = np.zeros((SIDE, SIDE), bool)
        mask[y : y + size, x : x + size] = True
        found.append(mask)
    return found


@st.composite
def data_sets(draw, classes=(1, 2, 3)):
    """A few images with true and predicted boxes, near each other or not, crowds among them."""
    pairs = []
    for index in range(draw(st.integers(1, 4))):
        truths = boxes(draw, draw(st.integers(0, 4)))
        guesses = boxes(draw, draw(st.integers(0, 2)))
        for mask in truths:
            if draw(st.booleans()):
                shift = draw(st.integers(0, 9))
                guesses.append(np.roll(mask, shift, axis=1))
        gt = [
            replace(
                segment_from_mask(m, category=draw(st.sampled_from(classes))),
                iscrowd=draw(st.sampled_from([False, False, False, True])),
            )
            for m in truths
        ]
        pred = [
            segment_from_mask(
                m,
                category=draw(st.sampled_from(classes)),
                score=draw(st.sampled_from([0.1, 0.5, 0.5, 0.7, 0.9])),
            )
            for m in guesses
        ]
        image = ImageRef(f"{index}.png", SIDE, SIDE)
        pairs.append(
            Pair(
                str(index), index, Segmentation(image, tuple(pred)), Segmentation(image, tuple(gt))
            )
        )
    return pairs


def total_of(pairs, options=None):
    metric = CocoAp(options or MetricOptions())
    total = metric.zero()
    for pair in pairs:
        total.add(metric.measure(pair))
    return total


@settings(max_examples=25, deadline=None)
@given(data_sets())
def test_the_twelve_numbers_equal_pycocotools(pairs):
    """Classes, crowds, ties and all sizes: equal to pycocotools on made-up data sets."""
    total = total_of(pairs)
    if total.scope == "per class":
        assert total.compute() == pytest.approx(twelve_of_pycocotools(pairs), nan_ok=True, abs=1e-9)
    agnostic = total_of(pairs, MetricOptions(class_agnostic=True)).compute()
    expected = twelve_of_pycocotools(pairs, agnostic=True)
    assert agnostic == pytest.approx(expected, nan_ok=True, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(data_sets(), st.randoms())
def test_shards_and_order_change_nothing(pairs, random):
    """Two shards, each in another order, give the numbers of one run, to the last bit."""
    whole = total_of(pairs).compute()
    random.shuffle(pairs)
    left, right = total_of(pairs[::2]), total_of(pairs[1::2])
    left.add(right)
    assert left.compute() == pytest.approx(whole, nan_ok=True, rel=0, abs=0)


def test_the_golden_set(shared_data: Path):
    """COCO's own hundred images give the published twelve numbers to 1e-9."""
    folder = shared_data / "coco_fakesegm100"
    text = (shared_data / "README.md").read_text()
    expected = [float(v) for v in text.split("ARs ARm ARl):\n")[1].split("\n")[0].split()]
    pred, gt = open_sides(
        Side(str(folder / "instances_val2014_fakesegm100_results.json")),
        Side(str(folder / "instances_val2014_100.json")),
    )
    found = evaluate(pred, gt)
    assert [found.metrics[name] for name in NAMES] == pytest.approx(expected, abs=1e-9)
    assert found.counts["images"] == 100
    assert found.complete


def test_a_perfect_prediction_scores_one():
    """The first object of each image counts too: ids start at 1, where pycocotools' start at 0."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:50, :50] = True
    segment = segment_from_mask(mask, id=0)
    side = Segmentation(ImageRef("a.png", SIDE, SIDE), (segment,))
    scores = total_of([Pair("a", 0, side, side)]).compute()
    assert [scores[n] for n in ("ap", "ap_medium", "ar1")] == pytest.approx([1.0] * 3)
    assert math.isnan(scores["ap_small"])


def test_no_objects_are_undefined():
    """Without true objects every number is undefined, also when something was predicted."""
    image = ImageRef("a.png", SIDE, SIDE)
    one = Segmentation(image, (segment_from_mask(np.ones((SIDE, SIDE), bool)),))
    for pred in (Segmentation(image), one):
        scores = total_of([Pair("a", 0, pred, Segmentation(image))]).compute()
        assert all(math.isnan(v) for v in scores.values())
    assert all(math.isnan(v) for v in CocoAp(MetricOptions()).zero().compute().values())


def test_all_missed_is_zero():
    """Images in which nothing was predicted count: AP is 0, not undefined."""
    image = ImageRef("a.png", SIDE, SIDE)
    one = Segmentation(image, (segment_from_mask(np.ones((SIDE, SIDE), bool)),))
    scores = total_of([Pair("a", 0, Segmentation(image), one)]).compute()
    assert scores["ap"] == scores["ar100"] == 0.0


def whole_image(**fields):
    return segment_from_mask(np.ones((SIDE, SIDE), bool), **fields)


NOTES = {
    "proposals against classes": ([{}], [{"category": 3}], "1 of 1 objects of the predictions"),
    "classes against none": ([{"category": 3}], [{}], "1 of 1 objects of the ground truth"),
    "no scores": ([{}], [{}], "no prediction states a score: COCO AP then ranks by order"),
    "equal scores": ([{"score": 0.5}] * 2, [{}], "all scores are equal"),
    "some scores": ([{"score": 0.5}, {}], [{}], "1 predictions state no score"),
    "many": ([{"score": n / 200} for n in range(101)], [{}], "more than 100 predictions"),
    "one class": (
        [{"category": 1}],
        [{"category": 1}, {"category": 2}],
        "every prediction has the category 1",
    ),
    "a class not listed": ([{"category": 9}], [{"category": 1}], "does not list: 9"),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_bears_on_ap_is_said(case):
    """Class-agnostic scoring, missing or equal scores, and the limit of 100 are said aloud."""
    pred, gt, words = NOTES[case]
    image = ImageRef("a.png", SIDE, SIDE)
    sides = [Segmentation(image, tuple(whole_image(**f) for f in side)) for side in (pred, gt)]
    assert any(words in note for note in total_of([Pair("a", 0, *sides)]).notes())


def test_predicted_iou_ranks_where_no_score_is_stated():
    """A proposal without score is ranked by its predicted IoU."""
    image = ImageRef("a.png", SIDE, SIDE)
    small = np.zeros((SIDE, SIDE), bool)
    small[:9, :9] = True
    right = whole_image(predicted_iou=0.9)
    wrong = segment_from_mask(small, predicted_iou=0.1)
    pair = Pair("a", 0, Segmentation(image, (wrong, right)), Segmentation(image, (whole_image(),)))
    assert total_of([pair]).compute()["ap"] == pytest.approx(1.0)


def test_a_score_that_is_no_number_is_an_error():
    """NaN ranks nowhere, so it is refused with the image's name."""
    image = ImageRef("a.png", SIDE, SIDE)
    side = Segmentation(image, (whole_image(score=math.nan),))
    with pytest.raises(PairError, match=r"a\.png.*nan"):
        CocoAp(MetricOptions()).measure(Pair("a", 0, side, side))


def test_the_stated_area_sorts_objects_by_size(tmp_path: Path):
    """A dataset's `area` tells small from medium; a result's `bbox` tells nothing."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:40, :40] = True
    coded = to_coco(segment_from_mask(mask).mask)
    truth = {"id": 0, "image_id": 5, "category_id": 1, "iscrowd": 0, "area": 900.5}
    dataset = {
        "images": [{"id": 5, "file_name": "x.jpg", "height": SIDE, "width": SIDE}],
        "annotations": [{**truth, "segmentation": coded}],
        "categories": [{"id": 1, "name": "box"}],
    }
    result = {"image_id": 5, "category_id": 1, "score": 1, "segmentation": coded}
    (tmp_path / "gt.json").write_text(json.dumps(dataset))
    (tmp_path / "pred.json").write_text(json.dumps([{**result, "bbox": [0, 0, 999, 999]}]))
    sides = open_sides(Side(str(tmp_path / "pred.json")), Side(str(tmp_path / "gt.json")))
    found = evaluate(*sides).metrics
    assert found["ap_small"] == pytest.approx(1.0)
    assert math.isnan(found["ap_medium"])


def test_predictions_where_nothing_counts_are_forgiven():
    """A prediction in the void alone costs no AP, as if a crowd were there; elsewhere it does."""
    masks = np.zeros((3, SIDE, SIDE), bool)
    masks[0, 5:40, 5:40], masks[1, 80:, :], masks[2, 82:110, 5:40] = True, True, True
    image = ImageRef("a.png", SIDE, SIDE)
    for categories in (None, 2):
        truth, stray = (
            segment_from_mask(masks[i], category=categories, score=score)
            for i, score in ((0, 0.5), (2, 0.9))
        )
        gt = Segmentation(image, (truth,), ignore=encode(masks[1]))
        scores = []
        for side in (gt, replace(gt, ignore=None)):
            sums = CocoAp(MetricOptions()).zero()
            sums.add(
                CocoAp(MetricOptions()).measure(
                    Pair("a", 0, Segmentation(image, (truth, stray)), side)
                )
            )
            scores.append(sums.compute()["ap"])
        assert scores == pytest.approx([1.0, 0.5], abs=0.01)
    assert "crowd" in CocoAp(MetricOptions()).conventions()["coco_void"]


def test_equal_scores_go_by_image_id_as_in_pycocotools(tmp_path):
    """With constant scores AP depends on the order of images: by id, whatever they are called."""
    rng = np.random.default_rng(3)
    images, truths, guesses = [], [], []
    for number in range(1, 9):
        images.append({"id": number, "file_name": f"{9 - number}.jpg", "height": 50, "width": 50})
        x, y = (int(v) for v in rng.integers(1, 20, 2))
        shift = 0 if number > 4 else 12
        for found, left in ((truths, x), (guesses, x + shift)):
            mask = np.zeros((50, 50), bool)
            mask[y : y + 15, left : left + 15] = True
            coded = to_coco(encode(mask))
            found.append({"image_id": number, "category_id": 1, "segmentation": coded})
    for i, truth in enumerate(truths):
        truth.update(id=i + 1, area=225, iscrowd=0, bbox=[0, 0, 15, 15])
    for guess in guesses:
        guess["score"] = 1.0
    gt = {
        "info": {},
        "images": images,
        "annotations": truths,
        "categories": [{"id": 1, "name": "a"}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    (tmp_path / "pred.json").write_text(json.dumps(guesses))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "gt.json"))
        judge = COCOeval(truth, truth.loadRes(str(tmp_path / "pred.json")), "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    sides = open_sides(Side(str(tmp_path / "pred.json")), Side(str(tmp_path / "gt.json")))
    assert 0 < judge.stats[0] < 0.5
    assert evaluate(*sides).metrics["ap"] == pytest.approx(judge.stats[0], abs=1e-9)
