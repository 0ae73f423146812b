"""Draws of images against the same images added up one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import pytest

from segcli.masks.rle import segment_from_mask
from segcli.metrics import REGISTRY
from segcli.metrics.base import ExactSum, Metric, MetricOptions, Pair, Sums
from segcli.metrics.coco_ap import CocoAp
from segcli.metrics.resample import Additive, Resampled, Summing, chained
from segcli.metrics.resampling import resampler_for
from segcli.records import ImageRef, LabelMap, Segmentation

SIDE = 40
NAMES = {1: "cat", 2: "dog", 3: "sky"}
ADDING = [
    family for family in REGISTRY if not issubclass(type(family.make(MetricOptions())), CocoAp)
]


def squares(random: np.random.Generator, count: int) -> np.ndarray:
    """A map of squares numbered from 1."""
    values = np.zeros((SIDE, SIDE), np.int32)
    for number in range(1, count + 1):
        y, x, size = random.integers((0, 0, 4), (SIDE - 12, SIDE - 12, 12)).tolist()
        values[y : y + size, x : x + size] = number
    return values


def side(values: np.ndarray, protocol: str, key: str, random: np.random.Generator) -> Segmentation:
    """A side of a pair as a protocol has it: objects and classes 1 to 3."""
    image = ImageRef(key, SIDE, SIDE)
    if protocol == "binary":
        return Segmentation(image, labels=LabelMap((values > 0).astype(np.uint8), "binary"))
    if protocol in {"semantic", "regions"}:
        return Segmentation(image, labels=LabelMap(values % 4, "semantic"))
    segments = tuple(
        segment_from_mask(
            values == i,
            id=i,
            category=i % 3 + 1,
            score=float(random.integers(1, 9)) / 10,
            predicted_iou=float(random.random()),
        )
        for i in np.unique(values).tolist()
        if i
    )
    labels = LabelMap(values, "panoptic") if protocol == "panoptic" else None
    things = frozenset({1, 2})
    return Segmentation(image, segments, labels, categories=NAMES, things=things)


def pairs_of(protocol: str, count: int = 6) -> list[Pair]:
    """Images that are predicted more or less well; the last has nothing on either side."""
    pairs = []
    for index in range(count):
        random = np.random.default_rng(index)
        gt = squares(random, 0 if index == count - 1 else 4)
        pred = np.roll(gt, int(random.integers(0, 3)), axis=1)
        pred[pred == int(random.integers(1, 5))] = 0
        sides = [side(values, protocol, f"{index}.png", random) for values in (pred, gt)]
        pairs.append(Pair(str(index), index, *sides))
    return pairs


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray], *, exactly: bool) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(
            values, other[name], rtol=0, atol=0 if exactly else 1e-12, err_msg=name
        )


@pytest.mark.parametrize("family", ADDING, ids=lambda f: f"{f.protocol}-{f.name}")
def test_a_draw_scores_as_its_images_added(family):
    """Every family: weighing what images add equals adding each image as often as it is drawn."""
    metric = family.make(MetricOptions())
    quick, slow = resampler_for(metric), Summing(metric)
    for pair in pairs_of(family.protocol):
        quick.keep(metric.measure(pair))
        slow.keep(metric.measure(pair))
    weights = np.random.default_rng(1).multinomial(6, [1 / 6] * 6, size=20)
    weights[0], weights[1] = 1, [6, 0, 0, 0, 0, 0]
    found, expected = quick.resample(weights), slow.resample(weights)
    equal(found.scores, expected.scores, exactly=False)
    assert found.classes.keys() >= expected.classes.keys()
    for key, columns in expected.classes.items():
        equal(found.classes[key], columns, exactly=False)
    assert not isinstance(quick, Summing), "told how to resample"


@pytest.mark.parametrize("family", ADDING, ids=lambda f: f"{f.protocol}-{f.name}")
def test_each_image_once_is_the_data_set(family):
    """Each image taken once gives the data set's scores, to the last bit where sums are exact."""
    metric = family.make(MetricOptions())
    total, resampler = metric.zero(), resampler_for(metric)
    for pair in pairs_of(family.protocol):
        total.add(metric.measure(pair))
        resampler.keep(metric.measure(pair))
    found = resampler.resample(np.ones((1, 6), np.int64)).scores
    exactly = family.name != "distance"
    equal(found, {k: np.array([v]) for k, v in total.compute().items()}, exactly=exactly)


@dataclass(slots=True)
class OddSums(Sums):
    """Sums with a field that does not add, and one that may be missing."""

    count: int = 0
    largest: int = 0
    mean: ExactSum = field(default_factory=ExactSum)

    def add(self, other: Sums) -> None:
        assert isinstance(other, OddSums)
        self.count += other.count
        self.largest = max(self.largest, other.largest)
        self.mean.add(other.mean)

    def compute(self) -> dict[str, float]:
        return {"largest": float(self.largest), "mean": self.mean.mean, "count": float(self.count)}


class Odd(Metric):
    """A metric nobody has told about resampling."""

    undefined = MappingProxyType({"largest": "", "mean": "", "count": ""})

    def zero(self) -> Sums:
        return OddSums()

    def measure(self, pair: Pair) -> Sums:
        sums = OddSums(1, pair.index)
        sums.mean.push(pair.index / 3 if pair.index else math.nan)
        return sums

    def conventions(self) -> dict[str, str]:
        return {"odd": "odd"}


def test_a_field_that_does_not_add_is_noticed():
    """A largest value is not added up: images are then added one by one, as the metric says."""
    metric, resampler = Odd(), resampler_for(Odd())
    assert isinstance(resampler, Additive)
    blank = pairs_of("binary")[0]
    for index in range(4):
        resampler.keep(metric.measure(replace(blank, index=index)))
    found = resampler.resample(np.array([[1, 1, 1, 1], [2, 2, 0, 0], [4, 0, 0, 0]])).scores
    assert found["largest"].tolist() == [3, 1, 0]
    assert found["mean"][:2].tolist() == [2 / 3, 1 / 3]
    assert math.isnan(found["mean"][2])


def test_equal_images_score_alike_in_every_draw():
    """Where all images are the same, every draw has their score exactly: no rounding adds up."""
    metric = next(f.make(MetricOptions()) for f in REGISTRY if f.name == "matching")
    resampler, pair = resampler_for(metric), pairs_of("instance")[0]
    for _ in range(7):
        resampler.keep(metric.measure(pair))
    weights = np.random.default_rng(0).multinomial(7, [1 / 7] * 7, size=50)
    own = metric.measure(pair).compute()
    for name, values in resampler.resample(weights).scores.items():
        assert set(values.tolist()) == {own[name]} or math.isnan(own[name])


def test_parts_are_chained_with_nothing_where_one_lacks_a_class():
    """A class that only some draws have is undefined in the others, and keeps its place."""
    one = Resampled({"iou": np.array([0.5, 0.25])}, {(1, None): {"iou": np.array([1.0, 0.0])}})
    two = Resampled({"iou": np.array([0.75])}, {(2, None): {"iou": np.array([0.5])}})
    found = chained([one, two])
    np.testing.assert_array_equal(found.scores["iou"], [0.5, 0.25, 0.75])
    np.testing.assert_array_equal(found.classes[1, None]["iou"], [1, 0, math.nan])
    np.testing.assert_array_equal(found.classes[2, None]["iou"], [math.nan, math.nan, 0.5])
