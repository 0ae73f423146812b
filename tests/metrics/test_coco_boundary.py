"""COCO boundary AP and AR against boundary-iou-api's numbers and rules."""

from __future__ import annotations

import contextlib
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.ndimage import binary_erosion

from segcli.evaluate import EvalSettings, Side, evaluate, open_sides
from segcli.masks.boundaries import boundary_width
from segcli.masks.rle import decode, encode, segment_from_mask, to_coco
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.coco_ap import CocoAp
from segcli.metrics.coco_boundary import CocoBoundaryAp, Shape, boundary_overlaps
from segcli.records import RLE, ImageRef, Segmentation

NAMES = list(CocoBoundaryAp.undefined)
SIDE = 120
DEPTH = boundary_width(SIDE, SIDE, 0.02)


def rim_of(rle):
    """The boundary of one coded mask by repeated erosion of the whole image."""
    mask = decode(RLE(*rle["size"], rle["counts"]))
    times = boundary_width(*mask.shape, 0.02)
    eroded = binary_erosion(mask, np.ones((3, 3)), iterations=times, border_value=0)
    return to_coco(encode(mask & ~eroded))


class WithBoundaries(COCOeval):
    """COCO's evaluation with the overlap of boundary-iou-api, over whole images."""

    def computeIoU(self, image_id, category_id):  # noqa: N802 (COCO's name)
        """The smaller of both overlaps; crowds by mask alone."""
        gt, dt = self._gts[image_id, category_id], self._dts[image_id, category_id]
        if not gt or not dt:
            return []
        order = np.argsort([-d["score"] for d in dt], kind="mergesort")[: self.params.maxDets[-1]]
        sides = [dt[i]["segmentation"] for i in order], [g["segmentation"] for g in gt]
        crowds = [int(g["iscrowd"]) for g in gt]
        ious = np.array(coco_mask.iou(*sides, crowds))
        rims = [[rim_of(rle) for rle in side] for side in sides]
        boundary = np.array(coco_mask.iou(*rims, crowds))
        return np.where(np.array(crowds, bool), ious, np.minimum(ious, boundary))


def twelve_written_out(pairs: list[Pair]) -> dict[str, float]:
    """The twelve numbers by pycocotools' own matching and accumulation, NaN for its -1."""
    images = [{"id": i + 1, "height": SIDE, "width": SIDE} for i in range(len(pairs))]
    truths = [
        {
            "image_id": i + 1,
            "category_id": s.category,
            "iscrowd": int(s.iscrowd),
            "area": s.area,
            "segmentation": to_coco(s.mask),
        }
        for i, pair in enumerate(pairs)
        for s in pair.gt.segments
    ]
    guesses = [
        {
            "image_id": i + 1,
            "category_id": s.category,
            "score": s.score,
            "segmentation": to_coco(s.mask),
        }
        for i, pair in enumerate(pairs)
        for s in pair.pred.segments
    ]
    if not guesses:
        # loadRes refuses an empty list; a detection in an image nobody asks about is none.
        images.append({"id": 99, "height": SIDE, "width": SIDE})
        elsewhere = to_coco(encode(np.eye(SIDE, dtype=bool)))
        guesses = [{"image_id": 99, "category_id": 1, "score": 1.0, "segmentation": elsewhere}]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "images": images,
            "annotations": [{"id": n, **t} for n, t in enumerate(truths, 1)],
            "categories": [{"id": c, "name": str(c)} for c in (1, 2)],
            "info": {},
        }
        gt.createIndex()
        judge = WithBoundaries(gt, gt.loadRes(guesses), "segm")
        judge.params.imgIds = list(range(1, len(pairs) + 1))
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return dict(zip(NAMES, [math.nan if v == -1 else float(v) for v in judge.stats], strict=True))


def box(y: int, x: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + height, x : x + width] = True
    return mask


@st.composite
def data_sets(draw, classes=(1, 2)):
    """A few images with boxes of all sizes, guessed well, with a dent, badly or not at all."""
    pairs = []
    sizes = st.sampled_from([6, 20, 31, 45, 100, 130])
    for index in range(draw(st.integers(1, 3))):
        gt, pred = [], []
        for _ in range(draw(st.integers(0, 4))):
            place = draw(st.integers(0, 60)), draw(st.integers(0, 60))
            mask = box(*place, draw(sizes), draw(sizes))
            crowd = draw(st.sampled_from([False, False, False, True]))
            category = draw(st.sampled_from(classes))
            gt.append(replace(segment_from_mask(mask, category=category), iscrowd=crowd))
            for _ in range(draw(st.integers(0, 2))):
                guess = np.roll(mask, draw(st.integers(0, 4)), axis=draw(st.integers(0, 1)))
                guess &= ~box(*place, draw(st.integers(0, 12)), draw(st.integers(0, 12)))
                score = draw(st.sampled_from([0.1, 0.5, 0.5, 0.7, 0.9]))
                category = draw(st.sampled_from((category, category, *classes)))
                pred.append(segment_from_mask(guess, category=category, score=score))
        image = ImageRef(f"{index}.png", SIDE, SIDE)
        sides = Segmentation(image, tuple(pred)), Segmentation(image, tuple(gt))
        pairs.append(Pair(str(index), index, *sides))
    return pairs


