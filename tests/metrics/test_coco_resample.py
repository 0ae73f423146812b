"""COCO AP of draws against pycocotools on data sets that hold the images as often."""

from __future__ import annotations

import contextlib
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segcli.evaluate import Side, open_sides
from segcli.masks.rle import encode, segment_from_mask, to_coco
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.coco_ap import CocoAp
from segcli.metrics.coco_boundary import CocoBoundaryAp
from segcli.metrics.coco_resample import CocoResampler
from segcli.metrics.coco_stored import restore_matches, store_matches
from segcli.records import ImageRef, Segmentation

SIDE = 120
METRICS = pytest.mark.parametrize("kind", [CocoAp, CocoBoundaryAp])


def twelve_of_pycocotools(pairs: list[Pair], classes: tuple[int, ...]) -> dict[str, float]:
    """The twelve numbers for these images, which may come more than once; NaN for its -1."""
    truths, guesses = [], []
    for i, pair in enumerate(pairs, 1):
        for s in pair.gt.segments:
            flags = {"id": len(truths) + 1, "image_id": i, "iscrowd": int(s.iscrowd)}
            shape = {"area": s.area, "segmentation": to_coco(s.mask)}
            truths.append({**flags, **shape, "category_id": s.category})
        guesses += [
            {
                "image_id": i,
                "category_id": s.category,
                "score": s.score,
                "segmentation": to_coco(s.mask),
            }
            for s in pair.pred.segments
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "images": [{"id": i + 1, "height": SIDE, "width": SIDE} for i in range(len(pairs))],
            "annotations": truths,
            "categories": [{"id": c, "name": str(c)} for c in classes],
            "info": {},
        }
        gt.createIndex()
        judge = COCOeval(gt, gt.loadRes(guesses) if guesses else COCO(), "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    stats = [math.nan if v == -1 else float(v) for v in judge.stats]
    return dict(zip(CocoAp.undefined, stats, strict=True))


def image(seed: int, scores: list[float], classes: tuple[int, ...]) -> Pair:
    """True boxes of all sizes, crowds among them, and predictions near them or anywhere."""
    random = np.random.default_rng(seed)
    boxes = []
    for _ in range(8):
        y, x, size = random.integers((0, 0, 6), (70, 70, 110)).tolist()
        mask = np.zeros((SIDE, SIDE), bool)
        mask[y : y + size, x : x + size] = True
        boxes.append(segment_from_mask(mask, category=int(random.choice(classes))))
    gt = [replace(s, iscrowd=bool(random.random() < 0.15)) for s in boxes[:5]]
    pred = [
        replace(s, score=float(random.choice(scores)), category=int(random.choice(classes)))
        for s in [*boxes[2:], *boxes[3:5]]
    ]
    ref = ImageRef(f"{seed}.png", SIDE, SIDE)
    return Pair(str(seed), seed, Segmentation(ref, tuple(pred)), Segmentation(ref, tuple(gt)))


def kept(pairs: list[Pair], kind: type[CocoAp] = CocoAp) -> CocoResampler:
    metric = kind(MetricOptions())
    resampler = CocoResampler(metric)
    for pair in pairs:
        resampler.keep(metric.measure(pair))
    return resampler


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=5, max_size=5).filter(any),
    st.integers(0, 1000),
    st.sampled_from([[0.5], [0.2, 0.5, 0.9], [i / 97 for i in range(97)]]),
    st.sampled_from([(1,), (1, 2, 3)]),
)
def test_a_draw_equals_a_data_set_that_holds_images_twice(times, seed, scores, classes):
    """Weights are literal copies, with equal scores within and across images as well."""
    pairs = [image(5 * seed + i, scores, classes) for i in range(5)]
    copies = [pair for pair, n in zip(pairs, times, strict=True) for _ in range(n)]
    expected = twelve_of_pycocotools(copies, classes)
    found = kept(pairs).resample(np.array([[1] * 5, times])).scores
    for name, value in expected.items():
        assert found[name][1] == pytest.approx(value, abs=1e-12, nan_ok=True), name