def total_of(pairs, options=None):
    metric = CocoBoundaryAp(options or MetricOptions())
    total = metric.zero()
    for pair in pairs:
        total.add(metric.measure(pair))
    return total


@settings(max_examples=40, deadline=None)
@given(data_sets())
def test_the_twelve_numbers_equal_pycocotools_with_boundaries(pairs):
    """Classes, crowds, ties, empty masks and all sizes: equal to COCO's own code, 1e-12."""
    total = total_of(pairs)
    if total.scope == "per class":
        expected = twelve_written_out(pairs)
        assert total.compute() == pytest.approx(expected, nan_ok=True, abs=1e-12)


def merged(pairs):
    """All objects as one class, by their category where they had one."""

    def as_one(segments):
        ordered = sorted(segments, key=lambda s: s.category or 0)
        return tuple(replace(s, category=1) for s in ordered)

    return [replace_sides(pair, as_one) for pair in pairs]


def replace_sides(pair, change):
    sides = [replace(side, segments=change(side.segments)) for side in (pair.pred, pair.gt)]
    return Pair(pair.key, pair.index, *sides)


@settings(max_examples=15, deadline=None)
@given(data_sets())
def test_class_agnostic_equals_one_class_for_all(pairs):
    """Asked for, categories make no difference but to the order of equal scores."""
    found = total_of(pairs, MetricOptions(class_agnostic=True)).compute()
    assert found == pytest.approx(twelve_written_out(merged(pairs)), nan_ok=True, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(data_sets(), st.randoms())
def test_shards_and_order_change_nothing(pairs, random):
    """Two shards, each in another order, give the numbers of one run, to the last bit."""
    whole = total_of(pairs)
    random.shuffle(pairs)
    left, right = total_of(pairs[::2]), total_of(pairs[1::2])
    left.add(right)
    assert left.compute() == pytest.approx(whole.compute(), nan_ok=True, rel=0, abs=0)
    assert left.tables() == whole.tables()


@settings(max_examples=15, deadline=None)
@given(data_sets(classes=(1,)))
def test_boundaries_never_raise_ap(pairs):
    """Scores are in 0..1, and AP at one threshold is at most that over masks alone."""
    found = total_of(pairs).compute()
    assert all(0 <= v <= 1 for v in found.values() if not math.isnan(v))
    metric = CocoAp(MetricOptions())
    plain = metric.zero()
    for pair in pairs:
        plain.add(metric.measure(pair))
    masks = plain.compute()
    assert math.isnan(masks["ar100"]) or found["boundary_ar100"] <= masks["ar100"] + 1e-12


def test_the_golden_set(shared_data: Path):
    """COCO's own hundred images give the numbers of boundary-iou-api to 1e-9."""
    folder = shared_data / "coco_fakesegm100"
    text = (shared_data / "README.md").read_text()
    expected = [float(v) for v in text.split("dilation 0.02): ")[1].split("\n")[0].split()]
    pred, gt = open_sides(
        Side(str(folder / "instances_val2014_fakesegm100_results.json")),
        Side(str(folder / "instances_val2014_100.json")),
    )
    metric, total = CocoBoundaryAp(MetricOptions()), CocoBoundaryAp(MetricOptions()).zero()
    predicted = set(pred.keys())
    for index, key in enumerate(gt.keys()):
        truth = gt.read(key)
        guess = pred.read(key) if key in predicted else Segmentation(truth.image)
        total.add(metric.measure(Pair(key, index, guess, truth)))
    found = total.compute()
    assert [found[name] for name in NAMES] == pytest.approx(expected, abs=1e-9)


def test_overlaps_of_objects_equal_those_of_whole_images():
    """Masks cut to their boxes overlap as masks of whole images do, at and beyond its border."""
    random = np.random.default_rng(0)
    masks = [
        box(*random.integers(-30, 90, 2).clip(0), *random.integers(5, 90, 2)) for _ in range(30)
    ]
    masks += [mask & ~box(*random.integers(0, 90, 2), 20, 4) for mask in masks]
    masks += [np.roll(mask, 1, axis=0) for mask in masks]
    shapes = [Shape(encode(mask), DEPTH) for mask in masks]
    found = boundary_overlaps(shapes, shapes, np.zeros(len(masks), bool))
    rles = [to_coco(encode(mask)) for mask in masks]
    rims = [rim_of(rle) for rle in rles]
    zeros = [0] * len(masks)
    whole = np.minimum(coco_mask.iou(rles, rles, zeros), coco_mask.iou(rims, rims, zeros))
    high = whole >= 0.5
    assert high.sum() > 2 * len(masks)
    assert (found[high] == whole[high]).all()
    assert (found[~high] < 0.5).all()


def one_image(pred, gt, **fields):
    image = ImageRef("a.png", SIDE, SIDE)
    return Pair("a", 0, Segmentation(image, tuple(pred)), Segmentation(image, tuple(gt), **fields))


def test_a_perfect_prediction_scores_one():
    """Objects compared with themselves score 1 wherever there are any."""
    segments = [segment_from_mask(box(5, 5, 50, 50)), segment_from_mask(box(80, 80, 9, 9))]
    scores = total_of([one_image(segments, segments)]).compute()
    shown = [scores[f"boundary_{name}"] for name in ("ap", "ap_medium", "ap_small", "ar100")]
    assert shown == pytest.approx([1.0] * 4)
    assert math.isnan(scores["boundary_ap_large"])


def test_a_fine_mask_with_a_poor_outline_is_found_by_mask_ap_alone():
    """A box 10 pixels too wide on each side: mask IoU 0.67, boundaries apart."""
    pair = one_image(
        [segment_from_mask(box(0, 0, 109, 110))], [segment_from_mask(box(10, 10, 90, 90))]
    )
    plain = CocoAp(MetricOptions())
    total = plain.zero()
    total.add(plain.measure(pair))
    assert total.compute()["ap50"] == pytest.approx(1.0)
    assert total_of([pair]).compute()["boundary_ap50"] == 0.0


def test_no_objects_are_undefined_and_all_missed_is_zero():
    """Without true objects every number is undefined; with nothing predicted AP is 0."""
    one = [segment_from_mask(box(5, 5, 50, 50))]
    for pairs in ([], [one_image([], [])], [one_image(one, [])]):
        assert all(math.isnan(v) for v in total_of(pairs).compute().values())
    missed = total_of([one_image([], one)]).compute()
    assert (missed["boundary_ap"], missed["boundary_ar100"]) == (0.0, 0.0)


def test_an_image_that_is_missed_lowers_ap():
    """Leaving out a poor prediction improves nothing."""
    one = [segment_from_mask(box(5, 5, 50, 50), score=0.9)]
    poor = [segment_from_mask(box(5, 6, 50, 50), score=0.3)]
    images = [one_image(one, one), replace(one_image(poor, one), index=1)]
    missed = [images[0], replace(one_image([], one), index=1)]
    assert total_of(missed).compute()["boundary_ap"] < total_of(images).compute()["boundary_ap"]


def test_predictions_in_void_are_forgiven():
    """Pixels that do not count are a crowd: what lies in them is no false positive."""
    good = segment_from_mask(box(5, 5, 50, 50), score=0.5)
    stray = segment_from_mask(box(70, 70, 40, 40), score=0.9)
    void = encode(box(60, 60, 60, 60))
    forgiven = total_of([one_image([good, stray], [good], ignore=void)])
    assert forgiven.compute()["boundary_ap"] == pytest.approx(1.0)
    assert total_of([one_image([good, stray], [good])]).compute()["boundary_ap"] < 0.6


def test_it_is_a_family_of_the_instance_protocol(shared_data: Path):
    """Asked for by name, beside COCO's own numbers, in the scores and in the table of classes."""
    folder = shared_data / "coco_fakesegm100"
    pred, gt = open_sides(
        Side(str(folder / "instances_val2014_fakesegm100_results.json")),
        Side(str(folder / "instances_val2014_100.json")),
    )
    asked = EvalSettings(families=("coco", "boundary"))
    found = evaluate(pred, gt, asked)
    assert found.metrics["boundary_ap"] < found.metrics["ap"]
    assert {"ap", "boundary_ap", "boundary_ar100"} <= set(found.tables["per_class"][0])
    assert "boundary_ap and boundary_ar" in found.params["conventions"]["coco_boundary"]