@METRICS
def test_a_draw_equals_the_same_images_measured_again(kind):
    """Boundary AP too: an image drawn twice is two images, one after the other."""
    pairs = [image(i, [0.2, 0.5, 0.9], (1, 2)) for i in range(6)]
    times = [2, 0, 1, 3, 0, 1]
    metric = kind(MetricOptions())
    total = metric.zero()
    copies = [pair for pair, n in zip(pairs, times, strict=True) for _ in range(n)]
    for index, pair in enumerate(copies):
        total.add(metric.measure(replace(pair, index=index)))
    found = kept(pairs, kind).resample(np.array([times]))
    for name, value in total.compute().items():
        assert found.scores[name][0] == pytest.approx(value, abs=1e-12, nan_ok=True), name
    rows = total.tables()["per_class"]
    assert [key[0] for key in found.classes] == [row["class"] for row in rows]
    for row, columns in zip(rows, found.classes.values(), strict=True):
        for name, values in columns.items():
            assert values[0] == pytest.approx(row[name], abs=1e-12), name


def test_the_golden_case_accumulates_to_the_published_numbers(shared_data):
    """Each of 100 COCO images once: the twelve published numbers."""
    folder = shared_data / "coco_fakesegm100"
    results = folder / "instances_val2014_fakesegm100_results.json"
    pred, gt = open_sides(Side(str(results)), Side(str(folder / "instances_val2014_100.json")))
    pairs, listed = [], set(pred.keys())
    for index, key in enumerate(gt.keys()):
        truth = gt.read(key)
        there = key in listed
        pairs.append(
            Pair(key, index, pred.read(key) if there else Segmentation(truth.image), truth)
        )
    published = [
        *(0.3195452758576433, 0.5622883972521636, 0.29892653412086784, 0.3873740315997836),
        *(0.31018272403369485, 0.3269339071005138, 0.2682297225711534, 0.41544868114906375),
        *(0.4168394992198819, 0.4694498622754236, 0.37675922666197265, 0.3814715099715099),
    ]
    found = kept(pairs).resample(np.ones((1, 100), np.int64)).scores
    for name, value in zip(CocoAp.undefined, published, strict=True):
        assert found[name][0] == pytest.approx(value, abs=1e-12), name


def test_the_order_in_which_images_arrive_does_not_matter():
    """Ties go by the image's place in the ground truth, not by which worker was faster."""
    pairs = [image(i, [0.5], (1, 2)) for i in range(6)]
    ones = np.ones((1, 6), np.int64)
    assert kept(pairs).resample(ones).scores == kept(pairs[::-1]).resample(ones).scores


def test_void_is_a_crowd_of_every_class():
    """Pixels that do not count forgive predictions, as in the data set's own AP."""
    pair = image(1, [0.2, 0.9], (1, 2))
    void = np.zeros((SIDE, SIDE), bool)
    void[:, 60:] = True
    pair = replace(pair, gt=replace(pair.gt, ignore=encode(void)))
    metric = CocoAp(MetricOptions())
    total = metric.zero()
    total.add(metric.measure(pair))
    found = kept([pair]).resample(np.ones((1, 1), np.int64)).scores
    for name, value in total.compute().items():
        assert found[name][0] == pytest.approx(value, abs=1e-12, nan_ok=True), name


@METRICS
def test_matches_survive_being_stored(kind):
    """Stored matches give the same draws, through JSON and back."""
    pairs = [image(i, [0.2, 0.5, 0.9], (1, 2)) for i in range(4)]
    metric = kind(MetricOptions())
    resampler = CocoResampler(metric)
    for pair in pairs:
        text = json.dumps(store_matches(metric.measure(pair), metric.zero()))
        resampler.keep(restore_matches(json.loads(text), metric.zero()))
    weights = np.array([[1, 1, 1, 1], [0, 2, 0, 2]])
    one, other = resampler.resample(weights), kept(pairs, kind).resample(weights)
    for name, values in other.scores.items():
        np.testing.assert_array_equal(values, one.scores[name])
    assert one.classes.keys() == other.classes.keys()


def test_stored_matches_without_matches_are_refused():
    """Damaged data are an error, not an image without objects."""
    with pytest.raises(ValueError, match="no matches"):
        restore_matches({}, CocoAp(MetricOptions()).zero())
